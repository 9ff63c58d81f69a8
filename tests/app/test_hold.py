"""A connection that only one of several bots may have, held by a lease in the database."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bot.adapters.store import SqlStore
from bot.app.hold import Hold
from tests.store.fixtures import database, store, store_url

__all__ = ["database", "store", "store_url"]


async def test_of_three_bots_that_ask_together_one_has_it_and_keeps_it(store: SqlStore) -> None:
    bots = [Hold(store, "wecom-bot", f"bot-{n}") for n in range(3)]
    for _ in range(3):
        has = await asyncio.gather(*(bot.holds() for bot in bots))
        assert sum(has) == 1
    (first,) = [bot for bot, it in zip(bots, has, strict=True) if it]
    await first.release()
    others = [bot for bot in bots if bot is not first]
    assert sum([await bot.holds() for bot in others]) == 1
    assert not await first.holds()


async def test_one_that_asks_no_more_loses_it_when_its_lease_is_over(store: SqlStore) -> None:
    gone = Hold(store, "wecom-bot", "gone", lease=timedelta(seconds=0.3))
    heir = Hold(store, "wecom-bot", "heir")
    assert await gone.holds()
    async with asyncio.timeout(20):
        while not await heir.holds():
            await asyncio.sleep(0.05)
    assert not await gone.holds()


async def test_while_the_database_is_away_whoever_has_it_keeps_it(store: SqlStore) -> None:
    has, others = Hold(store, "wecom-bot", "a"), Hold(store, "wecom-bot", "b")
    assert [await has.holds(), await others.holds()] == [True, False]
    await store.close()
    away = SqlStore("postgresql://nobody@127.0.0.1:9/none")
    has._store = others._store = away
    assert [await has.holds(), await others.holds()] == [True, False]
    await away.close()
