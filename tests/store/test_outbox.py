"""Claims, leases, fences and coalescing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from bot.adapters.store import SqlStore
from bot.app.outgoing import chat_row, page_row
from bot.app.ports import OutboxRow, Store
from bot.testing import FixedClock
from tests.store.samples import ONSET, after, message, page


async def claim(store: Store, *, limit: int = 10, lease_s: float = 10, owner: str = "me") -> Sequence[OutboxRow]:
    async with store.begin() as tx:
        return await tx.outbox.claim(owner=owner, limit=limit, lease_s=lease_s)


async def add(store: Store, *rows: OutboxRow) -> list[bool]:
    async with store.begin() as tx:
        return [await tx.outbox.add(row) for row in rows]


async def finish(store: Store, row: OutboxRow, state: str, **facts: object) -> bool:
    async with store.begin() as tx:
        return await tx.outbox.finish(row, state=state, **facts)  # type: ignore[arg-type]


async def states(store: SqlStore) -> dict[str, str]:
    async with store._engine.connect() as connection:
        rows = (await connection.execute(text("SELECT key, state FROM outbox"))).all()
    return {row.key: row.state for row in rows}


def call(n: int = 1, *, due_at: datetime = ONSET, incident: str = "INC-1") -> OutboxRow:
    return page_row(page(key=f"{incident}:{n}:lin:1", incident=incident), due_at=due_at)


def say(words: str, *, key: str = "verdict", room: str = "console:ops", due_at: datetime = ONSET) -> OutboxRow:
    return chat_row(message(words, key=key, room=room), due_at=due_at)


async def test_a_page_is_queued_once_for_ever(store: Store) -> None:
    assert await add(store, call()) == [True]
    assert await add(store, call()) == [False]
    (row,) = await claim(store)
    assert await finish(store, row, "sent", ref="CA1")
    assert await add(store, call()) == [False]
    assert await claim(store) == []


async def test_pages_come_before_chat_and_older_before_newer(store: Store) -> None:
    await add(store, say("hello"), call(2, due_at=after(-1)), call(1, due_at=after(-2)))
    assert [row.key for row in await claim(store)] == ["INC-1:1:lin:1", "INC-1:2:lin:1", "chat:console:ops:verdict"]


async def test_four_bots_never_claim_the_same_row(store_url: str, store: SqlStore) -> None:
    await add(store, *(call(n) for n in range(40)))
    bots = [SqlStore(store_url) for _ in range(4)]
    claims = await asyncio.gather(*(claim(bot, limit=10, owner=str(n)) for n, bot in enumerate(bots)))
    keys = [row.key for rows in claims for row in rows]
    more = [row.key for row in await claim(store, limit=40)]
    assert len(keys) == len(set(keys))
    assert sorted(keys + more) == sorted(call(n).key for n in range(40))
    await asyncio.gather(*(bot.close() for bot in bots))


async def test_what_is_not_due_is_not_claimed(store: Store) -> None:
    await add(store, call(due_at=datetime.now(UTC) + timedelta(minutes=5)))
    assert await claim(store) == []


async def test_time_moved_by_a_test_makes_rows_due(store: SqlStore, store_url: str) -> None:
    clock = FixedClock()
    moved = SqlStore(store_url, clock=clock)
    await add(moved, call(due_at=after(30)))
    assert await claim(moved) == []
    await clock.advance(30 * 60)
    assert len(await claim(moved)) == 1
    await moved.close()


async def test_when_the_lease_runs_out_another_bot_takes_over_and_the_first_ones_result_is_refused(
    store: Store,
) -> None:
    await add(store, call())
    (first,) = await claim(store, owner="first", lease_s=1.0)
    assert await claim(store, owner="second") == []
    await asyncio.sleep(1.1)
    (second,) = await claim(store, owner="second")
    assert (second.key, second.generation, second.attempts) == (first.key, 2, 2)
    assert not await finish(store, first, "sent", ref="from the dead")
    assert await finish(store, second, "sent", ref="CA2")


async def test_a_retry_waits_for_its_time(store: Store) -> None:
    await add(store, call())
    (row,) = await claim(store)
    assert await finish(store, row, "pending", error="HTTP 503", retry_at=datetime.now(UTC) + timedelta(seconds=0.2))
    assert await claim(store) == []
    await asyncio.sleep(0.25)
    (again,) = await claim(store)
    assert again.attempts == 2


async def test_cancelling_stops_the_incidents_pages_and_nothing_else(store: SqlStore) -> None:
    await add(store, call(1), call(2), call(1, incident="INC-2"), say("hello"))
    async with store.begin() as tx:
        assert await tx.outbox.cancel(incident="INC-1") == 2
        assert await tx.outbox.cancel(incident="INC-1") == 0
    assert {row.key for row in await claim(store)} == {"INC-2:1:lin:1", "chat:console:ops:verdict"}


async def test_a_page_cancelled_while_on_its_way_is_recorded_as_what_became_of_it(store: SqlStore) -> None:
    await add(store, call(1), call(2))
    sent, failed = await claim(store)
    async with store.begin() as tx:
        await tx.outbox.cancel(incident="INC-1")
    assert await finish(store, sent, "sent", ref="CA1")
    assert await finish(store, failed, "pending", error="HTTP 503", retry_at=ONSET)
    assert await states(store) == {sent.key: "sent", failed.key: "cancelled"}
    assert await claim(store) == []


async def test_a_message_edited_before_it_was_sent_is_sent_once_in_its_latest_form(store: Store) -> None:
    await add(store, say("1/18"), say("2/18"), say("3/18"))
    (row,) = await claim(store)
    assert row.payload["message"]["blocks"][0]["text"]["zh"] == "3/18"
    assert await finish(store, row, "sent", ref="ts-1")
    assert await claim(store) == []


async def test_an_edit_during_the_send_stays_due_and_knows_the_message_it_edits(store: Store) -> None:
    await add(store, say("1/18"))
    (first,) = await claim(store)
    await add(store, say("18/18"))
    assert await claim(store) == []
    assert not await finish(store, first, "sent", ref="ts-1")
    (second,) = await claim(store)
    assert (second.ref, second.payload["message"]["blocks"][0]["text"]["zh"]) == ("ts-1", "18/18")
    assert await finish(store, second, "sent", ref="ts-1")
    assert await claim(store) == []


async def test_a_sent_message_is_due_again_when_it_is_edited(store: Store) -> None:
    await add(store, say("1/18"))
    (row,) = await claim(store)
    await finish(store, row, "sent", ref="ts-1")
    assert await add(store, say("18/18")) == [False]
    (again,) = await claim(store)
    assert (again.ref, again.attempts) == ("ts-1", 1)


async def test_an_edit_does_not_cut_short_the_pause_a_platform_asked_for(store: Store) -> None:
    await add(store, say("1/18"))
    (row,) = await claim(store)
    await finish(store, row, "pending", error="HTTP 429", retry_at=datetime.now(UTC) + timedelta(seconds=60))
    await add(store, say("2/18", due_at=datetime.now(UTC)))
    assert await claim(store) == []


async def test_a_room_gets_one_message_at_a_time_in_order_and_rooms_do_not_wait_for_each_other(store: Store) -> None:
    await add(store, say("a", key="a"), say("b", key="b"), say("c", key="c", room="slack:C1"))
    first, other = await claim(store)
    assert (first.key, other.key) == ("chat:console:ops:a", "chat:slack:C1:c")
    assert await claim(store) == []
    await finish(store, first, "sent", ref="1")
    assert [row.key for row in await claim(store)] == ["chat:console:ops:b"]


async def test_a_message_that_waits_for_its_next_try_lets_none_of_its_room_past(store: Store) -> None:
    await add(store, say("a", key="a"), say("b", key="b"), say("c", key="c", room="slack:C1"))
    first, other = await claim(store)
    await finish(store, first, "pending", error="HTTP 500", retry_at=datetime.now(UTC) + timedelta(seconds=0.4))
    await finish(store, other, "sent", ref="1")
    await add(store, say("d", key="d", room="slack:C1"))
    assert [row.key for row in await claim(store)] == ["chat:slack:C1:d"]
    while not (rows := await claim(store)):
        await asyncio.sleep(0.05)
    assert [row.key for row in rows] == ["chat:console:ops:a"]


async def test_rooms_that_another_bot_has_to_write_to_are_left_to_it(store: Store) -> None:
    await add(store, say("a", key="a", room="wecom:bot/G1"), say("b", key="b", room="wecom:app/lin"))
    async with store.begin() as tx:
        (row,) = await tx.outbox.claim(owner="x", limit=10, lease_s=10, kind="chat", but=("wecom:bot/",))
    assert row.key == "chat:wecom:app/lin:b"


async def test_what_is_held_up_behind_a_message_that_failed_is_told_with_it(store: Store) -> None:
    said = [replace(say(w, key=w, room="slack:C1"), incident="INC-1") for w in ("a", "b")]
    await add(store, *said, say("c", key="c", room="slack:C2"))
    for _ in range(3):
        async with store.begin() as tx:
            assert await tx.outbox.held_up(tries=3) == []
        rows = [row for row in await claim(store) if row.key.endswith(":a")]
        for row in rows:
            await finish(store, row, "pending", error="no route", retry_at=datetime.now(UTC) - timedelta(seconds=1))
    async with store.begin() as tx:
        assert [row.key for row in await tx.outbox.held_up(tries=3)] == ["chat:slack:C1:a", "chat:slack:C1:b"]
        assert await tx.outbox.ref("chat:slack:C1:a") is None
