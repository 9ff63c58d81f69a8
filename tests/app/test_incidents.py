"""Incidents from declaring to closing, typed into a chat on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.app.opening import matching, open_incident
from bot.app.reminders import remind
from bot.domain.directory import Directory, Vendor
from bot.domain.escalation import Policy, Step, Target, TargetKind, Way
from bot.domain.incident import EntryKind, Incident, Room
from bot.domain.page import Person
from bot.domain.text import Text
from bot.testing import FixedClock
from tests.diagnosis import nights
from tests.store.fixtures import database, store_url
from tests.transcript import ROOM, Night, a_night

__all__ = ["database", "store_url"]

PEOPLE = {name: Person(name=name, phone="+86138", lang="en") for name in ("lin", "chen")}
LIN = Step(after=timedelta(), who=(Target(kind=TargetKind.PERSON, name="lin"),), by=(Way.CHAT, Way.PHONE))
DIRECTORY = Directory(
    people=PEOPLE,
    policies={"default": Policy(name="default", steps=(LIN,))},
    vendors={
        "tencent": Vendor(
            name="tencent",
            title=Text("腾讯云", "Tencent Cloud"),
            people=(Person(name="wei", phone="+8613900000000"),),
            plan="enterprise, 15 min",
        )
    },
)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def night(store_url: str, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path, url=store_url, clock=clock, directory=DIRECTORY) as night:
        yield night


async def stands(night: Night, name: str = "INC-1") -> Incident:
    async with night.parts.store.begin() as tx:
        found = await tx.incidents.look(name)
    assert found is not None
    return found


async def reminded(night: Night, clock: FixedClock, minutes: float) -> int:
    await clock.advance(minutes * 60)
    count = 0
    while await remind(night.parts):
        count += 1
    await night.settle()
    return count


async def test_severity_and_environments_are_read_off_both_ends_of_the_title(night: Night) -> None:
    await night.types("/incident declare sev1 the sev2 checker=ok is down env=prod,test")
    found = await stands(night)
    assert (found.title, found.severity) == ("the sev2 checker=ok is down", "sev1")
    assert found.environments == ("prod", "test")
    assert "sev1 · declared" in night.shows()


async def test_declaring_calls_people_and_a_low_severity_does_not(night: Night) -> None:
    await night.types("/incident declare the coffee machine sev4")
    assert night.pager.calls == []
    assert await night.types("/incident resolve") is None
    await night.types("/incident declare payments sev1")
    assert [p.key for p in await night.rings(1)] == ["INC-2:1:lin:1"]


async def test_an_acknowledgement_or_a_diag_begins_the_investigation(night: Night) -> None:
    await night.types("/incident declare payments sev4")
    assert (await stands(night)).state.value == "declared"
    await night.types("/diag sms")
    assert (await stands(night)).state.value == "investigating"
    assert "INC-1 is being looked at" in [e.en for e in await night.timeline("INC-1")]
    await night.types("/incident resolve")
    await night.types("/incident declare logins sev4")
    await night.types("/ack")
    assert (await stands(night, "INC-2")).state.value == "investigating"


async def test_mitigated_resolved_closed_and_reopened(night: Night) -> None:
    await night.types("/incident declare payments sev2")
    await night.rings(1)
    for typed, state in (
        ("mitigate", "mitigated"),
        ("resolve", "resolved"),
        ("close", "closed"),
        ("reopen", "investigating"),
    ):
        assert await night.types(f"/incident {typed}") is None
        assert (await stands(night)).state.value == state
    assert [p.key for p in await night.rings(2)] == ["INC-1:1:lin:1", "INC-1:2:lin:1"]
    entries = [e.data.get("state") for e in await night.timeline("INC-1") if e.data.get("state")]
    assert [s for s in entries if s != "sent"] == ["declared", "mitigated", "resolved", "closed", "investigating"]


async def test_what_cannot_be_done_now_is_refused_with_what_can(night: Night) -> None:
    await night.types("/incident declare payments sev4")
    error = await night.types("/incident close")
    assert error is not None
    assert error.text.en.endswith("cannot close; what it can do: /incident mitigate, /incident resolve")
    await night.types("/incident resolve")
    await night.types("/incident declare another one sev4")
    error = await night.types("/incident reopen INC-1")
    assert error is not None
    assert error.code == "room_busy"


async def test_a_graver_severity_calls_people(night: Night) -> None:
    await night.types("/incident declare payments sev4")
    assert await night.types("/incident sev 1") is None
    await night.rings(1)
    assert "INC-1 severity sev4 is now sev1" in night.shows()
    error = await night.types("/incident sev 9")
    assert error is not None
    assert "sev1, sev2, sev3, sev4" in error.text.en


async def test_roles_are_taken_given_handed_over_and_given_back(night: Night) -> None:
    await night.types("/incident declare payments sev2")
    await night.types("/incident role commander")
    await night.types("/incident role responder @chen")
    await night.types("/incident role responder wang")
    assert "Roles: commander: lin; responder: chen, wang" in night.shows()
    await night.types("/incident role handover @chen")
    assert (await stands(night)).roles == {"commander": ("chen",), "responder": ("chen", "wang")}
    error = await night.types("/incident role release")
    assert error is not None
    assert "now: commander: chen" in error.text.en
    await night.types("/incident role release commander", user="chen")
    assert (await stands(night)).commander is None


async def test_impact_keeps_what_is_not_typed_again(night: Night) -> None:
    await night.types("/incident declare payments sev4 env=prod")
    await night.types("/incident impact no login codes customers=acme,globex amount=3,000/h")
    await night.types("/incident impact customers=acme，initech")
    shown = "Broken for: no login codes; environments prod; customers acme, initech; amount 3,000/h"
    assert shown in night.shows()


async def test_updates_are_asked_for_by_severity_and_put_off_by_one(night: Night, clock: FixedClock) -> None:
    await night.types("/incident declare payments sev3")
    assert await reminded(night, clock, 119) == 0
    await night.types("/incident status moved to the other provider")
    assert await reminded(night, clock, 119) == 0
    assert await reminded(night, clock, 2) == 1
    assert "INC-1 needs a status update (the last word is 2 h 1 min old)" in night.shows()
    assert "moved to the other provider (lin)" in night.shows()
    await night.types("/incident snooze 4h")
    assert "(snoozed)" in night.shows()
    assert await reminded(night, clock, 239) == 0
    assert await reminded(night, clock, 2) == 1


async def test_a_commander_is_asked_for_until_there_is_one(night: Night, clock: FixedClock) -> None:
    await night.types("/incident declare payments sev2")
    await night.types("/ack")
    assert await reminded(night, clock, 10) == 1
    assert "@lin INC-1 has no commander after 10 min 0 s" in night.shows()
    await night.types("/incident role commander chen")
    await night.types("/incident status looking")
    assert await reminded(night, clock, 29) == 0


async def test_of_several_bots_one_reminds(night: Night, clock: FixedClock) -> None:
    await night.types("/incident declare payments sev3")
    await clock.advance(121 * 60)
    did = await asyncio.gather(*(remind(night.parts) for _ in range(4)))
    await night.settle()
    assert sorted(did) == [False, False, False, True]


async def test_a_duplicate_goes_on_in_the_one_it_is_merged_into(night: Night) -> None:
    await night.types("/incident declare payments sev3 env=prod")
    await night.types("/incident declare cannot pay sev2 env=test", room="console:other")
    await night.types("/incident impact customers=acme", room="console:other")
    assert await night.types("/incident merge INC-1", room="console:other") is None
    stays, over = await stands(night), await stands(night, "INC-2")
    assert (stays.severity, stays.environments, stays.impact.customers) == ("sev2", ("prod", "test"), ("acme",))
    assert (over.state.value, over.merged_into) == ("closed", "INC-1")
    assert "INC-2 (cannot pay) was merged into INC-1" in night.shows()
    await night.types("/ack", room="console:other", user="chen")
    assert (await stands(night)).acked_by == "chen"
    error = await night.types("/incident reopen INC-2")
    assert error is not None
    assert error.code == "merged"


async def test_the_playbook_runs_before_anybody_asks(night: Night) -> None:
    night.rule = nights.vpc_dns_rate_limited
    await night.types("/incident declare SMS is down sev4")
    assert (await stands(night)).playbook == "sms"
    assert "Verdict: 23:00 most likely: DNS of VPC blue is rate-limited" in night.shows()
    assert (await stands(night)).state.value == "declared"


async def test_a_grave_incident_gets_its_room_with_the_people_who_are_called_and_the_verdict(night: Night) -> None:
    night.rule = nights.vpc_dns_rate_limited
    await night.types("/incident declare SMS is down sev1", user="chen")
    ((room, title, members),) = night.chat.rooms
    assert (title, members) == ("INC-1 SMS is down", ("chen", "lin"))
    await night.until("most likely: DNS of VPC blue is rate-limited", room)
    assert "sev1 · declared" in night.shows(room)
    assert await night.types("/ack", room=room) is None
    assert "On it: lin since 23:00" in night.shows(room)
    assert "On it: lin since 23:00" in night.shows()


async def test_a_title_names_a_playbook_by_whole_words() -> None:
    assert matching(nights.PLAYBOOKS, "SMS: no codes") == "sms"
    assert matching(nights.PLAYBOOKS, "the smsc gateway") == ""


async def test_an_alert_opens_an_incident_without_anybody_typing(night: Night) -> None:
    async with night.parts.store.begin() as tx:
        room = await tx.rooms.get(ROOM) or Room(key=ROOM, title="main", lang="en")
        opened = await open_incident(
            night.parts, tx, title="p99 of payments", room=room, by="alertmanager", severity="sev1", env=("prod",)
        )
    night.parts.wake()
    assert [p.key for p in await night.rings(1)] == [f"{opened.id}:1:lin:1"]
    await night.settle()
    assert "sev1 · declared · since" in night.shows()
    assert "declared by alertmanager" in night.shows()


async def test_the_meeting_is_on_the_summary_and_in_every_page(night: Night) -> None:
    night.parts.meeting_url = "https://meet.example/{incident}"
    await night.types("/incident declare payments sev1")
    (page,) = await night.rings(1)
    assert page.meeting_url == "https://meet.example/INC-1"
    assert "https://meet.example/INC-1" in night.shows()


async def test_a_vendor_is_a_party_with_people_a_ticket_and_a_clock(night: Night, clock: FixedClock) -> None:
    night.rule = nights.vpc_dns_rate_limited
    await night.types("/incident declare SMS is down sev4")
    await night.types("/vendor tencent")
    shown = night.shows()
    assert "wei +8613900000000" in shown
    assert "support plan: enterprise, 15 min" in shown
    assert "please help" in night.shows("console:vendor-tencent")
    assert "tencent: asked 23:00, no reply" in shown
    await night.types("/vendor tencent ticket T-123")
    await clock.advance(12 * 60)
    await night.types("/vendor tencent replied we're looking at it")
    assert "Vendor: tencent T-123: first reply after 12 min 0 s" in night.shows()
    said = [e.en for e in await night.timeline("INC-1") if e.kind is EntryKind.VENDOR]
    replied = "tencent replied (the first time, after 12 min 0 s): we're looking at it"
    assert said[1:] == ["tencent ticket T-123", replied]


async def test_a_mitigated_incident_people_are_called_about_is_investigated_again(night: Night) -> None:
    await night.types("/incident declare payments sev2")
    await night.types("/incident mitigate")
    await night.types("/escalate")
    assert (await stands(night)).state.value == "investigating"
