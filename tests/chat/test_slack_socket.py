"""Socket Mode: everything arrives once, whatever becomes of the connections."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from bot.domain.errors import StoreUnavailable
from bot.domain.message import Button, Buttons, Paragraph
from bot.domain.text import same
from tests.chat.slack_bot import bot, until
from tests.chat.slack_server import Answer, Envelope


async def test_commands_mentions_and_buttons_arrive_and_are_acknowledged() -> None:
    async with bot("socket") as b:
        answer = await b.slack.types("C0OPS", "U0LIN", "/diag sms")
        assert (answer.status, answer.body) == (200, {"response_type": "in_channel"})
        await b.slack.types("C0OPS", "U0LIN", "@warroom oncall")
        buttons = Buttons(buttons=(Button(label=same("I have it"), command="/ack INC-1"),))
        await b.says(Paragraph(text=same("calling")), buttons)
        assert (await b.slack.presses("C0OPS", "U0WANG", "I have it")).body is None
        assert b.door.texts == ["/diag sms", "oncall", "/ack INC-1"]
        assert b.slack.complaints == []


async def test_a_hundred_commands_at_once_are_all_acknowledged() -> None:
    async with bot("socket") as b:
        answers = await asyncio.gather(*(b.slack.types("C0OPS", "U0LIN", f"/note {n}") for n in range(100)))
        assert {answer.status for answer in answers} == {200}
        assert len(b.door.lines) == 100
        assert b.slack.complaints == []


async def test_the_next_connection_is_open_before_the_last_one_is_left() -> None:
    async with bot("socket") as b:
        leaving = asyncio.create_task(b.slack.disconnect("warning", after_s=1.0))
        await b.slack.connected(2)
        await b.slack.types("C0OPS", "U0LIN", "/note during")
        await leaving
        await b.slack.types("C0OPS", "U0LIN", "/note after")
        assert b.door.texts == ["/note during", "/note after"]
        assert b.slack.connections == 2


async def test_an_envelope_on_a_connection_that_is_being_left_is_not_lost() -> None:
    async with bot("socket") as b:
        old = b.slack.sockets[0]
        b.door.gate.clear()
        typing = asyncio.create_task(b.slack.types("C0OPS", "U0LIN", "/note slow"))
        await until(lambda: old.sent)
        leaving = asyncio.create_task(b.slack.disconnect(after_s=0.5))
        await b.slack.connected(2)
        b.door.gate.set()
        assert (await typing).status == 200
        await leaving
        assert b.door.texts == ["/note slow"]


async def test_an_envelope_whose_connection_broke_before_it_was_acknowledged_is_carried_out_once() -> None:
    async with bot("socket") as b:
        b.door.gate.clear()
        typing = asyncio.create_task(b.slack.types("C0OPS", "U0LIN", "/note once"))
        await until(lambda: b.slack.sockets[0].sent)
        assert b.slack.sockets[0].ws._req is not None
        transport = b.slack.sockets[0].ws._req.transport
        assert transport is not None
        transport.abort()
        b.door.gate.set()
        assert (await typing).status == 200
        assert b.door.texts == ["/note once"]


async def test_a_replayed_envelope_is_carried_out_once() -> None:
    async with bot("socket") as b:
        payload = b.slack.slash("C0OPS", "U0LIN", "/note once")
        for number in ("e1", "e2", "e3"):
            envelope = Envelope(number, "slash_commands", payload, asyncio.get_running_loop().create_future())
            assert (await b.slack.send(envelope, time.monotonic())).status == 200
        assert (b.door.texts, len(b.door.again)) == (["/note once"], 2)


async def test_a_server_that_went_silent_is_left_for_another() -> None:
    async with bot("socket", ping_s=0.4) as b:
        b.slack.silence()
        await b.slack.connected()
        await b.slack.types("C0OPS", "U0LIN", "/note still here")
        assert b.door.texts == ["/note still here"]


async def test_a_deaf_server_that_answers_pings_is_left_as_well() -> None:
    async with bot("socket", ping_s=0.2, idle_s=1.0) as b:
        b.slack.silence(but_pings=True)
        await b.slack.connected()
        await b.slack.types("C0OPS", "U0LIN", "/note still here")
        assert b.door.texts == ["/note still here"]


async def test_a_closed_connection_is_opened_anew() -> None:
    async with bot("socket") as b:
        for n in range(3):
            await b.slack.sockets[0].ws.close()
            await until(lambda: b.slack.connections > 1 + n)  # noqa: B023
            await b.slack.connected()
            await b.slack.types("C0OPS", "U0LIN", f"/note {n}")
        assert b.door.texts == ["/note 0", "/note 1", "/note 2"]


async def test_slack_being_down_for_a_while_is_waited_for() -> None:
    async with bot("socket") as b:
        b.slack.down = True
        await b.slack.sockets[0].ws.close()
        await until(lambda: not b.slack.sockets)
        typing = asyncio.create_task(b.slack.types("C0OPS", "U0LIN", "/note later"))
        await asyncio.sleep(0.3)
        b.slack.down = False
        assert (await typing).status == 200
        assert b.door.texts == ["/note later"]


async def test_what_cannot_be_recorded_is_not_acknowledged_so_that_slack_brings_it_again() -> None:
    async with bot("socket") as b:
        b.door.error = StoreUnavailable("the disk is full")
        event = b.slack.message("C0OPS", "U0LIN", "@warroom ack")
        envelope = Envelope("e1", "events_api", event, asyncio.get_running_loop().create_future())
        sending = asyncio.create_task(b.slack.send(envelope, time.monotonic()))
        await until(lambda: b.slack.sockets[0].sent)
        await asyncio.sleep(0.2)
        assert not envelope.acked.done()
        b.door.error = None
        again = Envelope("e2", "events_api", event, asyncio.get_running_loop().create_future())
        assert (await b.slack.send(again, time.monotonic())).status == 200
        assert b.door.texts == ["ack"]
        envelope.acked.set_result(None)
        await sending


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        {"type": "nonsense"},
        {"type": "event_callback", "event": 7},
        {"type": "event_callback", "authorizations": 7},
    ],
)
async def test_an_unreadable_envelope_is_acknowledged_and_nothing_breaks(payload: Any) -> None:
    async with bot("socket") as b:
        envelope = Envelope("e1", "events_api", payload, asyncio.get_running_loop().create_future())
        answer: Answer = await b.slack.send(envelope, time.monotonic())
        assert (answer.status, answer.body) == (200, None)
        await b.slack.types("C0OPS", "U0LIN", "/note alive")
        assert b.door.texts == ["/note alive"]


@pytest.mark.parametrize("frame", ["", "{", "[]", "null", json.dumps({"type": "new"}), json.dumps({"envelope_id": 7})])
async def test_frames_that_are_nothing_are_passed_over(frame: str) -> None:
    async with bot("socket") as b:
        await b.slack.sockets[0].ws.send_str(frame)
        await b.slack.types("C0OPS", "U0LIN", "/note alive")
        assert (b.door.texts, b.slack.connections) == (["/note alive"], 1)
