"""Every kind of phone provider against a server that keeps to the provider's own rules."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from bot.adapters.pagers import MAKERS, Provider, make
from bot.app.ports import Finds, Given, HangsUp, Heard, Tells
from bot.domain.errors import SendFailed, UserError
from bot.domain.page import Callback, CallStatus, Page
from bot.domain.pager_kinds import KINDS, PagerConfig
from bot.domain.webhooks import BadSignature
from tests.adapters.providers.aliyun import AliyunServer
from tests.adapters.providers.base import Provider as Server
from tests.adapters.providers.base import serving
from tests.adapters.providers.desks import FlashDutyServer, GoAlertServer, PagerDutyServer
from tests.adapters.providers.tencent import TencentServer
from tests.adapters.providers.twilio import TwilioServer
from tests.adapters.providers.webhook import WebhookServer
from tests.store.samples import page

SERVERS: dict[str, type[Server]] = {
    server.kind: server
    for server in (
        WebhookServer,
        TwilioServer,
        TencentServer,
        AliyunServer,
        PagerDutyServer,
        GoAlertServer,
        FlashDutyServer,
    )
}
PUBLIC = "https://warroom.example"
PAGE = page(callback_url=f"{PUBLIC}/hooks/phone/", title="短信发不出去 <上海>")
every_kind = pytest.mark.parametrize("kind", SERVERS)


@dataclass
class Night:
    """A provider, and the bot's side of it."""

    server: Server
    pager: Provider

    async def refused(self, asked: Page = PAGE) -> SendFailed:
        with pytest.raises(SendFailed) as failed:
            await self.pager.call(asked)
        return failed.value

    def hears(self, *, digits: str = "", forged: bool = False) -> Heard:
        told = {
            "url": f"{PUBLIC}/hooks/phone/p",
            **self.server.answers(self.server.rung[-1], digits=digits, forged=forged),
        }
        return self.pager.read(Given(**told))


@asynccontextmanager
async def night(kind: str, *, public_url: str = PUBLIC, **more: object) -> AsyncIterator[Night]:
    async with serving(SERVERS[kind]()) as server:
        config = replace(server.config(timeout_s=1.5), **more)  # type: ignore[arg-type]
        pager = make(config, public_url=public_url)
        try:
            yield Night(server, pager)
        finally:
            await pager.close()


def test_the_table_of_makers_is_the_table_of_kinds_and_what_they_can_is_what_it_says() -> None:
    assert set(MAKERS) == set(KINDS) == set(SERVERS)
    for name, kind in KINDS.items():
        pager = make(SERVERS[name]().config(), public_url=PUBLIC)
        can = (isinstance(pager, Finds), isinstance(pager, HangsUp), isinstance(pager, Tells))
        assert (name, *can) == (name, kind.finds, kind.hangs_up, kind.tells)
        assert tuple(pager.limits) == kind.limits


@every_kind
async def test_a_page_is_placed_and_says_what_is_wrong_without_markup(kind: str) -> None:
    async with night(kind) as it:
        ref = await it.pager.call(PAGE)
        (rung,) = it.server.rung
        assert rung.ref in ref or rung.key in ref
        if kind != "webhook":
            assert "短信发不出去" in rung.said
            assert "<" not in rung.said


@every_kind
async def test_the_same_page_again_rings_once_where_keys_are_honoured(kind: str) -> None:
    async with night(kind) as it:
        await it.pager.call(PAGE)
        if isinstance(it.server, AliyunServer):
            it.server.now += 61
        await it.pager.call(PAGE)
        assert len(it.server.rung) == (1 if KINDS[kind].honours_keys else 2)


@every_kind
async def test_a_refusal_is_for_good_and_names_the_providers_reason(kind: str) -> None:
    async with night(kind) as it:
        it.server.troubles.append("refuse")
        error = await it.refused()
        assert (error.permanent, error.uncertain) == (True, False)
        reason = {"twilio": "21211", "tencent_vms": "CalledNumberVerifyFail", "aliyun_vms": "MOBILE_NUMBER_ILLEGAL"}
        assert reason.get(kind, "HTTP 4") in str(error)


@every_kind
async def test_a_throttle_is_no_refusal_and_says_how_long(kind: str) -> None:
    async with night(kind) as it:
        it.server.troubles.append("throttle")
        error = await it.refused()
        assert (error.permanent, error.uncertain) == (False, False)
        waits = {"webhook": 7, "twilio": 2, "tencent_vms": 60, "aliyun_vms": 300, "pagerduty": 60, "flashduty": 5}
        assert error.retry_after_s == waits.get(kind, 1)


@every_kind
@pytest.mark.parametrize("trouble", ["500", "503", "hang", "reset"])
async def test_whatever_goes_wrong_after_the_request_leaves_it_uncertain(kind: str, trouble: str) -> None:
    async with night(kind) as it:
        it.server.troubles.append(trouble)  # type: ignore[arg-type]
        began = time.monotonic()
        error = await it.refused()
        assert (error.permanent, error.uncertain) == (False, True)
        assert time.monotonic() - began < 12
        assert len(it.server.rung) == 1


@every_kind
async def test_a_closed_port_means_nobody_was_called(kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with night(kind, url=f"http://127.0.0.1:{free.getsockname()[1]}") as it:
            error = await it.refused()
    assert (error.permanent, error.uncertain) == (False, False)


@every_kind
async def test_key_1_comes_back_and_belongs_to_the_page(kind: str) -> None:
    async with night(kind) as it:
        ref = await it.pager.call(PAGE)
        (said,) = it.hears(digits="1").said
        assert (said.digits, said.status) == ("1", CallStatus.ANSWERED)
        assert said.key == PAGE.key or {ref, ref.partition(" ")[0], PAGE.key} & set(said.refs)


@every_kind
async def test_key_2_escalates_where_it_is_pressed_on_a_phone_of_ours(kind: str) -> None:
    async with night(kind) as it:
        await it.pager.call(PAGE)
        digits = [said.digits for said in it.hears(digits="2").said]
        assert digits == (["2"] if KINDS[kind].names_people else [])


@every_kind
async def test_a_report_without_a_key_acknowledges_nothing(kind: str) -> None:
    async with night(kind) as it:
        await it.pager.call(PAGE)
        assert [said.digits for said in it.hears().said] in ([""], [])


@every_kind
async def test_a_forged_report_is_refused(kind: str) -> None:
    async with night(kind) as it:
        await it.pager.call(PAGE)
        with pytest.raises(BadSignature):
            it.hears(digits="1", forged=True)


@every_kind
async def test_a_report_whose_secret_is_not_configured_here_is_refused(kind: str) -> None:
    listens_by = KINDS[kind].listens_by
    if listens_by in KINDS[kind].secrets:
        pytest.skip("its secret is always there")
    without = {k: v for k, v in SERVERS[kind].secrets.items() if k != listens_by}
    async with night(kind, secrets=without) as it:
        await it.pager.call(PAGE)
        with pytest.raises(BadSignature):
            it.hears(digits="1")


@every_kind
@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"[" * 60_000, b'{"event": 1}', b"\xff\xfe", b"k" * 70_000])
async def test_a_body_that_is_none_is_refused_in_words_or_says_nothing(kind: str, body: bytes) -> None:
    async with night(kind) as it:
        await it.pager.call(PAGE)
        told = {"url": f"{PUBLIC}/hooks/phone/p", **it.server.answers(it.server.rung[-1], digits="1"), "body": body}
        try:
            assert [said.digits for said in it.pager.read(Given(**told)).said] in ([], [""])
        except (UserError, BadSignature):
            pass


@every_kind
async def test_wrong_credentials_are_refused_for_good_and_no_secret_is_in_what_is_said(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {name: f"wrong-{value}" for name, value in SERVERS[kind].secrets.items()}
    secret = "whsec_" + "QUFB" * 8 if kind == "webhook" else ""
    caplog.set_level(logging.DEBUG, logger="warroom")
    async with night(kind, secrets=wrong, secret=secret) as it:
        error = await it.refused()
        assert error.permanent
        shown = [str(error), repr(error), str(error.__cause__), repr(it.pager), repr(it.server.config()), caplog.text]
        assert not [text for text in shown if "canary" in text or (secret and secret in text)]


@every_kind
async def test_no_error_of_the_way_shows_a_secret(kind: str) -> None:
    async with night(kind) as it:
        for trouble in ("500", "hang", "reset", "throttle", "refuse"):
            it.server.troubles.append(trouble)  # type: ignore[arg-type]
            error = await it.refused(replace(PAGE, key=f"INC-1:1:lin:{trouble}"))
            cause: BaseException | None = error
            while cause is not None:
                assert "canary" not in f"{cause} {cause!r}"
                cause = cause.__cause__


@every_kind
async def test_a_call_is_ended_where_the_provider_can(kind: str) -> None:
    async with night(kind) as it:
        ref = await it.pager.call(PAGE)
        if not isinstance(it.pager, HangsUp):
            return
        for _ in range(2):  # a call that is over already is no error
            await it.pager.hang_up(ref)
        if isinstance(it.server, TwilioServer):
            assert it.server.calls[ref]["status"] == "canceled"
        else:
            assert it.server.open == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [k for k, v in KINDS.items() if v.names_people and k != "webhook"])
@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_without_a_public_address_the_call_says_to_acknowledge_in_the_chat(kind: str, lang: str) -> None:
    asked = replace(PAGE, title="sms down", person=replace(PAGE.person, lang=lang))
    words = {"zh": ("请在群里确认", "按"), "en": ("in the chat", "ress 1")}[lang]
    if kind != "twilio":
        words = {"zh": words, "en": ("ack in chat", "press 1")}[lang]
    for url in ("http://127.0.0.1:8800", "", "http://10.0.0.7:8800"):
        async with night(kind, public_url=url) as it:
            await it.pager.call(asked)
            said = it.server.rung[0].said
            if lang == "zh" or kind == "twilio":
                assert words[0] in said
            assert words[1] not in said
    async with night(kind) as it:
        await it.pager.call(asked)
        assert words[0] not in it.server.rung[0].said


@pytest.mark.parametrize("kind", [k for k, v in KINDS.items() if v.names_people and k != "webhook"])
async def test_somebody_without_a_number_is_refused_by_name(kind: str) -> None:
    async with night(kind) as it:
        error = await it.refused(replace(PAGE, person=replace(PAGE.person, phone="")))
        assert error.permanent
        assert str(error).startswith("lin has no phone number such as")
        assert it.server.asked == []


@every_kind
async def test_what_somebody_typed_as_a_title_breaks_no_providers_rules(kind: str) -> None:
    nasty = '</Say><Hangup/> & "{{$x}}" ${title} \u202e\x00 https://evil.example/?a=1 ' + "很长" * 3000
    async with night(kind) as it:
        await it.pager.call(replace(PAGE, title=nasty, severity="sev9"))
        (rung,) = it.server.rung
        assert not set("<>{}$\u202e\x00") & set(rung.said) or kind == "webhook"


def test_a_kind_is_configured_by_what_the_table_says() -> None:
    for name, kind in KINDS.items():
        config: PagerConfig = SERVERS[name]().config()
        assert set(kind.keys) - {"url"} <= set(config.options)
        assert set(config.all_secrets()) == set(SERVERS[name].secrets.values())


def test_a_callback_without_any_name_of_a_page_is_possible_and_empty() -> None:
    assert Callback(status=CallStatus.BUSY) == Callback(key="", status=CallStatus.BUSY, digits="")
