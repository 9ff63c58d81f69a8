"""One watch for each room, ended once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bot.app.ports import Store
from bot.domain.incident import Watch
from tests.store.samples import ONSET, after

FIRST = Watch(room="console:main", playbook="sms", message="watch-1", since=ONSET, started_at=after(3))


async def test_a_watch_reads_back_as_it_was_saved_and_the_next_one_takes_its_place(store: Store) -> None:
    second = replace(FIRST, playbook="cos", message="watch-2", started_at=after(5))
    async with store.begin() as tx:
        assert await tx.watches.get(FIRST.room) is None
        await tx.watches.save(FIRST)
        assert await tx.watches.get(FIRST.room) == FIRST
        await tx.watches.save(second)
        assert await tx.watches.list() == [second]
        assert not await tx.watches.remove(FIRST)
        assert await tx.watches.remove(second)
        assert await tx.watches.list() == []


async def test_of_many_that_end_a_watch_one_does(store: Store) -> None:
    async with store.begin() as tx:
        await tx.watches.save(FIRST)

    async def end() -> bool:
        async with store.begin() as tx:
            return await tx.watches.remove(FIRST)

    assert sorted(await asyncio.gather(*(end() for _ in range(5)))) == [False] * 4 + [True]
