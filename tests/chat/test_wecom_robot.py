"""The robot on its long connection, against a WeCom that refuses what the real one refuses."""

from __future__ import annotations

import asyncio

import pytest

from bot.domain.errors import SendFailed
from bot.domain.message import Button, Buttons, File, Header, Paragraph, Progress
from bot.domain.text import Text, same
from tests.chat.wecom_bot import Bot, running, until
from tests.chat.wecom_server import WeComServer

OPS = "wecom:bot/ops"
ASKING = (Header(text=same("diagnosing"), tone="busy"), Progress(done=1, total=9, text=same("asking")))
FOUND = (Header(text=same("DNS is rate-limited"), tone="bad"), Paragraph(text=same("stop 10.3.7.21")))
ACK = Buttons(buttons=(Button(label=Text("我来处理", "I have it"), command="/ack", primary=True),))


async def test_a_mention_of_the_robot_is_a_command_and_its_answer_is_one_stream_that_ends() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        msgid = await wecom.types(OPS, "lin", "/diag sms")
        await until(lambda: bot.door.lines)
        assert [(i.text, i.who.id, i.room, i.message_id) for i in bot.door.lines] == [("/diag sms", "lin", OPS, msgid)]
        ref = await bot.says(OPS, *ASKING, answers=msgid)
        await bot.says(OPS, *FOUND, answers=msgid, ref=ref)
        assert bot.shown(OPS) == ["🔴 **DNS is rate-limited**\nstop 10.3.7.21"]
        assert [(s.kind, s.live) for s in wecom.screen(OPS)] == [("markdown", False)]
        assert wecom.complaints == []


async def test_one_person_alone_with_the_robot_needs_no_mention() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        msgid = await wecom.types("wecom:one/lin", "lin", "/ack")
        await until(lambda: bot.door.lines)
        await bot.says("wecom:one/lin", *FOUND, answers=msgid)
        assert bot.door.lines[0].room == "wecom:one/lin"
        assert len(bot.shown("wecom:one/lin")) == 1
        assert wecom.complaints == []


async def test_a_message_that_comes_twice_is_one_command() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        msgid = await wecom.types(OPS, "lin", "/page")
        await wecom.types(OPS, "lin", "/page", msgid=msgid)
        await wecom.types(OPS, "lin", "/ack")
        await until(lambda: len(bot.door.lines) == 2)
        assert bot.door.texts == ["/page", "/ack"]
        assert bot.door.again == []


async def test_buttons_stand_on_a_card_that_changes_when_somebody_presses() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        msgid = await wecom.types(OPS, "lin", "/incident declare x")
        await bot_ready(bot)
        await bot.says(OPS, *FOUND, ACK, answers=msgid)
        assert bot.shown(OPS)[1] == "🔴 DNS is rate-limited\nstop 10.3.7.21\n[I have it]"
        await wecom.presses(OPS, "wang", "I have it")
        await until(lambda: "/ack" in bot.door.texts)
        await until(lambda: "wang" in bot.shown(OPS)[1])
        assert bot.shown(OPS)[1] == "🔴 DNS is rate-limited\n✓ wang: I have it\nstop 10.3.7.21\n[✓I have it]"
        assert bot.door.lines[-1].who.id == "wang"
        assert wecom.complaints == []


async def test_progress_is_never_a_message_of_its_own_once_its_stream_is_over() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        await wecom.types(OPS, "lin", "/watch")
        await bot_ready(bot)
        ref = await bot.says(OPS, *FOUND)
        before = bot.shown(OPS)
        assert await bot.says(OPS, *ASKING, ref=ref) == ref
        assert bot.shown(OPS) == before


async def test_the_same_content_is_not_said_again_and_a_change_is_said_once() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        await wecom.types(OPS, "lin", "/incident status")
        await bot_ready(bot)
        ref = await bot.says(OPS, *FOUND, key="card")
        assert await bot.says(OPS, *FOUND, key="card", ref=ref) == ref
        waiting = await bot.says(OPS, Header(text=same("acked by lin"), tone="info"), key="card", ref=ref)
        assert waiting != ref
        assert sum("DNS is rate-limited" in line for line in bot.shown(OPS)) == 1
        assert wecom.complaints == []


async def test_a_file_goes_up_in_chunks_and_arrives_whole() -> None:
    content = "# Postmortem\n" + "x" * 1_200_000
    async with WeComServer() as wecom, running(wecom) as bot:
        msgid = await wecom.types(OPS, "lin", "/postmortem")
        await bot_ready(bot)
        file = File(name="INC-1.md", title=same("Postmortem"), content=content)
        await bot.says(OPS, Header(text=same("done"), tone="good"), file, answers=msgid)
        assert wecom.screen(OPS)[-1].file == ("INC-1.md", content.encode())
        assert wecom.complaints == []


async def test_a_clean_close_does_not_leave_the_robot_deaf() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        for code in (1000, 0):
            await until(wecom.robot.subscribed.is_set)
            await wecom.robot.cut(code)
            await wecom.types(OPS, "lin", f"/note {code}")
        await until(lambda: len(bot.door.lines) == 2)
        assert wecom.robot.connections == 3


async def test_of_two_bots_one_holds_the_connection_and_the_other_leaves_its_rooms_alone() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    first.set()

    async def one() -> bool:
        return first.is_set()

    async def two() -> bool:
        return second.is_set()

    async with WeComServer() as wecom, running(wecom, holds=one) as a, running(wecom, holds=two) as b:
        await wecom.types(OPS, "lin", "/note 1")
        await until(lambda: a.door.lines)
        assert (list(a.platform.out_of_reach()), "wecom:bot/" in b.platform.out_of_reach()) == ([], True)
        first.clear()
        second.set()
        await until(lambda: wecom.robot.connections == 2)
        await wecom.types(OPS, "lin", "/note 2")
        await until(lambda: b.door.lines)
        assert "wecom:bot/" in a.platform.out_of_reach()
        assert [b.platform.out_of_reach(), a.door.texts, b.door.texts] == [(), ["/note 1"], ["/note 2"]]


async def bot_ready(bot) -> None:
    await until(lambda: bot.door.lines)


async def test_a_card_whose_arrival_is_unknown_is_shown_once() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        msgid = await wecom.types(OPS, "lin", "/incident declare x")
        await bot_ready(bot)
        for lost in ("aibot_respond_msg", "aibot_send_msg"):
            await until(wecom.robot.subscribed.is_set)
            wecom.robot.lose = [lost]
            with pytest.raises(SendFailed):
                await tried(bot, msgid)
        await tried(bot, msgid)
        assert bot.shown(OPS) == [
            "🔴 **DNS is rate-limited**\nstop 10.3.7.21",
            "🔴 DNS is rate-limited\nstop 10.3.7.21\n[I have it]",
        ]


async def tried(bot: Bot, msgid: str) -> None:
    """One try of the deliverer, once the connection is there."""
    await until(lambda: bot.platform._robot.link.connected)
    await bot.says(OPS, *FOUND, ACK, answers=msgid)
