"""What Warroom says in Slack: posted once, edited in place, in its pace, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest

from bot.domain.errors import SendFailed
from bot.domain.incident import Room
from bot.domain.message import Bullets, Button, Buttons, File, Header, Message, Paragraph, Ranking, Share
from bot.domain.text import Text, same
from tests.chat.slack_bot import OPS, bot


def said(text: str) -> Paragraph:
    return Paragraph(text=same(text))


ACK = Buttons(buttons=(Button(label=Text("我来处理", "I have it"), command="/ack INC-1", primary=True),))


async def test_a_card_is_posted_and_edited_in_place() -> None:
    async with bot() as b:
        ref = await b.says(Header(text=same("INC-1 SMS"), tone="bad"), said("since 22:31"), ACK)
        assert b.shown() == ["🔴 INC-1 SMS", "since 22:31", "[I have it]"]
        assert await b.says(Header(text=same("INC-1 SMS"), tone="good", sub=same("lin has it")), ref=ref) == ref
        assert b.shown() == ["🟢 INC-1 SMS", "lin has it"]
        assert b.slack.methods() == ["chat.postMessage", "chat.update"]
        assert b.slack.complaints == []


async def test_a_pressed_button_is_its_command_by_whoever_pressed_it() -> None:
    async with bot() as b:
        await b.says(said("calling lin"), ACK)
        press = b.slack.press("C0OPS", "U0WANG", "I have it")
        assert (await b.slack.deliver(press)).status == 200
        await b.slack.deliver(press)
        (line,) = b.door.lines
    assert (line.text, line.who.id, line.room) == ("/ack INC-1", "U0WANG", "slack:C0OPS")


async def test_the_room_speaks_its_own_language() -> None:
    async with bot() as b:
        await b.says(said("x"), ACK, room=Room(key="slack:C0OPS", title="ops", lang="zh"))
        assert b.shown() == ["x", "[我来处理]"]


async def test_an_edit_that_changes_nothing_is_not_sent() -> None:
    async with bot() as b:
        ref = await b.says(said("7/18"))
        await b.says(said("7/18"), ref=ref)
        assert b.slack.methods() == ["chat.postMessage"]


async def test_a_message_somebody_deleted_is_said_again() -> None:
    async with bot() as b:
        ref = await b.says(said("one"))
        b.slack.space.channels["C0OPS"].messages.clear()
        assert await b.says(said("two"), ref=ref) != ref
        assert b.shown() == ["two"]


async def test_a_message_goes_under_the_one_it_belongs_to() -> None:
    async with bot() as b:
        first = await b.says(said("INC-1"))
        second = await b.says(said("update"), key="m2", thread_ref=first)
        await b.says(said("and another"), key="m3", thread_ref=second)
        await b.says(said("update 2"), key="m2", ref=second, thread_ref=first)
        assert b.shown() == ["INC-1", "  ↳ update 2", "  ↳ and another"]


async def test_an_answer_goes_into_the_thread_it_was_asked_in() -> None:
    async with bot() as b:
        await b.slack.types("C0OPS", "U0LIN", "@warroom status")
        root = b.slack.said("C0OPS")[0]["ts"]
        await b.slack.types("C0OPS", "U0LIN", "@warroom oncall", thread=root)
        await b.says(said("in the room"), answers=b.door.lines[0].message_id)
        await b.says(said("in the thread"), key="m2", answers=b.door.lines[1].message_id)
        assert b.shown()[-1] == "in the room"
        assert "  ↳ in the thread" in b.shown()


async def test_where_the_thread_is_gone_the_channel_hears_it() -> None:
    async with bot() as b:
        first = await b.says(said("INC-1"))
        b.slack.space.channels["C0OPS"].messages.clear()
        await b.says(said("update"), key="m2", thread_ref=first)
        assert b.shown() == ["update"]


async def test_details_are_one_tap_away_and_are_edited_too() -> None:
    async with bot() as b:
        shares = (Share(id="dns", title=same("DNS"), share=0.93, evidence=((same("11% resolve"), 2.5),)),)
        ref = await b.says(Header(text=same("most likely: DNS")), Ranking(shares=shares))
        assert b.shown() == [
            "🔵 most likely: DNS",
            "` 93%` DNS",
            "  ↳ *All the evidence*",
            "  ↳ ` 93%` DNS (dns)",
            "  ↳ • `+2.5` 11% resolve",
        ]
        await b.says(Header(text=same("over")), ref=ref)
        assert b.shown() == ["🔵 over"]
        assert b.slack.complaints == []


async def test_a_pinned_message_is_pinned_once() -> None:
    async with bot() as b:
        ref = await b.says(said("summary"), pinned=True)
        ref = await b.says(said("summary 2"), ref=ref, pinned=True)
        assert len(b.slack.space.channels["C0OPS"].pins) == 1
        assert b.slack.methods().count("pins.add") == 1


async def test_a_message_that_cannot_be_pinned_is_said_all_the_same() -> None:
    async with bot() as b:
        b.slack.space.scopes.remove("pins:write")
        await b.says(said("summary"), pinned=True)
        assert b.shown() == ["summary"]


async def test_whom_it_concerns_is_mentioned_and_nobody_else_can_be() -> None:
    async with bot() as b:
        await b.says(said("<!channel> <@U0CHEN> & @here *x*"), mention=("U0LIN", "S0OPS", "<!everyone>"))
        (message,) = b.slack.said("C0OPS")
        first, second = (block["text"]["text"] for block in message["blocks"])
        assert first == "<@U0LIN> <!subteam^S0OPS>"
        assert second.startswith("&lt;!channel&gt; &lt;@U0CHEN&gt; &amp; @here")
        assert message["text"].startswith("<@U0LIN> <!subteam^S0OPS> &lt;!channel&gt;")


async def test_a_file_is_brought_once_however_often_the_message_is_edited() -> None:
    async with bot() as b:
        file = File(name="INC-1.md", title=Text("复盘", "postmortem"), content="# INC-1\n数据库\n")
        ref = await b.says(Header(text=same("postmortem")), file)
        ref = await b.says(Header(text=same("postmortem of INC-1")), file, ref=ref)
        assert [f["content"].decode() for f in b.slack.space.files.values()] == ["# INC-1\n数据库\n"]
        assert b.shown()[-1].startswith("  ↳ [file INC-1.md") or "[file INC-1.md" in b.shown()[-1]
        assert b.slack.complaints == []


async def test_a_file_that_may_not_be_attached_is_said_to_be_missing() -> None:
    async with bot() as b:
        b.slack.space.scopes.remove("files:write")
        await b.says(Header(text=same("postmortem")), File(name="INC-1.md", title=same("x"), content="y"))
        assert "files:write" in b.shown()[-1]


async def test_a_workspace_without_tables_gets_them_as_text() -> None:
    from bot.domain.message import Table

    async with bot() as b:
        b.slack.space.tables = False
        table = Table(columns=(same("who"), same("until")), rows=(("小林", "22:00"),))
        await b.says(said("on call"), table)
        await b.says(said("on call"), table, key="m2")
        assert b.shown()[-4:] == ["```", "who   until", "小林  22:00", "```"]
        assert b.slack.complaints == ["chat.postMessage: invalid_blocks: unsupported type: table"]


# --- the pace


async def test_one_message_a_second_in_a_channel_and_others_do_not_wait() -> None:
    async with bot() as b:
        b.slack.add_channel("C0TWO", "two")
        began = time.monotonic()
        two = Room(key="slack:C0TWO", title="two", lang="en")

        async def other() -> float:
            await asyncio.sleep(0.1)
            await b.says(said("elsewhere"), key="o", room=two)
            return time.monotonic() - began

        results = await asyncio.gather(*(b.says(said(f"{n}"), key=f"m{n}") for n in range(4)), other())
        assert b.shown() == ["0", "1", "2", "3"]
        assert b.slack.complaints == []
        times = [c.at for c in b.slack.calls if c.args["channel"] == "C0OPS"]
        assert all(late - early >= 0.95 for early, late in pairwise(times))
        elsewhere = next(c.at for c in b.slack.calls if c.args["channel"] == "C0TWO")
        assert elsewhere < times[-1]
        assert isinstance(results[-1], float)


# --- trouble


def failure(caught: pytest.ExceptionInfo[SendFailed]) -> tuple[bool, bool, float | None]:
    return caught.value.permanent, caught.value.uncertain, caught.value.retry_after_s


async def test_a_rate_limit_says_how_long_to_wait() -> None:
    async with bot() as b:
        b.slack.storm["*"] = 7
        with pytest.raises(SendFailed, match="wait 7 s") as caught:
            await b.says(said("x"))
        assert failure(caught) == (False, False, 7.0)
        b.slack.storm.clear()
        await b.says(said("x"))
        assert b.shown() == ["x"]


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        ("channel_not_found", True),
        ("not_in_channel", True),
        ("is_archived", True),
        ("invalid_auth", True),
        ("msg_too_long", True),
        ("some_new_error", True),
        ("internal_error", False),
        ("fatal_error", False),
        ("service_unavailable", False),
    ],
)
async def test_refusals_for_good_are_told_from_those_that_pass(error: str, permanent: bool) -> None:
    from collections import deque

    async with bot() as b:
        b.slack.fail["chat.postMessage"] = deque([error])
        with pytest.raises(SendFailed, match=error) as caught:
            await b.says(said("x"))
        assert failure(caught)[:2] == (permanent, False)


async def test_a_missing_scope_is_named() -> None:
    async with bot() as b:
        b.slack.space.scopes.remove("chat:write")
        with pytest.raises(SendFailed, match=r"chat:write.*reinstall"):
            await b.says(said("x"))


async def test_slack_that_is_down_is_worth_another_try() -> None:
    async with bot() as b:
        b.slack.down = True
        with pytest.raises(SendFailed) as caught:
            await b.says(said("x"))
        assert failure(caught)[0] is False


async def test_slack_that_does_not_answer_leaves_it_uncertain() -> None:
    async with bot() as b:
        b.slack.hang.add("chat.postMessage")
        with pytest.raises(SendFailed, match="in time") as caught:
            await b.says(said("x"))
        assert failure(caught)[:2] == (False, True)


async def test_slack_that_cannot_be_reached_is_certain() -> None:
    async with bot() as b:
        await b.slack._runner.cleanup()
        with pytest.raises(SendFailed, match="reached") as caught:
            await b.says(said("x"))
        assert failure(caught)[:2] == (False, False)


async def test_a_message_that_arrived_without_our_hearing_of_it_is_not_said_twice() -> None:
    async with bot() as b:
        b.slack.reset.add("chat.postMessage")
        with pytest.raises(SendFailed) as caught:
            await b.says(said("7/18"))
        assert failure(caught)[1] is True
        ref = await b.says(said("8/18"))
        assert b.shown() == ["8/18"]
        await b.says(said("9/18"), ref=ref)
        assert b.shown() == ["9/18"]


async def test_a_card_in_parts_goes_on_where_it_stopped() -> None:
    async with bot() as b:
        items = tuple(same(f"evidence {n}") for n in range(8))
        blocks: tuple[Any, ...] = (said("verdict"), Bullets(items=items, folded=True))
        from collections import deque

        b.slack.fail["chat.postMessage"] = deque()
        message = Message(key="m1", room=OPS.key, blocks=blocks)
        original = b.slack._answer

        def second_fails(method: str, args: dict[str, Any], shown: str) -> Any:
            if method == "chat.postMessage" and args.get("thread_ts"):
                b.slack._answer = original  # type: ignore[method-assign]
                return 3.0
            return original(method, args, shown)

        b.slack._answer = second_fails  # type: ignore[method-assign]
        with pytest.raises(SendFailed):
            await b.platform.put(message, OPS, None)
        await b.platform.put(message, OPS, None)
        assert b.shown()[0] == "verdict"
        assert b.shown().count("verdict") == 1
        assert b.shown()[1:] == [f"  ↳ • evidence {n}" for n in range(8)]


async def test_where_the_bot_is_not_inside_whoever_asked_gets_the_answer_and_the_way_out() -> None:
    async with bot() as b:
        b.slack.add_channel("C0OUT", "out", "U0LIN", joined=False)
        await b.slack.types("C0OUT", "U0LIN", "/oncall")
        await b.says(said("wang is on call"), room=Room(key="slack:C0OUT", title="out", lang="en"))
        ((channel, body),) = b.slack.responses
        assert (channel, body["response_type"]) == ("C0OUT", "ephemeral")
        assert "wang is on call" in str(body)
        assert "/invite @warroom" in str(body)


async def test_a_send_whose_record_was_lost_is_an_edit_when_it_comes_again() -> None:
    async with bot() as b:
        first = await b.says(said("7/18"))
        assert await b.says(said("8/18")) == first
        assert b.shown() == ["8/18"]


async def test_a_file_that_takes_longer_than_a_send_may_is_brought_once() -> None:
    async with bot() as b:
        b.slack.hang.add("files.getUploadURLExternal")
        file = File(name="big.md", title=same("big"), content="x" * 1000)
        message = Message(key="m1", room=OPS.key, blocks=(said("postmortem"), file))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await b.platform.put(message, OPS, None)
        b.slack.hang.clear()
        b.slack._released.set()
        await b.platform.put(message, OPS, None)
        assert len(b.slack.space.files) == 1
        assert b.shown()[0] == "postmortem"
