"""Overrides: kept with an id people can type, ended where they are cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bot.app.ports import Store
from bot.domain.schedule import Override
from tests.store.samples import ONSET, after

SWAP = Override(id="", schedule="backend", person="chen", start=after(60), until=after(300), by="lin", made_at=ONSET)


async def test_an_override_reads_back_with_an_id_as_long_as_it_matters(store: Store) -> None:
    async with store.begin() as tx:
        first = await tx.overrides.add(SWAP)
        second = await tx.overrides.add(replace(SWAP, person="wang"))
        assert (first, second) == (replace(SWAP, id="ovr-1"), replace(SWAP, id="ovr-2", person="wang"))
        assert await tx.overrides.ending_after(ONSET) == [first, second]
        assert await tx.overrides.ending_after(after(299)) == [first, second]
        assert await tx.overrides.ending_after(after(300)) == []


async def test_one_that_is_cancelled_before_it_begins_never_was(store: Store) -> None:
    async with store.begin() as tx:
        made = await tx.overrides.add(SWAP)
        assert await tx.overrides.cancel("OVR-1", by="lin", at=after(10)) == made
        assert await tx.overrides.ending_after(ONSET) == []
        assert await tx.overrides.cancel("ovr-1", by="lin", at=after(11)) is None


async def test_one_that_is_cancelled_on_the_way_still_tells_who_had_it_until_then(store: Store) -> None:
    async with store.begin() as tx:
        made = await tx.overrides.add(SWAP)
        await tx.overrides.cancel(made.id, by="lin", at=after(90))
        assert await tx.overrides.ending_after(after(61)) == [replace(made, until=after(90))]
        assert await tx.overrides.ending_after(after(90)) == []


async def test_nothing_is_cancelled_that_is_over_or_unknown(store: Store) -> None:
    async with store.begin() as tx:
        await tx.overrides.add(SWAP)
        assert await tx.overrides.cancel("ovr-1", by="lin", at=after(300)) is None
        for ident in ("ovr-7", "7", "ovr-", "ovr-٣", "ovr-99999999999999", "'; --"):
            assert await tx.overrides.cancel(ident, by="lin", at=ONSET) is None


async def test_of_many_who_cancel_one_does(store: Store) -> None:
    async with store.begin() as tx:
        await tx.overrides.add(SWAP)

    async def cancel() -> bool:
        async with store.begin() as tx:
            return await tx.overrides.cancel("ovr-1", by="lin", at=ONSET) is not None

    assert sorted(await asyncio.gather(*(cancel() for _ in range(5)))) == [False] * 4 + [True]
