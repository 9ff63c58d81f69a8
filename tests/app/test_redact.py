"""Canary secrets do not get through; ordinary words do."""

from __future__ import annotations

import base64
import io
import logging
from datetime import UTC, datetime

import pytest

from bot.app.redact import Redactor
from bot.domain.failure import Failure
from bot.domain.log_filter import RewritingFilter

CANARY = "canary/secret+42"


@pytest.mark.parametrize("spelling", [CANARY, "canary%2Fsecret%2B42", base64.b64encode(CANARY.encode()).decode()])
def test_a_known_secret_is_masked_in_every_spelling(spelling: str) -> None:
    assert Redactor([CANARY]).text(f"GET /x?y={spelling}&z=1") == "GET /x?y=•••&z=1"


def test_a_secret_inside_a_longer_one_does_not_leave_its_rest_behind() -> None:
    assert Redactor(["abcdef", "abcdefghijkl"]).text("<abcdefghijkl>") == "<•••>"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Authorization: Bearer eyJhbGciOi.x.y", "Authorization: Bearer •••"),
        ('{"authorization": "TC3-HMAC-SHA256 Credential=AKID/x"}', '{"authorization": "TC3-HMAC-SHA256 •••"}'),
        ("Cookie: session=abc; other=def", "Cookie: •••"),
        ("https://qyapi/gettoken?corpid=1&corpsecret=s3cr3t", "https://qyapi/gettoken?corpid=1&corpsecret=•••"),
        ("postgresql://user:hunter22@host/db", "postgresql://user:•••@host/db"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_•••"),
        ("password=hunter22", "password=•••"),
        ("the db password: hunter22, try it", "the db password: •••, try it"),
        ("密码：hunter22", "密码：•••"),
        ('{"secret_key": "a1b2c3d4e5"}', '{"secret_key": "•••"}'),
        ("TENCENTCLOUD_SECRET_KEY=a1b2c3d4e5 go", "TENCENTCLOUD_SECRET_KEY=••• go"),
        ("ghp_abcdefghijklmnop1234 leaked", "••• leaked"),
        ("x eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeK y", "x ••• y"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nend", "•••\nend"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut off", "•••"),
        ("xoxb-123456789012-abcdef", "xoxb-•••"),
    ],
)
def test_what_looks_like_a_credential_is_masked_unasked(said: str, kept: str) -> None:
    assert Redactor().text(said) == kept


@pytest.mark.parametrize(
    "words",
    [
        "authorization: revoked by ops at 22:50",
        "密钥权限被收回，token 过期了吗？",
        "cookie: is it the consent banner?",
        "https://sms.tencentcloudapi.com:443/?Action=SendSms",
        "AuthFailure.SecretIdNotFound",
        "token: expired at 23:40",
        "the secret: nobody looked at DNS",
        "密码：已经改了",
        "password policy = 90 days",
        "key-value store at 10.0.0.1:6379 is down",
    ],
)
def test_words_about_credentials_stay(words: str) -> None:
    assert Redactor().text(words) == words


def test_fields_named_like_credentials_are_masked_at_any_depth_and_others_stay() -> None:
    value = {
        "headers": [{"X-Api-Key": "k", "Set-Cookie": "a=b", "Accept": "*/*"}],
        "secret_id": "AKID",
        "token": None,
        "failure": Failure.API_DENIED,
        "at": datetime(2026, 1, 15, tzinfo=UTC),
        "tags": {"b", "a"},
        "tries": (1, 2.5, True),
    }
    assert Redactor().value(value) == {
        "headers": [{"X-Api-Key": "•••", "Set-Cookie": "•••", "Accept": "*/*"}],
        "secret_id": "AKID",
        "token": None,
        "failure": "api_denied",
        "at": "2026-01-15T00:00:00+00:00",
        "tags": ["a", "b"],
        "tries": [1, 2.5, True],
    }


def test_a_very_short_secret_would_mask_ordinary_words_and_is_not_registered() -> None:
    assert Redactor(["prod"]).text("prod is down") == "prod is down"


def test_log_lines_and_tracebacks_pass_the_same_filter() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(RewritingFilter(Redactor([CANARY]).text))
    log = logging.getLogger("warroom.test_redact")
    log.addHandler(handler)
    log.error("cannot sign with %s", CANARY, exc_info=ValueError(f"bad key {CANARY}"))
    log.removeHandler(handler)
    assert CANARY not in out.getvalue()
    assert "cannot sign with •••" in out.getvalue()
    assert "ValueError: bad key •••" in out.getvalue()
