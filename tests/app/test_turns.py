"""Pages are claimed as their turn comes, and nobody calls whose claim is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from bot.adapters.store import SqlStore
from bot.app.deliver import Deliverer
from bot.app.placing import STARTING, ClaimLost
from bot.testing import FakePager, FixedClock
from tests.app.test_deliver import clock, delivering, entries, queue, row, store, until, until_state
from tests.store.fixtures import database, store_url

__all__ = ["clock", "database", "store", "store_url"]


def once_claimed(deliverer: Deliverer, then: Callable[[], Awaitable[object]]) -> Deliverer:
    """The same, which does something between its first claim of a page and the last look at it."""
    place, left = deliverer._placer.place, [then]

    async def later(*args: Any) -> Any:
        if left:
            await left.pop()()
        return await place(*args)

    deliverer._placer.place = later  # type: ignore[method-assign]
    return deliverer


async def test_a_bot_that_stood_still_beyond_its_lease_does_not_call_and_claims_the_page_anew(
    store: SqlStore, clock: FixedClock
) -> None:
    phone = FakePager()
    await queue(store)
    async with delivering(once_claimed(Deliverer(store, {}, [phone], clock), lambda: clock.advance(10.5))):
        await until_state(store, "sent", attempts=2)
    assert [page.key for page in phone.calls] == ["INC-1:1:lin:1"]
    assert len(await entries(store)) == 1


async def test_a_bot_whose_page_another_one_took_over_does_not_call(
    store: SqlStore, store_url: str, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    phone, other = FakePager(), SqlStore(store_url, clock=clock)

    async def taken_over() -> None:
        await clock.advance(10.5)
        async with other.begin() as tx:
            assert len(await tx.outbox.claim(owner="other", limit=9, lease_s=60, kind="page")) == 1

    await queue(store)
    deliverer = once_claimed(Deliverer(store, {}, [phone], clock, poll_s=60), taken_over)
    async with delivering(deliverer):
        await until(lambda: "it is taken up again" in caplog.text)
    assert phone.calls == []
    assert (await row(store)).owner == "other"
    await other.close()


async def test_with_too_little_of_the_lease_left_nobody_is_asked(
    store: SqlStore, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes of it could not be recorded in time."""
    phone = FakePager()
    await queue(store)
    deliverer = once_claimed(Deliverer(store, {}, [phone], clock), lambda: clock.advance(8))
    async with delivering(deliverer):
        await until(lambda: "it is taken up again" in caplog.text)
        assert phone.calls == []
        await clock.advance(3)
        async with asyncio.timeout(60):
            while (await row(store)).state != "sent":
                deliverer.wake()
                await asyncio.sleep(0.05)
    assert (await row(store)).attempts == 2
    assert len(phone.calls) == 1


async def test_no_more_pages_are_claimed_than_can_be_begun(store: SqlStore, clock: FixedClock) -> None:
    """Claimed all at once, the leases of most would run out in the bot's own queue, again and again."""
    phone, begun, go = FakePager(), asyncio.Event(), asyncio.Event()
    keys = [f"INC-1:1:lin:{n}" for n in range(5 * STARTING)]
    await queue(store, *keys)
    deliverer = Deliverer(store, {}, [phone], clock)
    place = deliverer._placer.place

    async def slowly(*args: Any) -> Any:
        begun.set()
        await go.wait()
        return await place(*args)

    deliverer._placer.place = slowly  # type: ignore[method-assign]
    async with delivering(deliverer):
        await begun.wait()
        for _ in range(3):
            deliverer.wake()
            await asyncio.sleep(0.1)
        async with store.begin() as tx:
            claimed = text("SELECT count(*) FROM outbox WHERE owner IS NOT NULL")
            assert await tx.outbox._session.connection.scalar(claimed) == STARTING
        go.set()
        await until(lambda: len(phone.calls) == len(keys), seconds=90)
    assert sorted(page.key for page in phone.calls) == sorted(keys)


async def test_a_bot_that_is_too_slow_for_its_lease_takes_fewer_pages_at_once_until_it_is_not(
    store: SqlStore, clock: FixedClock
) -> None:
    phone, go = FakePager(), asyncio.Event()
    keys = [f"INC-1:1:lin:{n}" for n in range(2 * STARTING)]
    await queue(store, *keys)
    deliverer = Deliverer(store, {}, [phone], clock)
    place, begun, lost = deliverer._placer.place, [0], asyncio.Event()

    async def slowly(*args: Any) -> Any:
        begun[0] += 1
        if not lost.is_set():
            await lost.wait()
            raise ClaimLost
        await go.wait()
        return await place(*args)

    deliverer._placer.place = slowly  # type: ignore[method-assign]
    async with delivering(deliverer):
        await until(lambda: begun[0] == STARTING)
        lost.set()
        await until(lambda: begun[0] == STARTING + 1)
        for _ in range(3):
            deliverer.wake()
            await asyncio.sleep(0.1)
        assert begun[0] == STARTING + 1, "one at a time"
        go.set()
        await until(lambda: len(phone.calls) == STARTING, seconds=60)
        await clock.advance(11)
        async with asyncio.timeout(60):
            while len(phone.calls) < len(keys):
                deliverer.wake()
                await asyncio.sleep(0.05)
    assert sorted(page.key for page in phone.calls) == sorted(keys)


async def test_pages_that_wait_for_their_provider_take_no_turn(store: SqlStore, clock: FixedClock) -> None:
    phone = FakePager()
    phone.gate.clear()
    keys = [f"INC-1:1:lin:{n}" for n in range(3 * STARTING)]
    await queue(store, *keys)
    async with delivering(Deliverer(store, {}, [phone], clock)):
        await until(lambda: len(phone.calls) == len(keys))
        phone.gate.set()
    assert sorted(page.key for page in phone.calls) == sorted(keys)
