"""From a policy to a phone, and back by a key: nights in which time is moved, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.directory import Directory
from bot.domain.errors import SendFailed
from bot.domain.escalation import Policy, Step, Target, TargetKind, Way
from bot.domain.incident import Entry, EntryKind
from bot.domain.page import CallLimit, CallStatus, Person
from bot.testing import FakeChat, FixedClock
from tests.store.fixtures import database, store_url
from tests.transcript import ROOM, Night, a_night

__all__ = ["database", "store_url"]

PEOPLE = {name: Person(name=name, phone="+86138", lang="en") for name in ("lin", "chen", "boss")}


def step(after: float, *names: str, by: tuple[Way, ...] = (Way.CHAT, Way.PHONE)) -> Step:
    who = tuple(Target(kind=TargetKind.PERSON, name=n) for n in names)
    return Step(after=timedelta(minutes=after), who=who, by=by)


DIRECTORY = Directory(
    people=PEOPLE,
    policies={
        "default": Policy(name="default", steps=(step(0, "lin"), step(5, "chen")), then="leads"),
        "leads": Policy(name="leads", steps=(step(0, "boss"),)),
        "nobody": Policy(name="nobody", steps=(step(0, "eve"), step(5, "boss"))),
    },
)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def night(store_url: str, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path, url=store_url, clock=clock, directory=DIRECTORY) as night:
        yield night


async def pass_minutes(night: Night, clock: FixedClock, minutes: float) -> None:
    await clock.advance(minutes * 60)
    night.parts.wake()
    await night.settle()


async def said(night: Night, kind: EntryKind = EntryKind.ESCALATION) -> Sequence[Entry]:
    return [e for e in await night.timeline("INC-1") if e.kind is kind]


async def test_a_policy_calls_its_people_in_turn_until_a_key_is_pressed(night: Night, clock: FixedClock) -> None:
    await night.types("/page")
    assert [c.key for c in await night.rings(1)] == ["INC-1:1:lin:1"]
    await night.until("@lin by chat, phone: dialled (phone)")
    assert "INC-1 untitled incident: calling lin" in night.shows()
    assert "chen at 23:05:00" in night.shows()
    await pass_minutes(night, clock, 5)
    assert [c.key for c in await night.rings(2)] == ["INC-1:1:lin:1", "INC-1:2:chen:1"]
    assert "INC-1 untitled incident: lin did not take it" in night.shows()
    assert "chen at 23:05:00" not in night.shows()
    assert night.shows().count("[I have it: /ack INC-1]") == 2, "on the summary, and on the step that is the last"
    assert await night.phone("INC-1:2:chen:1", CallStatus.ANSWERED, "1")
    assert "chen has INC-1 (by key press)" in night.shows()
    assert night.shows().count("chen has it · INC-1") == 2
    await pass_minutes(night, clock, 20)
    assert len(night.pager.calls) == 2
    assert [e.en for e in await said(night)] == [
        "calling people by policy default",
        "step 1 (default); paging lin (chat, phone)",
        "step 2 (default); paging chen (chat, phone)",
    ]


async def test_the_call_that_still_rings_elsewhere_is_hung_up_and_the_one_that_was_answered_is_not(
    night: Night, clock: FixedClock
) -> None:
    await night.types("/page")
    await night.rings(1)
    await pass_minutes(night, clock, 5)
    await night.rings(2)
    await night.settle()
    await night.phone("INC-1:2:chen:1", CallStatus.ANSWERED, "1")
    assert night.pager.hung_up == ["phone-INC-1:1:lin:1"]


async def test_key_2_and_escalate_take_the_next_step_now(night: Night) -> None:
    await night.types("/page")
    await night.rings(1)
    await night.phone("INC-1:1:lin:1", CallStatus.ANSWERED, "2")
    assert [c.key for c in await night.rings(2)] == ["INC-1:1:lin:1", "INC-1:2:chen:1"]
    await night.types("/escalate")
    assert [c.key for c in await night.rings(3)][2] == "INC-1:3:boss:1"
    assert [e.en for e in await said(night)].count("lin asked to escalate") == 2


async def test_a_person_and_a_policy_can_be_named(night: Night) -> None:
    await night.types("/page boss")
    assert [c.key for c in await night.rings(1)] == ["INC-1:0:boss:1"]
    await night.types("/page boss")
    assert [c.key for c in await night.rings(2)][1] == "INC-1:0:boss:2"
    await night.types("/escalate leads")
    assert [c.key for c in await night.rings(3)][2] == "INC-1:1:boss:1"
    error = await night.types("/page backand")
    assert error is not None
    assert "default" in error.text.en


async def test_the_end_of_the_last_level_is_said_loudly_and_it_starts_again(night: Night, clock: FixedClock) -> None:
    await night.types("/page")
    for minutes in (5, 5):
        await pass_minutes(night, clock, minutes)
    assert [c.person.name for c in await night.rings(3)] == ["lin", "chen", "boss"]
    loud = "nobody has acknowledged after 3 calls; leads starts again: boss at 23:15:00"
    assert loud in night.shows()
    assert loud in [e.en for e in await said(night)]
    await pass_minutes(night, clock, 5)
    assert [c.key for c in await night.rings(4)][3] == "INC-1:4:boss:1"


async def test_when_nobody_does_anything_for_an_hour_the_incident_is_nobodys_and_calls_begin_again(
    night: Night, clock: FixedClock
) -> None:
    await night.types("/page")
    await night.rings(1)
    await night.types("/ack", user="lin")
    await pass_minutes(night, clock, 40)
    await night.types("/note looking at DNS", user="lin")
    await pass_minutes(night, clock, 59)
    assert len(night.pager.calls) == 1
    await pass_minutes(night, clock, 1.1)
    assert [c.key for c in await night.rings(2)][1] == "INC-1:2:lin:1"
    await night.settle()
    assert "lin has it, and nothing has been said or done for 1 h 0 min" in night.shows()
    await night.types("/ack", user="chen")
    assert "chen has INC-1" in night.shows()
    assert [e.data["epoch"] for e in await said(night, EntryKind.ACK)] == [1, 2]


async def test_a_second_person_joins(night: Night) -> None:
    await night.types("/page")
    await night.types("/ack", user="lin")
    assert await night.types("/ack INC-1", user="chen") is None
    assert "lin has it already; you have joined" in night.shows()
    assert len(await said(night, EntryKind.ACK)) == 1
    assert [e.data for e in await said(night, EntryKind.INCIDENT) if "joined" in e.data] == [
        {"joined": "chen", "with": "lin"}
    ]


async def test_more_people_are_called_in_after_the_acknowledgement_and_it_stands(
    night: Night, clock: FixedClock
) -> None:
    await night.types("/page")
    await night.rings(1)
    await night.types("/ack", user="lin")
    await night.types("/escalate", user="lin")
    assert [c.key for c in await night.rings(2)][1] == "INC-1:2:chen:1"
    await pass_minutes(night, clock, 20)
    assert len(night.pager.calls) == 2
    assert "lin has it" in night.shows()


async def test_a_page_that_nobody_takes_is_passed_over_at_once(night: Night) -> None:
    night.pager.fail_next(SendFailed("HTTP 403", permanent=True))
    await night.types("/page")
    assert [c.person.name for c in await night.rings(2)] == ["lin", "chen"]
    await night.settle()
    assert "step 1 reaches nobody (lin: phone: HTTP 403): the next step is taken now" in [
        e.en for e in await said(night)
    ]
    assert "@lin by chat, phone: cannot be called: no provider takes it" in night.shows()


async def test_a_step_that_stands_for_nobody_is_named_and_the_next_one_is_taken(night: Night) -> None:
    await night.types("/page nobody")
    assert [c.key for c in await night.rings(1)] == ["INC-1:2:boss:1"]
    await night.settle()
    assert "step 1: nobody is on call for eve, on to the next step" in night.shows()


async def test_resolving_ends_it(night: Night, clock: FixedClock) -> None:
    await night.types("/page")
    await night.rings(1)
    await night.types("/incident resolve")
    await pass_minutes(night, clock, 100)
    assert len(night.pager.calls) == 1
    assert "resolved · INC-1" in night.shows()


async def test_the_cards_exist_in_chinese(night: Night, clock: FixedClock) -> None:
    await night.types("/page")
    await night.rings(1)
    await pass_minutes(night, clock, 5)
    await night.until("：呼叫 chen", lang="zh")
    await night.until("接下来", lang="zh")
    shown = night.shows(lang="zh")
    assert "：lin 没有接手" in shown or "：呼叫 lin" in shown
    await night.types("/ack", user="lin", room=ROOM)
    await night.until("lin 已接手", lang="zh")


async def test_a_page_over_a_providers_limit_is_passed_over_and_stays_queued(night: Night) -> None:
    night.pager.limited = (CallLimit(calls=1, window_s=3600),)
    await night.types("/page lin")
    await night.rings(1)
    await night.types("/page")
    assert [c.key for c in await night.rings(2)] == ["INC-1:0:lin:1", "INC-1:2:chen:1"]
    await night.settle()
    words = "step 1 reaches nobody (lin: phone: its limit of 1/h for lin is reached): the next step is taken now"
    assert words in [e.en for e in await said(night)]
    assert "lin" not in [e.data["person"] for e in await said(night, EntryKind.PAGE) if e.data.get("step") == 1]


class DirectChat(FakeChat):
    """A chat that can talk to one person alone."""

    def direct_room(self, person: Person) -> str | None:
        return f"{self.platform}:@{person.name}" if person.name != "chen" else None


async def test_whoever_is_reached_by_app_gets_the_card_alone_and_it_changes_there_too(
    store_url: str, clock: FixedClock, tmp_path: Path
) -> None:
    by_app = Policy(name="default", steps=(step(0, "lin", "chen", by=(Way.APP, Way.PHONE)),))
    directory = Directory(people=PEOPLE, policies={"default": by_app})
    async with a_night(tmp_path, url=store_url, clock=clock, directory=directory, chat=DirectChat("console")) as night:
        await night.types("/page")
        await night.rings(2)
        await night.until("calling chen, lin", "console:@lin")
        assert "[I have it: /ack INC-1]" in night.shows("console:@lin")
        assert night.shows("console:@chen") == ""
        await night.types("/ack INC-1", user="lin", room="console:@lin")
        assert "lin has it · INC-1" in night.shows("console:@lin")
        assert "lin has it · INC-1" in night.shows()
