"""Whatever comes in a genuine envelope: WeCom is never answered 5xx, and what reaches the door can be kept."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from bot.adapters.wecom import WeComPlatform
from bot.adapters.wecom.reading import Unreadable, robot_message
from bot.domain.platforms import WeComApp, WeComBot, WeComSettings
from tests.chat.door import Door
from tests.chat.wecom_bot import yes
from tests.chat.wecom_callbacks import Caller
from tests.chat.wecom_crypto import encrypt, sign
from tests.chat.wecom_world import World

CALLER = Caller(World(), corp_id="wwcorp", agent_id=1000002)
SETTINGS = WeComSettings(
    api_url="http://127.0.0.1:9/",
    app=WeComApp(
        corp_id="wwcorp", agent_id=1000002, secret="s", token=CALLER.app_token, aes_key=CALLER.app_key
    ),
    bot=WeComBot(
        bot_id="aib-1", name="War room", mode="callback", token=CALLER.bot_token, aes_key=CALLER.bot_key
    ),
)  # fmt: skip
COMMON = {"msgid": "m1", "aibotid": "aib-1", "chatid": "ops", "chattype": "group", "from": {"userid": "lin"}}
MESSAGE = COMMON | {"msgtype": "text", "text": {"content": "@War room /ack"}, "response_url": "http://127.0.0.1:9/r"}
PRESS = COMMON | {
    "msgtype": "event",
    "event": {
        "eventtype": "template_card_event",
        "template_card_event": {"card_type": "button_interaction", "event_key": "/ack INC-1", "task_id": "wr-1"},
    },
}
QUOTE = MESSAGE | {"text": {"content": "/note"}, "quote": {"msgtype": "text", "text": {"content": "it broke at 22:31"}}}
MIXED = MESSAGE | {"msgtype": "mixed", "mixed": {"msg_item": [{"msgtype": "text", "text": {"content": "/ack"}}]}}
REFRESH = COMMON | {"msgtype": "stream", "stream": {"id": "wr1"}}
TEXTS = st.one_of(
    st.text(st.characters(), max_size=30),  # lone surrogates are among them
    st.sampled_from(["", "/ack", "\ud800", "\u202e/ack", "\x00", "text", "event", "group", "x" * 30_000, "@War room"]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["content", "id", "x"]), inner),
    max_leaves=6,
)
PATHS = [("msgid",), ("chatid",), ("chattype",), ("from",), ("from", "userid"), ("msgtype",), ("text",)]
PATHS += [("text", "content"), ("response_url",), ("event",), ("event", "eventtype"), ("event", "template_card_event")]
PATHS += [("event", "template_card_event", word) for word in ("event_key", "task_id")]
PATHS += [("quote",), ("quote", "text"), ("quote", "text", "content"), ("quote", "msgtype"), ("mixed", "msg_item")]
PATHS += [("stream",), ("stream", "id")]


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A message of WeCom's with one to three of its values replaced or taken away."""
    body: dict[str, Any] = copy.deepcopy(draw(st.sampled_from([MESSAGE, PRESS, QUOTE, MIXED, REFRESH])))
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)):
        place: Any = body
        for word in path[:-1]:
            place = place.get(word) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[path[-1]] = draw(VALUES)
            if draw(st.booleans()) and draw(st.booleans()):
                del place[path[-1]]
    return body


def deliver(path: str, content: bytes, query: dict[str, str]) -> tuple[int, Door]:
    """(status, door) of one delivery to a fresh bot."""

    async def sent() -> tuple[int, Door]:
        door = Door()
        platform = WeComPlatform(SETTINGS, door, lang="en", zone=ZoneInfo("Asia/Shanghai"), holds=yes)
        transport = httpx.ASGITransport(Starlette(routes=list(platform.routes())), raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://bot") as client:
            answer = await client.post(path, params=query, content=content)
        await platform.close()
        return answer.status_code, door

    return asyncio.run(sent())


def can_be_kept(door: Door) -> None:
    for line in door.lines:
        for word in (line.text, line.room, line.who.id, line.message_id):
            assert word.encode()
            assert "\x00" not in word
            assert "\u202e" not in word
    for kept in door.kept:
        assert (kept.author.id + kept.room + kept.message_id).encode()


OFTEN = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@OFTEN
@given(bodies())
def test_a_robots_callback_never_fails(body: dict[str, Any]) -> None:
    sealed, stamp = encrypt(CALLER.bot_key, json.dumps(body), ""), str(int(time.time()))
    query = {"timestamp": stamp, "nonce": "n", "msg_signature": sign(CALLER.bot_token, stamp, "n", sealed)}
    status, door = deliver("/wecom/bot", json.dumps({"encrypt": sealed}).encode(), query)
    assert status < 500
    can_be_kept(door)


@OFTEN
@given(bodies())
def test_what_the_long_connection_brings_is_read_or_called_unreadable(body: dict[str, Any]) -> None:
    try:
        heard = robot_message(json.loads(json.dumps(body)), "War room")
    except Unreadable:
        return
    for word in (heard.text, heard.room, heard.user, heard.msgid, heard.task, heard.key, heard.response_url):
        word.encode()


NAMES = st.sampled_from(
    [
        *("ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId", "AgentID"),
        *("Event", "EventKey", "TaskId", "ResponseCode", "x"),
    ]
)
INNER = st.one_of(
    st.text(max_size=40).map(lambda t: f"<![CDATA[{t.replace(']]>', '')}]]>"),
    st.sampled_from(["", "1", "<a>1</a>", "<a/><a/>", "&lt;", "&#0;", "&#x1F600;", "&x;", "<!-- x -->", "]]>", "\x00"]),
    st.sampled_from(["text", "event", "template_card_event", "click", "/ack", "lin", "wwcorp", "1000002", "é" * 9000]),
)


@OFTEN
@given(st.lists(st.tuples(NAMES, INNER), max_size=10))
def test_a_callback_of_the_application_never_fails(fields: list[tuple[str, str]]) -> None:
    genuine = "<MsgType>text</MsgType><FromUserName>lin</FromUserName>" if len(fields) % 2 else ""
    xml = f"<xml>{genuine}{''.join(f'<{n}>{v}</{n}>' for n, v in fields)}</xml>"
    status, door = deliver("/wecom/callback", *CALLER.sealed_app(xml))
    assert status < 500
    can_be_kept(door)


@pytest.mark.parametrize("field", ["userid", "chatid", "msgid"])
@pytest.mark.parametrize("ident", ["\ud800", "a\u202eb", "a b", "a\x00", "", "x" * 129])
def test_an_id_that_cannot_be_kept_is_refused(field: str, ident: str) -> None:
    body = copy.deepcopy(MESSAGE)
    (body["from"] if field == "userid" else body)[field] = ident  # type: ignore[index]
    with pytest.raises(Unreadable, match="id"):
        robot_message(body, "War room")
