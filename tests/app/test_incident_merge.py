"""Duplicates that were found in other rooms go on in one incident, with everybody who was at them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.app.dispatch import handle
from bot.domain.incident import Incident
from tests.store.fixtures import database, store_url
from tests.transcript import ROOM, Night, a_night

__all__ = ["database", "store_url"]

SECOND, THIRD = "console:second", "console:third"


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path) as night:
        await night.types("/incident declare SMS is down sev3", room=ROOM)
        await night.types("/incident declare login is broken sev3", room=SECOND)
        await night.types("/incident merge INC-1", room=SECOND)
        yield night


async def test_the_room_of_a_duplicate_reads_what_is_said_of_the_one_that_stays(night: Night) -> None:
    await night.types("/incident status the vendor is on it", room=ROOM)
    assert "the vendor is on it" in night.shows(SECOND)
    assert "INC-1 SMS is down" in night.shows(SECOND)


async def test_what_is_noted_there_belongs_to_the_one_that_stays(night: Night) -> None:
    await night.types("/note seen from here too", room=SECOND)
    assert "seen from here too" in [e.en for e in await night.timeline("INC-1")]


async def test_rooms_that_followed_a_duplicate_follow_it_on(night: Night) -> None:
    await night.types("/incident declare the app is slow sev3", room="console:fourth")
    await night.types("/incident declare nobody can pay sev3", room=THIRD)
    await night.types("/incident merge INC-3", room=THIRD)
    await night.types("/incident merge INC-1", room="console:fourth")
    await night.types("/note from the third room", room=THIRD)
    assert "from the third room" in [e.en for e in await night.timeline("INC-1")]
    assert "INC-3 (the app is slow) was merged into INC-1" in night.shows(THIRD)


async def test_when_it_is_over_all_its_rooms_are_told_and_free(night: Night) -> None:
    await night.types("/incident resolve", room=ROOM)
    assert "INC-1 resolved" in night.shows(SECOND)
    assert await night.types("/incident declare the next one sev3", room=SECOND) is None


async def test_two_that_are_merged_into_each_other_at_once_leave_one_open(store_url: str, tmp_path: Path) -> None:
    async with a_night(tmp_path, url=store_url) as night:
        await night.types("/incident declare SMS is down sev3", room=ROOM)
        await night.types("/incident declare login is broken sev3", room=SECOND)
        refused = await asyncio.gather(
            handle(night.parts, "/incident merge INC-2", user="lin", room=ROOM),
            handle(night.parts, "/incident merge INC-1", user="chen", room=SECOND),
        )
        await night.settle()
        async with night.parts.store.begin() as tx:
            both = [await tx.incidents.look(name) for name in ("INC-1", "INC-2")]
        assert [isinstance(one, Incident) and one.is_open for one in both].count(True) == 1
        assert sorted(error.code for error in refused if error is not None) == ["cannot_merge"]
