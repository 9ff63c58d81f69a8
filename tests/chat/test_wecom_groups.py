"""Groups the application makes and webhook robots in groups of others, against a WeCom as strict as the real one."""

from __future__ import annotations

import pytest

from bot.domain.chat import NewRoom
from bot.domain.errors import SendFailed
from bot.domain.message import Button, Buttons, File, Header, Paragraph
from bot.domain.text import Text, same
from tests.chat.wecom_bot import running
from tests.chat.wecom_server import WeComServer

HOOK = "wecom:hook/vendor"
FOUND = (Header(text=same("DNS is rate-limited"), tone="bad"), Paragraph(text=same("stop 10.3.7.21")))
ACK = Buttons(buttons=(Button(label=Text("我来处理", "I have it"), command="/ack INC-1", primary=True),))


def said(text: str) -> tuple[Paragraph]:
    return (Paragraph(text=same(text)),)


async def test_a_war_room_is_a_group_that_people_see_at_once() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        wanted = NewRoom(incident="INC-42", title="短信不可用 " * 20, members=("lin", "wang", "lin"), topic="sev1 @all")
        made = await bot.platform.create_room(wanted)
        ((chat, group),) = wecom.world.groups.items()
        assert (made.key, made.left_out) == (f"wecom:chat/{chat}", ())
        assert (group["userlist"], group["visible"]) == (["lin", "wang"], True)
        assert len(group["name"]) == 50
        assert "短信不可用" in bot.shown(made.key)[0]
        await bot.says(made.key, *FOUND, ACK)
        assert bot.shown(made.key)[1].endswith("I have it: `@War room 助手 /ack INC-1`"), "groups take no buttons"
        assert wecom.complaints == []


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("a\n\tb", "a b"),
        ("\u202eon si SMS", "\ufffdon si SMS"),
        ("", "INC-1"),
        ("<@all> DNS", "<@all> DNS"),
        ("短" * 60, "短" * 49 + "…"),
    ],
)
async def test_a_title_that_plays_tricks_is_a_harmless_name(title: str, name: str) -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        made = await bot.platform.create_room(NewRoom(incident="INC-1", title=title, members=("lin", "wang")))
        (group,) = wecom.world.groups.values()
        assert group["name"] == name
        assert "<@" not in bot.shown(made.key)[0]
        assert wecom.complaints == []


async def test_an_unknown_account_does_not_cost_the_others_their_room() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        made = await bot.platform.create_room(NewRoom(incident="INC-1", title="x", members=("lin", "ghost", "wang")))
        assert made.left_out == ("ghost",)
        (group,) = wecom.world.groups.values()
        assert group["userlist"] == ["lin", "wang"]


@pytest.mark.parametrize("members", [(), ("lin",), ("lin", "ghost")])
async def test_a_group_of_fewer_than_two_is_not_asked_for_and_the_answer_says_what_to_do(members: tuple) -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        with pytest.raises(SendFailed, match="/warroom bind") as refused:
            await bot.platform.create_room(NewRoom(incident="INC-1", title="x", members=members))
        assert refused.value.permanent
        assert wecom.world.groups == {}


async def test_without_the_root_department_the_answer_says_what_an_administrator_changes() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        wecom.qyapi.root_visible = False
        with pytest.raises(SendFailed, match=r"根部门.*root department.*/warroom bind.*60011") as refused:
            await bot.platform.create_room(NewRoom(incident="INC-1", title="x", members=("lin", "wang")))
        assert refused.value.permanent


async def test_members_of_many_groups_get_no_more_than_wecom_lets_through() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        rooms = [
            (await bot.platform.create_room(NewRoom(incident=f"INC-{n}", title="x", members=("lin", "wang")))).key
            for n in range(5)
        ]
        for n in range(195):  # Each group had its first message.
            await bot.says(rooms[n % 5], *said(f"line {n}"), key=f"{n}")
        for room in rooms:
            with pytest.raises(SendFailed) as full:
                await bot.says(room, *said("one more"), key="more")
            assert full.value.retry_after_s
        assert wecom.complaints == []


# --- webhook robots


async def test_a_webhook_robot_says_twenty_in_a_minute_and_the_rest_waits() -> None:
    async with WeComServer() as wecom, running(wecom) as bot:
        for n in range(20):
            await bot.says(HOOK, *said(f"line {n}"), key=f"{n}")
        with pytest.raises(SendFailed) as full:
            await bot.says(HOOK, *said("line 20"), key="20")
        assert (full.value.permanent, 55 < (full.value.retry_after_s or 0) < 61) == (False, True)
        assert (len(bot.shown(HOOK)), wecom.complaints) == (20, [])


async def test_a_webhook_robot_splits_long_texts_and_gives_files() -> None:
    lines = [f"第 {n} 行：上海 VPC 的 DNS 被云厂商限频" for n in range(150)]
    async with WeComServer() as wecom, running(wecom) as bot:
        await bot.says(HOOK, *said("\n".join(lines)), File(name="a.md", title=same("A"), content="# whole\n" * 9))
        shown = wecom.screen(HOOK)
        assert shown[-1].file == ("a.md", b"# whole\n" * 9)
        assert "\n".join(s.text for s in shown[:-1]).splitlines() == [*lines, "📎 A (a.md)"]
        assert wecom.complaints == []


async def test_the_key_of_a_webhook_robot_is_in_no_error() -> None:
    async with WeComServer() as wecom:
        hooks = (("vendor", "canary-wrong-key"),)
        async with running(wecom, webhooks=hooks) as bot:
            with pytest.raises(SendFailed) as refused:
                await bot.says(HOOK, *said("x"))
            assert refused.value.permanent
            assert "canary" not in str(refused.value)
