from __future__ import annotations

import time

import pytest

from bot.probes.logs import Line, sample
from bot.probes.web.masking import json_of_others, of_others


@pytest.mark.parametrize(
    "line",
    [
        "POST /v1 Authorization: Bearer canaryABCDEF123",
        '{"headers":{"Authorization":"Basic canaryABCDEF123=="}}',
        r"body={\"authorization\": \"TC3-HMAC-SHA256 Credential=AKIDx/canary\"}",
        "curl -H 'Authorization: canary'",
        "calling with bearer canaryABCDEF123 failed",
        "Cookie: sid=canary; theme=dark",
        "Set-Cookie: sid=canary; HttpOnly",
        "password=canary",
        "login ok, passwd: 'canary with blanks'",
        '{"db_password": "canary"}',
        r"{\"secretKey\":\"canary\"}",
        "GET /cgi-bin/x?access_token=canary&y=1",
        "api-key = canary;",
        "Signature=canary, Region=ap-guangzhou",
        "mysql://root:canary@10.0.0.5/db",
        "token eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.canary_sig",
        "key AKIDcanaryCanaryCanary0123456789",
        "key AKIACANARYCANARY0000x".replace("CANARY", "canary".upper()),
        "LTAIcanary0123456789",
        "ghp_canarycanarycanary0123456789",
        "xoxb-canary-123456",
        "whsec_canarycanary",
        "sk_live_canarycanarycanary1",
        "-----BEGIN RSA PRIVATE KEY-----canary",
        "to canary.person@example.com bounced",
    ],
)
def test_what_looks_like_a_credential_or_names_a_person_is_masked(line: str) -> None:
    shown = of_others(line)
    assert "canary" not in shown.lower(), shown
    assert "***" in shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("send to 13800138000 failed", "send to 138****8000 failed"),
        ("PhoneNumber=+8613800138000", "PhoneNumber=+86138****8000"),
        ('"phone":"86 138-0013-8000"', '"phone":"86 138****8000"'),
        ("to +442071838750", "to +442****50"),
        ("id 11010519491231002X", "id ***"),
        ("您的验证码是 482913，5 分钟内有效", "您的验证码是 ***，5 分钟内有效"),
        ("【Shop】482913 为您的登录验证码", "【Shop】*** 为您的登录验证码"),
        ("482913 is your login code", "*** is your login code"),
    ],
)
def test_people_and_their_codes_are_masked(line: str, shown: str) -> None:
    assert of_others(line) == shown


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-24T10:00:00+08:00 LimitExceeded.PhoneNumberDailyLimit requestId=7d3c1f0e-1111-4a4a-9999-abcdefab",
        "code=FailedOperation.InsufficientBalance cost=1234567ms ts=1763978400000 at 10.3.7.21:38412",
        "dial tcp 10.0.0.5:443: i/o timeout after 5000 ms, 3 tries",
        "GET /v1/very/long/path/that/is/no/secret/at/all/because/it/has/slashes/2026/11/24/Index HTTP/1.1 502",
        "com.example.sms.SendServiceImplementationFactoryBeanPostProcessor.send failed",
        "token bucket is empty, basic auth is off, the cookie jar",
    ],
)
def test_what_tells_the_cause_stays(line: str) -> None:
    assert of_others(line) == line


def test_in_json_a_sensitive_field_is_masked_whatever_it_holds() -> None:
    line = r'{"user": {"Password": {"value": "canary"}, "tokens": ["canary"]}, "pass\u0077ord": "canary", "code": 7}'
    assert json_of_others(line) == '{"user": {"Password": "***", "tokens": "***"}, "password": "***", "code": 7}'


def test_a_sample_is_masked_before_it_is_cut() -> None:
    assert "canary" not in sample(Line(at=None, text="x" * 280 + " password=" + "canary" * 20))
    at_the_end = "x " * 2000 + "y" * 80 + " AKIDcanaryCanaryCanary0123456789"
    assert "canary" not in sample(Line(at=None, text=at_the_end))
    assert len(sample(Line(at=None, text="word " * 2000))) == 300


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1",
        "A1a",
        "=",
        '"',
        "\\",
        "token=",
        "1 3",
        "+86 ",
        "authorization:",
        "a@",
        "://",
        "eyJaaaaaaaa.",
        "eyJ-",
        "code ",
    ],
)
def test_no_line_takes_long(piece: str) -> None:
    line = (piece * 4096)[:4096]
    began = time.process_time()
    of_others(json_of_others(line))
    assert time.process_time() - began < 0.1
