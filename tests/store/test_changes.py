"""Changes are kept once, and read newest first."""

from __future__ import annotations

from dataclasses import replace

from bot.app.ports import Store
from bot.domain.change import Change, ChangeKind
from tests.store.samples import ONSET, after

FIRST = Change(
    at=ONSET,
    kind=ChangeKind.DEPLOY,
    title="短信网关 1.4.2",
    who="lin",
    env="prod",
    service="sms",
    url="https://ci.example/7",
    source="ci",
)


async def test_a_change_reads_back_as_it_was_told_and_is_kept_once(store: Store) -> None:
    async with store.begin() as tx:
        assert await tx.changes.add(FIRST)
        assert not await tx.changes.add(FIRST)
        assert await tx.changes.add(replace(FIRST, who="chen"))
        assert len(await tx.changes.recent(since=ONSET)) == 2
    async with store.begin() as tx:
        assert FIRST in await tx.changes.recent(since=ONSET)


async def test_recent_changes_are_newest_first_and_bounded(store: Store) -> None:
    async with store.begin() as tx:
        for minute in (0, 30, 10, 20):
            await tx.changes.add(replace(FIRST, at=after(minute)))
        assert [c.at for c in await tx.changes.recent(since=after(10))] == [after(30), after(20), after(10)]
        assert [c.at for c in await tx.changes.recent(since=ONSET, limit=1)] == [after(30)]
