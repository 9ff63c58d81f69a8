"""One incident on two platforms: mirrored rooms, and what happens while one of them is away."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.app.dispatch import handle
from bot.app.failover import Failover
from bot.app.plain import plain
from bot.domain.directory import Directory
from bot.domain.errors import SendFailed
from bot.domain.page import Person
from bot.testing import FakeChat
from tests.transcript import Night, a_night

LIN = Person(name="lin", phone="+8613800000001", slack="U1", wecom="lin.w")
SLACK, WECOM = "slack:C1", "wecom:bot/G1"


class WeCom(FakeChat):
    """Talks to people alone, too."""

    def __init__(self) -> None:
        super().__init__("wecom")

    def direct_room(self, person: Person) -> str | None:
        return f"wecom:app/{person.wecom}" if person.wecom else None


@dataclass
class Two:
    night: Night
    slack: FakeChat
    wecom: WeCom

    async def types(self, text: str, room: str = SLACK) -> None:
        error = await handle(self.night.parts, text, user="lin", room=room)
        assert error is None, error

    def shows(self, room: str) -> str:
        platform = self.slack if room.startswith("slack") else self.wecom
        return "\n".join(plain(m.blocks, "en") for m in platform.shown(room))


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.02)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    slack, wecom = FakeChat("slack"), WeCom()
    async with a_night(tmp_path, directory=Directory.of([LIN]), beside=[slack, wecom]) as night:
        yield Two(night, slack, wecom)


async def test_a_war_room_that_is_mirrored_shows_notes_and_acknowledgements_on_both_sides(two: Two) -> None:
    await two.types("/incident declare SMS down sev3")
    await two.types("/warroom mirror wecom")
    ((mirror, title, members),) = two.wecom.rooms
    assert (title, members) == ("INC-1 SMS down", ("lin.w",))
    await until(lambda: "the war room is on WeCom as well" in two.shows(SLACK))
    await two.types("/note 23:40 COS is down too", room=mirror)
    await two.types("/ack")
    await until(lambda: "COS is down too" in two.shows(SLACK) and "lin has it" in two.shows(mirror))
    assert "lin: /note 23:40 COS is down too" in two.shows(SLACK), "what was typed is seen on the other side"
    assert two.shows(mirror).count("lin: /ack") == 1
    slack = two.shows(SLACK)
    assert slack.index("lin: /note") < slack.index("noted (23:40")
    assert {e.kind.value for e in await two.night.timeline("INC-1")} >= {"note", "ack"}


async def test_the_group_at_hand_can_become_the_mirror(two: Two) -> None:
    await two.types("/incident declare SMS down sev3")
    await two.types(f"/warroom mirror {WECOM}")
    await until(lambda: "INC-1" in two.shows(WECOM))
    await two.types("/incident resolve", room=WECOM)
    await until(lambda: "resolved after" in two.shows(SLACK) and "resolved after" in two.shows(WECOM))
    async with two.night.parts.store.begin() as tx:
        assert [(await tx.rooms.get(key)).incident for key in (SLACK, WECOM)] == [None, None]  # type: ignore[union-attr]


async def test_with_mirrors_configured_a_new_war_room_stands_on_both_platforms_at_once(two: Two) -> None:
    two.night.parts.mirror_on = ("slack", "wecom")
    await two.types("/warroom open")
    ((main, _, members),) = two.slack.rooms
    assert members == ("U1",)
    ((mirror, _, _),) = two.wecom.rooms
    await until(lambda: "INC-1" in two.shows(main) and "INC-1" in two.shows(mirror))


async def test_while_a_platform_is_away_the_war_room_goes_on_in_the_fallback_room_and_says_so(two: Two) -> None:
    two.night.parts.fallback_room = WECOM
    await two.types("/incident declare SMS down sev3")
    await until(lambda: "INC-1" in two.shows(SLACK))
    two.slack.down = SendFailed("connection refused")
    await two.types("/note it is the DNS")
    failover = Failover(two.night.parts)

    def told() -> bool:
        failover.wake()
        return "it is the DNS" in two.shows(WECOM)

    await until(told)
    assert "Slack is not reachable: what is said about INC-1 comes here" in two.shows(WECOM)
    assert any("Slack is not reachable" in e.en for e in await two.night.timeline("INC-1"))
    two.slack.down = None
    two.night.parts.wake()
    await until(lambda: "it is the DNS" in two.shows(SLACK))
    assert two.shows(WECOM).count("it is the DNS") == 1


async def test_without_a_fallback_room_people_are_told_alone(two: Two) -> None:
    await two.types("/incident declare SMS down sev3")
    await until(lambda: "INC-1" in two.shows(SLACK))
    two.slack.down = SendFailed("connection refused")
    await two.types("/note it is the DNS")
    failover = Failover(two.night.parts)

    def told() -> bool:
        failover.wake()
        return "it is the DNS" in two.shows("wecom:app/lin.w")

    await until(told)


async def test_after_an_outage_everything_arrives_in_the_order_it_was_said(two: Two) -> None:
    two.slack.down = SendFailed("connection refused", retry_after_s=0.1)
    for n in range(20):
        await two.types(f"/note line {n:02}")
    two.slack.down = None
    two.night.parts.wake()
    await until(lambda: "line 19" in two.shows(SLACK))
    assert re.findall(r"\): line (\d\d)", two.shows(SLACK)) == [f"{n:02}" for n in range(20)]
