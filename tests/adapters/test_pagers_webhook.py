"""The phone webhook against a provider on loopback."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator

import pytest

from bot.adapters.pagers.webhook import WebhookPager, read_callback
from bot.app.ports import Given
from bot.domain.errors import SendFailed, UserError
from bot.domain.page import Callback, CallStatus
from bot.domain.webhooks import BadSignature, headers, verify
from tests.adapters.phone_server import (
    Act,
    PhoneServer,
    accept,
    accept_then_cut,
    call_then_hang,
    call_then_reset,
    drip,
    phone_server,
    status,
)
from tests.store.samples import page

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_b2xkLXNlY3JldC1vZi15ZXN0ZXJkYXk="
KEY = "INC-1:1:lin:1"


@pytest.fixture
async def phone() -> AsyncIterator[PhoneServer]:
    async with phone_server() as server:
        yield server


async def call(phone: PhoneServer, *, url: str = "", timeout_s: float = 0.3, key: str = KEY) -> str:
    pager = WebhookPager("phone", url or phone.url, SECRET, timeout_s=timeout_s)
    try:
        return await pager.call(page(key=key, callback_url="https://warroom.example/hooks/phone/phone"))
    finally:
        await pager.close()


async def refused(phone: PhoneServer, *acts: Act, url: str = "") -> SendFailed:
    phone.acts.extend(acts)
    with pytest.raises(SendFailed) as failed:
        await call(phone, url=url)
    return failed.value


async def test_a_page_is_posted_signed_with_every_field_and_its_key(phone: PhoneServer) -> None:
    assert await call(phone) == "CA-1"
    (request,) = phone.requests
    assert request.json == {
        "key": KEY,
        "incident": "INC-1",
        "severity": "sev1",
        "title": "短信发不出去",
        "text": "上海 VPC 的 DNS 被限频",
        "language": "zh",
        "person": {"name": "lin", "phone": "+8613800000000"},
        "step": 1,
        "attempt": 1,
        "callback_url": "https://warroom.example/hooks/phone/phone",
        "ack_url": "",
        "meeting_url": "",
    }
    assert request.headers["idempotency-key"] == KEY
    assert verify(request.headers, request.body, [SECRET], now=time.time()) == KEY


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 422])
async def test_a_refusal_of_the_request_itself_is_for_good(phone: PhoneServer, code: int) -> None:
    error = await refused(phone, status(code))
    assert (str(error), error.permanent, error.uncertain) == (f"HTTP {code}", True, False)


@pytest.mark.parametrize("code", [302, 408, 425, 429, 500, 502, 503])
async def test_everything_else_is_worth_another_try(phone: PhoneServer, code: int) -> None:
    error = await refused(phone, status(code))
    assert (error.permanent, error.uncertain) == (False, code >= 500)


async def test_a_provider_may_ask_for_a_pause_but_not_for_an_hour(phone: PhoneServer) -> None:
    assert (await refused(phone, status(429, headers="retry-after: 7\r\n"))).retry_after_s == 7
    assert (await refused(phone, status(503, headers="retry-after: 3600\r\n"))).retry_after_s == 300
    assert (await refused(phone, status(429, headers="retry-after: soon\r\n"))).retry_after_s is None


async def test_a_closed_port_means_nobody_was_called(phone: PhoneServer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error = await refused(phone, url=f"http://127.0.0.1:{free.getsockname()[1]}/")
    assert (error.permanent, error.uncertain) == (False, False)


@pytest.mark.parametrize("act", [call_then_hang, call_then_reset, drip])
async def test_no_answer_after_the_request_leaves_it_uncertain_and_the_same_key_again_calls_once(
    phone: PhoneServer, act: Act
) -> None:
    began = time.monotonic()
    error = await refused(phone, act)
    assert (error.permanent, error.uncertain) == (False, True)
    assert time.monotonic() - began < 12
    await call(phone)
    assert len(phone.requests) == 2
    assert phone.effects == {KEY: 1}


async def test_an_accepted_call_stays_accepted_when_its_answer_breaks_off(phone: PhoneServer) -> None:
    phone.acts.append(accept_then_cut)
    assert await call(phone) == KEY


async def test_an_address_that_is_none_is_refused_for_good(phone: PhoneServer) -> None:
    assert (await refused(phone, url="ftp://127.0.0.1/")).permanent


async def test_a_key_with_a_chinese_name_travels_and_the_body_has_it_unchanged(phone: PhoneServer) -> None:
    phone.acts.append(accept)
    await call(phone, key="INC-1:1:林:1")
    (request,) = phone.requests
    assert request.headers["idempotency-key"] == "INC-1:1:%E6%9E%97:1"
    assert request.json["key"] == "INC-1:1:林:1"


def signed(document: object, *, secret: str = SECRET) -> tuple[dict[str, str], bytes]:
    body = json.dumps(document).encode()
    return headers(secret, id="cb-1", timestamp=int(time.time()), body=body), body


def heard(given: dict[str, str], body: bytes, *, old: str = "", secret: str = "") -> Callback:
    pager = WebhookPager("phone", "https://phone.example", SECRET, old_secret=old)
    (said,) = pager.read(Given(headers=given, url="https://warroom.example/", body=body, secret=secret)).said
    return said


async def test_a_pressed_key_is_read_from_a_signed_callback() -> None:
    given, body = signed({"key": KEY, "status": "answered", "digits": "1", "provider": "ignored"})
    assert heard(given, body) == Callback(key=KEY, status=CallStatus.ANSWERED, digits="1")


async def test_while_secrets_rotate_both_are_accepted() -> None:
    given, body = signed({"key": KEY, "status": "busy"}, secret=OLD_SECRET)
    assert heard(given, body, old=OLD_SECRET).status is CallStatus.BUSY
    with pytest.raises(BadSignature):
        heard(given, body)


async def test_a_changed_body_is_refused() -> None:
    given, body = signed({"key": KEY, "status": "no_answer"})
    with pytest.raises(BadSignature):
        heard(given, body.replace(b"no_answer", b"answered"))


async def test_a_provider_that_cannot_sign_shows_the_secret_in_the_address() -> None:
    body = json.dumps({"key": KEY, "status": "busy"}).encode()
    assert heard({}, body, secret=SECRET).status is CallStatus.BUSY
    with pytest.raises(BadSignature):
        heard({}, body, secret=OLD_SECRET)


async def test_where_no_key_can_come_back_the_text_says_to_acknowledge_in_the_chat(phone: PhoneServer) -> None:
    pager = WebhookPager("phone", phone.url, SECRET, keys=False)
    await pager.call(page())
    await pager.close()
    assert phone.requests[0].json["text"] == "sev1 短信发不出去。请在群里确认。"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 60_000, "not JSON"),
        (b'{"key": "' + b"k" * 70_000 + b'"}', "longer than"),
        (b'{"status": "answered"}', "key must be"),
        (b'{"key": 7, "status": "answered"}', "key must be"),
        (b'{"key": "k", "status": "ANSWERED"}', "status must be ringing"),
        (b'{"key": "k", "status": ["answered"]}', "status must be"),
        (b'{"key": "k", "status": "answered", "digits": 1}', "digits must be"),
        (b'{"key": "k", "status": "answered", "digits": "1;DROP"}', "digits must be"),
    ],
)
def test_a_callback_that_cannot_be_read_says_why_in_both_languages(body: bytes, why: str) -> None:
    with pytest.raises(UserError, match=why) as refused:
        read_callback(body)
    assert refused.value.text.zh != refused.value.text.en
