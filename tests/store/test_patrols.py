"""Rounds are kept cheaply and thinned with age; one bot at a time is on patrol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.adapters.store import SqlStore
from bot.domain.patrol import PatrolClaim, Round, Sample
from bot.testing.clock import FixedClock
from tests.store.samples import ONSET, after, incident

MINUTE, LEASE = timedelta(minutes=1), timedelta(seconds=90)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(ONSET)


@pytest.fixture
async def store(store_url: str, clock: FixedClock) -> AsyncIterator[SqlStore]:
    store = SqlStore(store_url, clock=clock)
    await store.upgrade()
    yield store
    await store.close()


async def claim(store: SqlStore, *playbooks: str, owner: str = "bot-1") -> PatrolClaim | None:
    async with store.begin() as tx:
        return await tx.patrols.claim(playbooks or ("sms",), owner=owner, every=MINUTE, lease=LEASE)


async def finish(store: SqlStore, done: PatrolClaim | None) -> bool:
    assert done is not None
    async with store.begin() as tx:
        return await tx.patrols.finish(done)


def seen(minute: float, *, red_agents: int = 0, agents: int = 1) -> Round:
    at = after(minute)
    samples = [
        Sample(at=at, agent=f"vm{n}", layer=layer, tries=2, ok=2 - n % 2, ms=None if n % 2 else 12.5)
        for n in range(agents)
        for layer in ("dns_vpc", "http")
    ]
    return Round(playbook="sms", at=at, samples=tuple(samples), red_agents=red_agents)


async def test_the_first_round_is_due_after_one_interval_and_the_next_after_another(
    store: SqlStore, clock: FixedClock
) -> None:
    assert await claim(store) is None
    await clock.advance(59)
    assert await claim(store) is None
    await clock.advance(1)
    first = await claim(store)
    assert first == PatrolClaim(playbook="sms", owner="bot-1", number=1)
    assert await finish(store, first)
    assert await claim(store) is None
    await clock.advance(60)
    assert (await claim(store)) == PatrolClaim(playbook="sms", owner="bot-1", number=2)


async def test_one_round_is_out_at_a_time_and_the_longest_waiting_playbook_goes_first(
    store: SqlStore, clock: FixedClock
) -> None:
    await claim(store, "cos", "sms")
    await clock.advance(60)
    cos = await claim(store, "cos", "sms")
    assert cos is not None
    assert cos.playbook == "cos"
    assert await claim(store, "cos", "sms", owner="bot-2") is None
    await clock.advance(61)
    assert await finish(store, cos)
    sms = await claim(store, "cos", "sms")
    assert sms is not None
    assert sms.playbook == "sms"


async def test_after_an_hour_of_standstill_one_round_is_done_and_not_sixty(store: SqlStore, clock: FixedClock) -> None:
    await claim(store)
    await clock.advance(3600)
    assert await finish(store, await claim(store))
    assert await claim(store) is None


async def test_a_bot_that_died_on_patrol_is_replaced_and_its_late_word_is_not_taken(
    store: SqlStore, clock: FixedClock
) -> None:
    await claim(store)
    await clock.advance(60)
    dead = await claim(store, owner="bot-1")
    await clock.advance(LEASE.total_seconds() - 1)
    assert await claim(store, owner="bot-2") is None
    await clock.advance(1)
    heir = await claim(store, owner="bot-2")
    assert heir is not None
    assert heir.number == 2
    assert not await finish(store, dead)
    assert await finish(store, heir)


async def test_of_many_bots_that_ask_at_once_one_goes(store: SqlStore, clock: FixedClock) -> None:
    await claim(store, "cos", "sms")
    await clock.advance(60)
    claims = await asyncio.gather(*(claim(store, "cos", "sms", owner=f"bot-{n}") for n in range(6)))
    assert sum(c is not None for c in claims) == 1


async def test_a_shorter_interval_counts_at_once(store: SqlStore, clock: FixedClock) -> None:
    async with store.begin() as tx:
        assert await tx.patrols.claim(("sms",), owner="bot-1", every=timedelta(hours=1), lease=LEASE) is None
    assert await claim(store) is not None
    assert clock.now() == ONSET


async def test_the_incident_a_patrol_opened_is_remembered(store: SqlStore, clock: FixedClock) -> None:
    await claim(store)
    await clock.advance(60)
    mine = await claim(store)
    assert mine is not None
    async with store.begin() as tx:
        opened = await tx.incidents.open(incident())
        assert await tx.patrols.finish(replace(mine, incident=opened.id))
    await clock.advance(60)
    again = await claim(store)
    assert again is not None
    assert again.incident == opened.id


async def test_a_round_reads_back_as_it_was_kept_and_of_many_a_spread_is_read(store: SqlStore) -> None:
    rounds = [seen(n, red_agents=n % 3, agents=3) for n in range(50)]
    async with store.begin() as tx:
        for one in rounds:
            await tx.patrols.keep(one)
        await tx.patrols.keep(rounds[0])
        assert await tx.patrols.rounds("sms", since=ONSET, until=after(49), most=100) == rounds
        assert await tx.patrols.rounds("sms", since=after(10), until=after(12), most=100) == rounds[10:13]
        spread = await tx.patrols.rounds("sms", since=ONSET, until=after(49), most=20)
        assert [r.at for r in spread] == [after(n) for n in range(0, 50, 3)]
        assert await tx.patrols.rounds("cos", since=ONSET, until=after(49), most=20) == []
        assert await tx.patrols.lately("sms", since=ONSET, most=4) == [1, 0, 2, 1]
        assert await tx.patrols.lately("sms", since=after(48), most=4) == [1, 0]


async def test_old_rounds_are_thinned_after_a_day_and_dropped_after_two_weeks(
    store: SqlStore, clock: FixedClock
) -> None:
    async with store.begin() as tx:
        for n in range(25):
            await tx.patrols.keep(seen(n))
        await clock.advance(86_400 + 15 * 60)
        await tx.patrols.prune()
        left = await tx.patrols.rounds("sms", since=ONSET, until=after(60), most=100)
        assert [r.at for r in left] == [after(n) for n in (0, 10, *range(15, 25))]
        await clock.advance(14 * 86_400)
        await tx.patrols.prune()
        assert await tx.patrols.rounds("sms", since=ONSET, until=after(60), most=100) == []


@pytest.mark.alone
async def test_a_week_of_fifty_vantage_points_is_read_in_moments(store: SqlStore) -> None:
    big = seen(0, agents=50)
    samples = [replace(s, layer=f"layer{n}") for s in big.samples[::2] for n in range(10)]
    async with store.begin() as tx:
        for n in range(300):
            await tx.patrols.keep(replace(big, at=after(n), samples=tuple(samples)))
        began = time.perf_counter()
        read = await tx.patrols.rounds("sms", since=ONSET, until=after(300), most=200)
        assert len(read) == 150
        assert time.perf_counter() - began < 10  # 0.3 s on an idle machine
