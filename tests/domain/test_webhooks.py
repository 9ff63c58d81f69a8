"""Standard Webhooks: the published vector, and what is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from bot.domain.errors import ConfigError
from bot.domain.webhooks import BadSignature, headers, key_of, sign, verify

VECTOR = json.loads((Path(__file__).parent.parent / "data" / "webhooks.json").read_text())
SECRET, ID, BODY = VECTOR["secret"], VECTOR["id"], VECTOR["body"].encode()
AT = int(VECTOR["timestamp"])
OTHER = "whsec_b3RoZXItc2VjcmV0LW9mLWVpZ2h0ZWVu"


def given(**changes: str) -> dict[str, str]:
    return {**headers(SECRET, id=ID, timestamp=AT, body=BODY), **{k.replace("_", "-"): v for k, v in changes.items()}}


def test_the_published_vector_is_signed_as_published() -> None:
    assert sign(SECRET, id=ID, timestamp=AT, body=BODY) == VECTOR["signature"]


def test_what_we_sign_the_reference_library_accepts() -> None:
    now = int(time.time())
    assert Webhook(SECRET).verify(BODY, headers(SECRET, id="x", timestamp=now, body=BODY)) == json.loads(BODY)


@pytest.mark.parametrize("drift", [-300, 0, 300])
def test_a_signed_request_is_accepted_within_five_minutes_of_our_clock(drift: int) -> None:
    assert verify(given(), BODY, [SECRET], now=AT + drift) == ID


@pytest.mark.parametrize("drift", [-301, 301, 10**9])
def test_an_older_or_later_request_is_refused(drift: int) -> None:
    with pytest.raises(BadSignature, match="away from our clock"):
        verify(given(), BODY, [SECRET], now=AT + drift)


def test_header_names_may_be_written_in_any_case() -> None:
    shouting = {name.upper(): value for name, value in given().items()}
    assert verify(shouting, BODY, [SECRET], now=AT) == ID


def test_one_of_several_signatures_and_one_of_two_secrets_is_enough() -> None:
    both = f"v1a,abc {sign(OTHER, id=ID, timestamp=AT, body=BODY)} {VECTOR['signature']}"
    assert verify(given(webhook_signature=both), BODY, [SECRET], now=AT) == ID
    assert verify(given(), BODY, [OTHER, SECRET], now=AT) == ID


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_id": "another"},
        {"webhook_id": ""},
        {"webhook_timestamp": str(AT + 1)},
        {"webhook_timestamp": "nan"},
        {"webhook_timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"webhook_timestamp": "9" * 400},
        {"webhook_signature": ""},
        {"webhook_signature": "v1,"},
        {"webhook_signature": "签名"},
        {"webhook_signature": VECTOR["signature"].replace("v1", "v2")},
    ],
)
def test_a_request_that_was_touched_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(BadSignature):
        verify(given(**changes), BODY, [SECRET], now=AT)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(name: str) -> None:
    incomplete = given()
    del incomplete[name]
    with pytest.raises(BadSignature, match=name):
        verify(incomplete, BODY, [SECRET], now=AT)


def test_without_a_secret_nothing_is_accepted() -> None:
    with pytest.raises(BadSignature):
        verify(given(), BODY, [], now=AT)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64!", "密钥"])
def test_a_secret_that_is_none_is_a_configuration_error_that_does_not_show_it(secret: str) -> None:
    with pytest.raises(ConfigError) as refused:
        key_of(secret)
    assert "not base64!" not in str(refused.value)
