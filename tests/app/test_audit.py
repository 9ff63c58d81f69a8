"""Rows broken by hand, and the auditor that mends them and calls somebody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.app.audit import VIOLATIONS, audit
from bot.domain.incident import EntryKind
from bot.testing import FixedClock
from tests.app.test_escalation import DIRECTORY
from tests.store.fixtures import database, store_url
from tests.transcript import Night, a_night

__all__ = ["database", "store_url"]


@pytest.fixture
async def night(store_url: str, tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path, url=store_url, clock=FixedClock(), directory=DIRECTORY) as night:
        await night.types("/page")
        await night.rings(1)
        await night.settle()
        yield night


async def breaks(night: Night, sql: str) -> None:
    async with night.parts.store.begin() as tx:
        await tx.timeline._session.connection.execute(text(sql))  # type: ignore[attr-defined]


async def test_a_healthy_escalation_is_left_alone(night: Night) -> None:
    assert await audit(night.parts) == 0
    assert len(night.pager.calls) == 1
    await night.types("/ack")
    assert await audit(night.parts) == 0


@pytest.mark.parametrize(
    ("sql", "why", "key"),
    [
        ("UPDATE escalations SET due_at = NULL", "neither a timer nor a page that lives", "INC-1:2:chen:1"),
        ("UPDATE escalations SET phase = 'held', due_at = NULL", "held, and nobody has it", "INC-1:2:lin:1"),
        ("UPDATE escalations SET phase = 'over', due_at = NULL", "over, and nobody has it", "INC-1:2:lin:1"),
        ("DELETE FROM escalations", "its escalation is gone", "INC-1:2:lin:1"),
    ],
)
async def test_what_was_broken_is_mended_said_counted_and_calls_the_next_one(
    night: Night, sql: str, why: str, key: str
) -> None:
    await breaks(night, sql)
    assert await audit(night.parts) == 1
    assert [c.key for c in await night.rings(2)][1] == key
    await night.settle()
    assert f"audit of INC-1: {why}; calling again now" in night.shows()
    assert "自查发现 INC-1" in night.shows(lang="zh")
    assert [e.data["audit"] for e in await night.timeline("INC-1") if "audit" in e.data] == [why]
    assert night.parts.counters[VIOLATIONS] == 1
    assert await audit(night.parts) == 0


async def test_a_page_that_waits_is_a_life_sign(night: Night) -> None:
    await breaks(night, "UPDATE escalations SET due_at = NULL")
    await breaks(night, "UPDATE outbox SET state = 'pending', lease_until = '2099-01-01' WHERE kind = 'page'")
    assert await audit(night.parts) == 0


async def test_a_resolved_incident_needs_nobody(night: Night) -> None:
    await night.types("/incident resolve")
    await breaks(night, "DELETE FROM escalations")
    assert await audit(night.parts) == 0
    assert [e for e in await night.timeline("INC-1") if e.kind is EntryKind.ESCALATION and "audit" in e.data] == []
