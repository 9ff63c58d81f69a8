"""What comes to WeCom's callback addresses: genuine or refused, taken in once, and always answered in time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.wecom.envelope import MOST
from bot.domain.errors import StoreUnavailable
from bot.domain.platforms import WeComApp
from tests.chat.wecom_bot import running, until
from tests.chat.wecom_crypto import encrypt, sign
from tests.chat.wecom_server import WeComServer

LIN = "wecom:app/lin"
VECTOR = json.loads((Path(__file__).parents[1] / "data" / "vectors.json").read_text())["wecom_callback"]
BOTH = pytest.mark.parametrize("path", ["/wecom/callback", "/wecom/bot"])


def query_of(vector: dict[str, str]) -> dict[str, str]:
    return {name: vector[name] for name in ("msg_signature", "timestamp", "nonce")}


def at(vector: dict[str, str]) -> Callable[[], float]:
    return lambda: float(vector["timestamp"])


def of_the_document() -> WeComApp:
    """The application of WeCom's own example."""
    return WeComApp(
        corp_id=VECTOR["receiveid"],
        agent_id=218,
        secret="s",
        token=VECTOR["token"],
        aes_key=VECTOR["encoding_aes_key"],
    )


async def test_wecoms_own_example_of_a_verification_is_answered_with_its_text() -> None:
    example = VECTOR["verify"]
    async with WeComServer() as wecom, running(wecom, now=at(example), app=of_the_document()):
        query = query_of(example) | {"echostr": example["echostr"]}
        assert await wecom.caller.raw("/wecom/callback", b"", query, method="GET") == (200, example["plain"])


async def test_wecoms_own_example_of_a_message_is_read() -> None:
    example = VECTOR["message"]
    async with WeComServer() as wecom, running(wecom, now=at(example), app=of_the_document()) as bot:
        status, text = await wecom.caller.raw("/wecom/callback", example["body"].encode(), query_of(example))
        assert (status, text) == (200, "")
        assert [(i.text, i.who.id, i.room) for i in bot.door.lines] == [("hello", "mycreate", "wecom:app/mycreate")]


@BOTH
async def test_saving_the_address_is_answered_at_once(path: str) -> None:
    async with WeComServer(mode="callback") as wecom, running(wecom):
        assert await wecom.caller.verify(path) == (200, "1616140317555161061")
        assert wecom.complaints == []


@BOTH
async def test_an_address_is_not_verified_with_another_token_or_key(path: str) -> None:
    async with WeComServer(mode="callback") as wecom, running(wecom):
        assert (await wecom.caller.verify(path, token="another"))[0] == 403
        assert (await wecom.caller.verify(path, key="x" * 42 + "A"))[0] == 400


async def test_a_message_to_the_application_is_a_command_of_whoever_wrote_it() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        await wecom.types(LIN, "lin", "/diag sms")
        assert [(i.text, i.who.platform, i.who.id, i.room) for i in bot.door.lines] == [
            ("/diag sms", "wecom", "lin", LIN)
        ]


async def test_a_message_that_comes_again_is_one_command() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        body, query = wecom.caller.sealed_app(text_fields(wecom, "/page lin", MsgId=77))
        for _ in range(4):
            assert await wecom.caller.raw("/wecom/callback", body, query) == (200, "")
        assert bot.door.texts == ["/page lin"]
        assert len(bot.door.again) == 3


async def test_an_event_without_an_id_is_known_by_who_and_when() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        pressed = {**text_fields(wecom), "MsgType": "event", "Event": "click", "EventKey": "/oncall"}
        assert [await wecom.caller.app(pressed) for _ in range(2)] == [200, 200]
        assert await wecom.caller.app(pressed | {"CreateTime": pressed["CreateTime"] + 1}) == 200
        assert bot.door.texts == ["/oncall", "/oncall"]


async def test_what_carries_no_command_is_answered_and_left_alone() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        for more in (
            {"MsgType": "image", "PicUrl": "http://x", "MsgId": 1},
            {"MsgType": "event", "Event": "subscribe"},
            {"MsgType": "event", "Event": "enter_agent", "EventKey": ""},
            {"MsgType": "event", "Event": "a_kind_of_next_year", "Strange": "x"},
        ):
            assert await wecom.caller.app({**text_fields(wecom), **more}) == 200
        assert bot.door.lines == []


# --- what is not WeCom's


async def test_what_is_forged_old_or_for_somebody_else_reaches_nothing() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        call, fields = wecom.caller, text_fields(wecom, "/page lin", MsgId=1)
        body, query = call.sealed_app(fields)
        forged = query | {"msg_signature": "0" * 40}
        other_body, _ = call.sealed_app(text_fields(wecom, "/page wang", MsgId=2))
        old = call.sealed_app(fields, stamp=int(time.time()) - 400)
        ahead = call.sealed_app(fields, stamp=int(time.time()) + 400)
        for sent in ((body, forged), (other_body, query), old, ahead):
            assert (await call.raw("/wecom/callback", *sent))[0] == 403
        for sent in (
            call.sealed_app(fields, receiver="wwanother"),
            call.sealed_app(fields | {"ToUserName": "wwanother"}),
            call.sealed_app(fields | {"AgentID": 1000099}),
        ):
            assert (await call.raw("/wecom/callback", *sent))[0] == 400
        assert bot.door.lines == []


TEN_OF_EACH = "".join(f'<!ENTITY {n} "{f"&{b};" * 10}">' for b, n in zip("abcdefghi", "bcdefghij", strict=True))
BOMB = f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{TEN_OF_EACH}]><xml><Content>&j;</Content></xml>'
FETCH = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml><Content>&a;</Content></xml>'


@pytest.mark.parametrize(
    "inner",
    [
        *("", "x", "<xml/>", "<xml>", "<other><MsgType>text</MsgType></other>", BOMB, FETCH, "<xml>" * 5000),
        "<xml><MsgType>text</MsgType></xml>",
        "<xml><FromUserName>a</FromUserName><FromUserName>b</FromUserName><MsgType>text</MsgType></xml>",
        "<xml><FromUserName><b>x</b></FromUserName><MsgType>text</MsgType></xml>",
        "<xml><FromUserName>a b</FromUserName><MsgType>text</MsgType><Content>/ack</Content></xml>",
    ],
    ids=lambda inner: inner[:24],
)
async def test_genuine_envelopes_with_strange_contents_are_refused_and_named_in_the_log(
    inner: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        status, text = await wecom.caller.raw("/wecom/callback", *wecom.caller.sealed_app(inner))
        assert (400 <= status < 500, text, bot.door.lines) == (True, "", [])
        assert any("/wecom/callback" in line for line in caplog.messages)
        assert await wecom.caller.app(text_fields(wecom, "/ack", MsgId=9)) == 200, "and the next one is taken"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"\xff\xfe\x00", b"<xml/>", BOMB.encode(), b"<xml><Encrypt/></xml>", b"<xml>" * 9000]
)
async def test_bodies_that_are_none_of_wecoms_are_refused(body: bytes) -> None:
    async with WeComServer() as wecom, running(wecom):
        _, query = wecom.caller.sealed_app("x")
        for given in ({}, query, query | {"timestamp": "nan"}, query | {"timestamp": "9" * 40}, {"nonce": "\ud7ff"}):
            assert 400 <= (await wecom.caller.raw("/wecom/callback", body, given))[0] < 500


async def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole() -> None:
    async with WeComServer() as wecom, running(wecom):
        _, query = wecom.caller.sealed_app("x")
        assert (await wecom.caller.raw("/wecom/callback", b"x" * (MOST + 1), query))[0] == 413


@pytest.mark.parametrize(
    "inner", ["", "[]", "null", "{}", "[" * 5000, '{"msgid": 1}', '{"msgid": "a", "msgtype": "text"}']
)
async def test_a_robots_genuine_envelope_with_strange_contents_is_refused(inner: str) -> None:
    async with WeComServer(mode="callback") as wecom, running(wecom) as bot:
        call = wecom.caller
        sealed, stamp = encrypt(call.bot_key, inner, ""), str(int(time.time()))
        query = {"timestamp": stamp, "nonce": "n", "msg_signature": sign(call.bot_token, stamp, "n", sealed)}
        status, _ = await call.raw("/wecom/bot", json.dumps({"encrypt": sealed}).encode(), query)
        assert (400 <= status < 500, bot.door.lines) == (True, [])


# --- answered in time


@pytest.mark.timeout(60)
async def test_wecom_is_answered_within_five_seconds_however_busy_the_bot_is() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        bot.door.gate.clear()
        await asyncio.gather(*(wecom.types(LIN, "lin", f"/note {n}") for n in range(30)))
        assert [status for _, status, _ in wecom.caller.answered] == [200] * 30, "and none was sent a second time"
        assert wecom.complaints == []
        bot.door.gate.set()
        await until(lambda: len(bot.door.lines) == 30)


async def test_what_could_not_be_recorded_comes_again_and_is_then_carried_out() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        bot.door.error = StoreUnavailable("away")
        assert await wecom.caller.app(text_fields(wecom, "/ack", MsgId=5), tries=1) == 503
        bot.door.error = None
        assert await wecom.caller.app(text_fields(wecom, "/ack", MsgId=5)) == 200
        assert bot.door.texts == ["/ack"]


def text_fields(wecom: WeComServer, text: str = "", **more: Any) -> dict[str, Any]:
    """What a message of lin's to the application carries."""
    to = {"ToUserName": wecom.qyapi.corp_id, "FromUserName": "lin", "CreateTime": int(time.time())}
    return {**to, "MsgType": "text", "Content": text, "AgentID": wecom.qyapi.agent_id, **more}
