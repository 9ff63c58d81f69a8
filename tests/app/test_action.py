"""Action items: added when the night is over, listed, done, reminded of, and in the report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.app.action import remind
from bot.app.postmortem.command import export
from bot.testing import FixedClock
from tests.store.fixtures import database, store_url
from tests.transcript import Night, a_night

__all__ = ["database", "store_url"]


@pytest.fixture
async def night(store_url: str, tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path, url=store_url, clock=FixedClock()) as night:
        yield night


async def test_what_is_to_be_done_has_an_owner_and_a_day_and_stands_in_the_postmortem(night: Night) -> None:
    await night.types("/incident declare SMS is down sev4")
    await night.types("/incident resolve")
    # The room is free by now: it is about the incident that was here last.
    await night.types('/action add move the "load test" to its own VPC @LIN due=2026-02-01')
    assert 'action item act-1: move the "load test" to its own VPC, owner lin, due 2026-02-01' in night.shows()
    await night.types("/action add ask for a higher limit")
    assert "(it lacks an owner and a date)" in night.shows()
    async with night.parts.store.begin() as tx:
        found = await tx.incidents.get("INC-1")
        assert found is not None
    early = (await export(night.parts, found, form="md", lang="zh")).content
    assert early.startswith("# 复盘：INC-1 SMS is down")
    # Declared and resolved in the same minute: its seconds are told, and who said so.
    assert "2026-01-15 23:00:00 至 23:00:00" in early
    assert "| 宣布解决 | 2026-01-15 23:00:00 | lin |" in early
    await night.types("/action add INC-1 owner=me 写告警 期限=02-03", user="chen")
    await night.types("/action done act-2", user="chen")
    assert "action item act-2 is done: ask for a higher limit" in night.shows()
    async with night.parts.store.begin() as tx:
        found = await tx.incidents.get("INC-1")
        assert found is not None
    text = (await export(night.parts, found, form="md", lang="en")).content
    assert '| act-1 | move the "load test" to its own VPC | lin | 2026-02-01 | open |' in text
    assert "| act-2 | ask for a higher limit | to be named | to be set | done |" in text
    assert "| act-3 | 写告警 | chen | 2026-02-03 | open |" in text
    assert "**Next**: 3 action items, 2 of them open" in text
    assert "action item act-1" not in text.partition("## Appendix")[0]


async def test_open_ones_are_listed_across_incidents_and_the_first_due_comes_first(night: Night) -> None:
    for n, due in ((1, "due=03-01"), (2, "due=02-01"), (3, "")):
        await night.types(f"/incident declare trouble {n} sev4", room=f"console:r{n}")
        await night.types(f"/action add thing {n} {due}", room=f"console:r{n}")
    await night.types("/action list", room="console:all")
    lines = [line.strip(" ·") for line in night.shows("console:all").splitlines()]
    assert [line.partition(":")[0] for line in lines if "act-" in line] == ["act-2 INC-2", "act-1 INC-1", "act-3 INC-3"]
    await night.types("/action list", room="console:r3")
    assert "action items of INC-3 (1)" in night.shows("console:r3")
    await night.types("/action done 1", room="console:all")
    await night.types("/action list all", room="console:all")
    assert "✓ act-1 INC-1: thing 1" in night.shows("console:all")


async def test_the_owner_is_reminded_the_morning_before_and_daily_until_it_is_done(night: Night) -> None:
    clock = night.parts.clock
    assert isinstance(clock, FixedClock)
    await night.types("/incident declare SMS is down sev4")
    await night.types("/action add move it @lin due=01-20")
    assert not await remind(night.parts)
    # 2026-01-19, 10:00 in Shanghai.
    await clock.advance(timedelta(days=3, hours=11).total_seconds() - 60)
    assert not await remind(night.parts)
    await clock.advance(60)
    assert await remind(night.parts)
    assert not await remind(night.parts)
    await night.settle()
    assert "@lin act-1 of INC-1: move it, owner lin, due 2026-01-20" in night.shows()
    await clock.advance(2 * 86400)
    assert await remind(night.parts)
    await night.settle()
    assert "due 2026-01-20 (overdue)" in night.shows()
    await night.types("/action done act-1")
    await clock.advance(2 * 86400)
    assert not await remind(night.parts)


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("/action add", "bad_action", "@OWNER due=12-01"),
        ("/action add x due=2020-01-01", "bad_time", "has passed"),
        ("/action add x due=soonish", "bad_time", "is no time"),
        ("/action done act-99", "unknown_action", "open ones: act-1"),
        ("/action done", "unknown_action", "/action list"),
        ("/action frobnicate", "unknown_action", "add, done, list"),
    ],
)
async def test_what_cannot_be_read_is_refused_and_nothing_is_lost(
    night: Night, typed: str, code: str, says: str
) -> None:
    await night.types("/incident declare SMS is down sev4")
    await night.types("/action add one")
    error = await night.types(typed)
    assert error is not None
    assert (error.code, says in error.text.en) == (code, True), error.text.en
