"""Duplicates that were found in other rooms go on in one incident, with everybody who was at them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.transcript import ROOM, Night, a_night

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
