"""What happened before is known when it happens again: read as the room reads it, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.incident import IncidentState
from tests.diagnosis import nights
from tests.store.fixtures import database, store_url
from tests.store.samples import incident
from tests.transcript import ROOM, Night, a_night

__all__ = ["database", "store_url"]


@pytest.fixture
async def night(store_url: str, tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path, url=store_url) as night:
        yield night


async def one_night(night: Night, title: str, rule: nights.Rule, *notes: str, room: str = ROOM) -> None:
    """An incident from its declaration to its end."""
    night.rule = rule
    await night.types(f"/incident declare {title} sev4", room=room)
    await night.types("/diag sms", room=room)
    await night.types("/incident resolve", room=room)
    for note in notes:
        await night.types(f"/note {note}", room=room)
    night.rule = nights.healthy


async def test_an_incident_that_opens_is_told_which_earlier_one_it_is_like_and_what_helped_then(night: Night) -> None:
    await one_night(
        night,
        "短信验证码收不到",
        nights.vpc_dns_rate_limited,
        "INC-1 cause: a load test in our VPC",
        "INC-1 修复：压测迁走",
    )
    assert "one line for the next time: /note INC-1 cause: ..." in night.shows()
    await one_night(night, "the key is read-only", nights.permission_revoked, "INC-2 fix: ops gave the right back")
    night.rule = nights.vpc_dns_rate_limited
    await night.types("/incident declare 验证码又收不到了 sev4", room="console:again")
    # By its words at once, and by what failed when that is known.
    await night.until("like INC-1 短信验证码收不到", "console:again")
    assert "the same words: “验证码”, “收不到”" in night.shows("console:again")
    await night.types("/diag sms", room="console:again")
    await night.until("DNS · VPC (DNS timeout)", "console:again")
    shown = night.shows("console:again")
    assert shown.count("like INC-1") == 1
    assert "cause then: a load test in our VPC; what helped then: 压测迁走" in shown


async def test_similar_asks_by_what_the_room_saw_last_or_by_words_and_says_when_there_is_nothing(night: Night) -> None:
    assert await night.types("/similar") is None
    assert "run /diag first, or say what it looks like" in night.shows()
    await night.types("/similar codes do not arrive")
    assert "no earlier incident is like it" in night.shows()
    await one_night(night, "codes do not arrive", nights.permission_revoked)
    await night.types("/similar users say codes do not arrive", room="console:words")
    assert "like INC-1 codes do not arrive" in night.shows("console:words")
    night.rule = nights.permission_revoked
    await night.types("/diag sms", room="console:seen")
    await night.types("/similar", room="console:seen")
    shown = night.shows("console:seen")
    assert "like INC-1" in shown
    assert "cause then: " in shown
    await night.types("/similar INC-1")
    assert "no earlier incident is like it" in night.shows().splitlines()[-1]


async def test_incidents_that_ended_before_anything_was_remembered_are_caught_up(night: Night) -> None:
    async with night.parts.store.begin() as tx:
        old = incident(id="INC-1", title="COS bucket is away", state=IncidentState.CLOSED)
        await tx.incidents.open(old)
        await tx.incidents.open(incident(id="INC-2", title="COS bucket is away", merged_into="INC-1"))
    await night.types("/similar COS bucket")
    assert "like INC-1 COS bucket is away" in night.shows()
    assert "INC-2" not in night.shows()


async def test_a_note_that_only_mentions_an_incident_stays_in_its_room(night: Night) -> None:
    await one_night(night, "codes do not arrive", nights.permission_revoked)
    await night.types("/note INC-1 was the same, I think")
    assert "noted (" in night.shows()
    assert "noted INC-1" not in night.shows()
    await night.types("/note INC-1 fix: the right was given back")
    assert "noted INC-1 (" in night.shows()
    assert "the right was given back" in [e.en.partition(": ")[2] for e in await night.timeline("INC-1")]
    error = await night.types("/note INC-9 cause: none such")
    assert error is not None
    assert error.code == "unknown_incident"
