"""The application: what it says to members, against a qyapi that refuses what the real one refuses."""

from __future__ import annotations

import asyncio

import pytest

from bot.adapters.wecom.answers import Ref
from bot.domain.errors import SendFailed
from bot.domain.message import Button, Buttons, Code, File, Header, Paragraph
from bot.domain.text import Text, same
from tests.chat.wecom_bot import running, until
from tests.chat.wecom_server import WeComServer

LIN = "wecom:app/lin"
FOUND = (Header(text=same("DNS is rate-limited"), tone="bad"), Paragraph(text=same("stop 10.3.7.21")))
ACK = Buttons(buttons=(Button(label=Text("我来处理", "I have it"), command="/ack INC-1", primary=True),))


def said(text: str) -> tuple[Paragraph]:
    return (Paragraph(text=same(text)),)


# --- the token


async def test_a_hundred_messages_at_once_ask_for_one_token() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        for user in (users := [f"u{n}" for n in range(100)]):
            wecom.world.add_user(user)
        await asyncio.gather(*(bot.says(f"wecom:app/{u}", *said("up"), key=u) for u in users))
        assert wecom.qyapi.calls["gettoken"] == 1
        assert all(bot.shown(f"wecom:app/{u}") == ["up"] for u in users)
        assert wecom.complaints == []


async def test_a_token_that_is_revoked_or_expires_early_is_renewed_once_and_nothing_is_said_twice() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        await bot.says(LIN, *said("one"), key="1")
        wecom.qyapi.revoke()  # 40014
        await bot.says(LIN, *said("two"), key="2")
        wecom.qyapi.fail["message/send"] = [42001]
        await bot.says(LIN, *said("three"), key="3")
        assert (bot.shown(LIN), wecom.qyapi.calls["gettoken"]) == (["one", "two", "three"], 3)


async def test_a_token_that_many_find_expired_is_renewed_once() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        await bot.says(LIN, *said("first"), key="0")
        wecom.qyapi.revoke()
        await asyncio.gather(*(bot.says(LIN, *said(f"line {n}"), key=f"{n + 1}") for n in range(20)))
        assert (len(bot.shown(LIN)), wecom.qyapi.calls["gettoken"]) == (21, 2)


@pytest.mark.parametrize("code", [40014, 42001, 40001])
async def test_a_token_trouble_that_lasts_ends_after_the_second_try_and_waits(code: int) -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        wecom.qyapi.fail["message/send"] = [code] * 50
        with pytest.raises(SendFailed, match=str(code)) as refused:
            await bot.says(LIN, *said("x"))
        assert (wecom.qyapi.calls["message/send"], refused.value.permanent) == (2, False)


async def test_a_file_whose_token_expired_on_the_way_arrives_whole() -> None:
    file = File(name="INC-1.md", title=same("Postmortem"), content="# Postmortem\n短信\n" * 2000)
    async with WeComServer() as wecom, running(wecom) as bot:
        wecom.qyapi.fail["media/upload"] = [42001]
        await bot.says(LIN, Header(text=same("done"), tone="good"), file)
        assert wecom.screen(LIN)[-1].file == ("INC-1.md", file.content.encode())
        assert wecom.complaints == []


# --- limits


async def test_more_than_a_minute_takes_waits_and_nothing_is_dropped() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        for n in range(30):
            await bot.says(LIN, *said(f"line {n}"), key=f"{n}")
        with pytest.raises(SendFailed) as full:
            await bot.says(LIN, *said("line 30"), key="30")
        assert 55 < (full.value.retry_after_s or 0) < 61
        assert not full.value.permanent
        assert (len(bot.shown(LIN)), wecom.complaints) == (30, [])
        await bot.says("wecom:app/wang", *said("others do not wait"))


async def test_when_wecom_says_too_often_the_message_waits_a_minute() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        wecom.qyapi.fail["message/send"] = [45009]
        with pytest.raises(SendFailed) as busy:
            await bot.says(LIN, *said("x"))
        assert (busy.value.permanent, busy.value.retry_after_s) == (False, 60.0)
        await bot.says(LIN, *said("x"))
        assert bot.shown(LIN) == ["x"]


async def test_a_text_over_the_limit_comes_in_parts_and_loses_nothing() -> None:
    lines = [f"第 {n} 行：上海 VPC 的 DNS 被云厂商限频" for n in range(80)]
    async with WeComServer() as wecom, running(wecom) as bot:
        await bot.says(LIN, *said("\n".join(lines)))
        assert len(bot.shown(LIN)) > 1
        assert "\n".join(bot.shown(LIN)).splitlines() == lines
        assert wecom.complaints == []


async def test_a_text_of_many_parts_is_one_part_and_a_file() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        await bot.says(LIN, Code(text="\n".join(f"line {n}" for n in range(5000))))
        first, file = wecom.screen(LIN)
        assert first.text.startswith("> line 0\n")
        assert file.file is not None
        assert file.file[1].decode().splitlines()[-1] == "> line 4999"
        assert wecom.complaints == []


async def test_a_second_try_goes_on_where_the_first_one_stopped() -> None:
    lines = [f"line {n:04} " + "x" * 40 for n in range(100)]
    async with WeComServer() as wecom, running(wecom) as bot:
        await bot.says(LIN, *said("warm"), key="0")
        wecom.qyapi.fail["message/send"] = [0, -1]  # 0: not this time
        with pytest.raises(SendFailed):
            await bot.says(LIN, *said("\n".join(lines)))
        assert len(bot.shown(LIN)) == 2
        await bot.says(LIN, *said("\n".join(lines)))
        assert "\n".join(bot.shown(LIN)[1:]).splitlines() == lines


async def test_the_same_words_of_two_messages_are_both_shown() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        await bot.says(LIN, *said("INC-1: still down"), key="1")
        await bot.says(LIN, *said("INC-1: still down"), key="2")
        assert [line.strip("\u200b\u200c\u200d\u2060") for line in bot.shown(LIN)] == ["INC-1: still down"] * 2


async def test_a_message_of_which_nobody_knows_whether_it_arrived_is_said_once() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        wecom.qyapi.reset.add("message/send")
        with pytest.raises(SendFailed) as lost:
            await bot.says(LIN, *FOUND, ACK)
        assert lost.value.uncertain
        wecom.qyapi.reset.clear()
        await bot.says(LIN, *FOUND, ACK)
        assert len(bot.shown(LIN)) == 1


# --- cards


async def test_a_card_changes_by_its_code_where_it_stands_and_only_once() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        ref = await bot.says(LIN, *FOUND, ACK)
        assert bot.shown(LIN) == ["🔴 DNS is rate-limited\nstop 10.3.7.21\n[I have it]"]
        ref = await bot.says(LIN, Header(text=same("acked by wang"), tone="info"), ref=ref)
        assert bot.shown(LIN) == ["🔵 acked by wang\n[✓]"]
        assert Ref.read(ref).code == "", "the code is used up"
        await bot.says(LIN, Header(text=same("resolved"), tone="good"), ref=ref)
        assert wecom.qyapi.calls["message/update_template_card"] == 1
        assert wecom.complaints == []


async def test_a_card_whose_code_is_over_is_said_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.adapters.wecom.again.PAUSE_S", 0.0)
    async with WeComServer() as wecom, running(wecom) as bot:
        ref = await bot.says(LIN, *FOUND, ACK)
        wecom.qyapi.response_codes.clear()
        await bot.says(LIN, Header(text=same("acked by wang"), tone="info"), ref=ref)
        assert [line.splitlines()[0] for line in bot.shown(LIN)] == ["🔴 DNS is rate-limited", "🔵 **acked by wang**"]


async def test_whoever_presses_sees_the_card_change_and_the_command_is_carried_out() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        await bot.says(LIN, *FOUND, ACK)
        await wecom.presses(LIN, "lin", "I have it")
        await until(lambda: "✓ lin" in bot.shown(LIN)[0])
        assert [(i.text, i.who.id) for i in bot.door.lines] == [("/ack INC-1", "lin")]
        assert bot.shown(LIN) == ["🔴 DNS is rate-limited\n✓ lin: I have it\nstop 10.3.7.21\n[✓I have it]"]
        assert wecom.complaints == []


async def test_a_press_that_is_delivered_twice_changes_the_card_once() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        await bot.says(LIN, *FOUND, ACK)
        task = wecom.screen(LIN)[0].task
        pressed = {
            "ToUserName": wecom.qyapi.corp_id,
            "FromUserName": "lin",
            "CreateTime": 1700000000,
            "MsgType": "event",
            "Event": "template_card_event",
            "EventKey": "/ack INC-1",
            "TaskId": task,
            "ResponseCode": wecom.qyapi.code("app/lin", task),
            "AgentID": wecom.qyapi.agent_id,
        }
        assert [await wecom.caller.app(pressed) for _ in range(3)] == [200] * 3
        await until(lambda: "✓ lin" in bot.shown(LIN)[0])
        assert bot.door.texts == ["/ack INC-1"]
        assert wecom.qyapi.calls["message/update_template_card"] == 1
        assert wecom.complaints == []


# --- who cannot be reached


@pytest.mark.parametrize(
    ("code", "waits", "words"),
    [
        (60020, True, r"203\.0\.113\.7.*企业可信IP.*Trusted IPs"),
        (301002, True, "AgentId"),
        (48002, True, "permission"),
        (81013, False, "可见范围"),
        (40096, False, "40096"),
        (50002, True, "50002"),
    ],
)
async def test_an_error_number_is_words_for_who_can_mend_it(code: int, waits: bool, words: str) -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        wecom.qyapi.fail["message/send"] = [code]
        with pytest.raises(SendFailed, match=words) as refused:
            await bot.says(LIN, *said("x"))
        assert refused.value.permanent is not waits
        assert "canary" not in str(refused.value)


async def test_a_member_who_cannot_see_the_application_is_named() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        with pytest.raises(SendFailed, match="81013") as refused:
            await bot.says("wecom:app/ghost", *said("x"))
        assert refused.value.permanent


@pytest.mark.parametrize("fault", ["down", "hang"])
async def test_while_wecom_is_away_a_message_waits(fault: str) -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        await bot.says(LIN, *said("before"), key="0")
        if fault == "down":
            wecom.qyapi.down = True
        else:
            wecom.qyapi.hang.add("*")
        with pytest.raises(SendFailed) as away:
            await asyncio.wait_for(bot.says(LIN, *said("x")), 20)
        assert not away.value.permanent
