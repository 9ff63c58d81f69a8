"""What chat platforms bring in: who somebody is, what they may do, and messages that are kept in the timeline."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.app.chat_door import Door
from bot.domain.access import Level
from bot.domain.chat import Account, Captured, Inbound, Profile
from bot.domain.directory import Directory
from bot.domain.errors import SendFailed
from bot.domain.incident import Room
from bot.domain.page import Person
from bot.testing import FakeChat
from tests.transcript import ROOM, Night, a_night

LIN = Person(name="lin", phone="+8613800000001", slack="U1", email="lin@team.example", role="commander")
CHEN = Person(name="chen", phone="+8613800000002", role="responder")


class Slack(FakeChat):
    """Knows profiles, too."""

    def __init__(self) -> None:
        super().__init__("slack")
        self.profiles: dict[str, Profile] = {}
        self.asked = 0

    async def profile(self, account: str) -> Profile | None:
        self.asked += 1
        if self.down:
            raise self.down
        return self.profiles.get(account)


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path) as night:
        yield night


@pytest.fixture
def slack(night: Night) -> Slack:
    slack = Slack()
    night.parts.chat = {**night.parts.chat, "slack": slack}
    night.parts.directory = Directory.of([LIN, CHEN])
    return slack


def line(text: str, *, who: Account, ident: str = "1", room: str = ROOM) -> Inbound:
    return Inbound(text=text, who=who, room=room, message_id=ident)


async def says(night: Night, door: Door, text: str, account: str, *, name: str = "", ident: str = "") -> None:
    who = Account(platform="slack", id=account, name=name)
    await door.said(line(text, who=who, ident=ident or f"{account}:{text}"))
    await night.settle()


async def test_an_account_that_the_file_names_is_that_person(night: Night, slack: Slack) -> None:
    await says(night, Door(night.parts), "/incident declare SMS down", "U1", name="Lin W.")
    (incident,) = await night.service.incidents()
    assert incident.opened_by == "lin"


async def test_an_e_mail_address_or_a_phone_number_finds_who_is_behind_an_account(night: Night, slack: Slack) -> None:
    slack.profiles = {"U8": Profile(email="LIN@team.example"), "U9": Profile(mobile="138 0000 0002")}
    door = Door(night.parts)
    await says(night, door, "/note from lin", "U8")
    await says(night, door, "/note from chen", "U9")
    assert [e.actor for e in await night.timeline() if e.kind == "note"] == ["lin", "chen"]
    await says(night, door, "/note again", "U9")
    assert slack.asked == 2, "what was told is remembered"


async def test_a_stranger_with_a_known_name_does_not_pass_for_that_person(night: Night, slack: Slack) -> None:
    await says(night, Door(night.parts), "/note hello", "U666", name="lin")
    assert [e.actor for e in await night.timeline() if e.kind == "note"] == ["lin (U666)"]


async def test_a_platform_that_tells_nothing_holds_nobody_up(night: Night, slack: Slack) -> None:
    slack.down = SendFailed("slack is away")
    await says(night, Door(night.parts), "/note hello", "U7", name="mei")
    assert [e.actor for e in await night.timeline() if e.kind == "note"] == ["mei"]


async def test_who_may_not_is_told_who_can_and_it_is_recorded(night: Night, slack: Slack) -> None:
    door = Door(night.parts)
    await says(night, door, "/incident declare SMS down", "U9", name="mei")
    await says(night, door, "/incident resolve", "U9", name="mei")
    await says(night, door, "/incident close INC-1", "U9", name="mei")
    assert "/incident needs a commander, and you are a responder; ask lin" in night.shows()
    (refusal,) = [e for e in await night.timeline() if e.data.get("error") == "not_allowed"]
    assert refusal.actor == "mei"
    await says(night, door, "/incident close INC-1", "U1")
    assert (await night.service.incidents())[0].state == "closed"


async def test_whoever_commands_an_incident_decides_about_it(night: Night, slack: Slack) -> None:
    door = Door(night.parts)
    await says(night, door, "/incident declare SMS down", "U9", name="mei")
    await says(night, door, "/vendor tencent ticket 1", "U9", name="mei")
    assert "needs a commander" in night.shows()
    await says(night, door, "/incident role commander mei", "U9", name="mei", ident="take")
    await says(night, door, "/vendor tencent ticket 1", "U9", name="mei", ident="again")
    assert night.shows().count("needs a commander") == 1


async def test_a_group_of_the_platform_gives_a_level(night: Night, slack: Slack) -> None:
    night.parts.groups = {"slack:S1": Level.VIEWER, "slack:S2": Level.ADMIN}
    night.parts.default_level = Level.VIEWER
    slack.profiles = {"U5": Profile(groups=("S1", "S2")), "U6": Profile(groups=("S1",))}
    door = Door(night.parts)
    await says(night, door, "/note one", "U5")
    await says(night, door, "/note two", "U6")
    assert [e.en for e in await night.timeline() if e.kind == "note"] == ["one"]


async def test_where_nothing_is_written_down_everybody_may_do_everything(night: Night, slack: Slack) -> None:
    night.parts.directory = Directory.of([replace(LIN, role=""), replace(CHEN, role="")])
    door = Door(night.parts)
    await says(night, door, "/incident declare SMS down", "U9")
    await says(night, door, "/incident resolve", "U9")
    await says(night, door, "/incident close INC-1", "U9")
    assert (await night.service.incidents())[0].state == "closed"


async def test_the_same_line_again_does_nothing(night: Night, slack: Slack) -> None:
    door = Door(night.parts)
    for _ in range(11):
        await says(night, door, "/note once", "U1", ident="1700000000.0001")
    assert [e.en for e in await night.timeline() if e.kind == "note"] == ["once"]


async def test_what_is_said_about_a_line_answers_it_also_long_after(night: Night, slack: Slack) -> None:
    await says(night, Door(night.parts), "/diag sms", "U1", ident="1700000000.0002")
    assert {put.message.answers for put in night.chat.puts if put.room.key == ROOM} == {"1700000000.0002"}


async def test_a_new_room_gets_the_title_and_language_its_platform_tells(night: Night, slack: Slack) -> None:
    who = Account(platform="slack", id="U1")
    inbound = Inbound(text="/help", who=who, room="slack:C1", message_id="1", room_title="sms-night", lang="en")
    await Door(night.parts).said(inbound)
    async with night.parts.store.begin() as tx:
        assert await tx.rooms.get("slack:C1") == Room(key="slack:C1", title="sms-night", lang="en")


async def test_a_captured_message_stands_in_the_timeline_at_its_own_time_and_once(night: Night, slack: Slack) -> None:
    door = Door(night.parts)
    await says(night, door, "/incident declare SMS down", "U1")
    captured = Captured(
        text="COS has been down since 23:40",
        author=Account(platform="slack", id="U9", name="mei"),
        by=Account(platform="slack", id="U1"),
        room=ROOM,
        at=night.parts.clock.now() - timedelta(minutes=30),
        message_id="1700000000.0003",
    )
    assert [await door.captured(captured) for _ in range(3)] == [True, False, False]
    (note,) = [e for e in await night.timeline() if e.kind == "note"]
    assert (note.actor, note.en, note.at) == ("mei", "COS has been down since 23:40", captured.at)
    assert (note.incident, note.data["captured_by"]) == ("INC-1", "lin")
