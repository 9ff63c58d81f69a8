"""The record cannot be changed and misses nothing."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.adapters.store import SqlStore
from bot.app.ports import Store
from bot.app.redact import Redactor
from bot.domain.incident import EntryKind
from tests.store.samples import ONSET, after, incident, note, run


async def test_an_entry_comes_back_as_it_was_said_with_its_number_and_the_time_it_was_recorded(store: Store) -> None:
    entry = note("短信又挂了 📵", data={"who": ["lin"], "share": 0.93}, run="run-1", incident="INC-1")
    async with store.begin() as tx:
        recorded = await tx.timeline.append(entry)
    async with store.begin() as tx:
        (read,) = await tx.timeline.read(incident="INC-1")
    assert read == recorded
    assert (read.zh, read.data, read.at) == (entry.zh, entry.data, ONSET)
    assert read.seq == 1
    assert read.recorded_at is not None
    assert read.recorded_at.tzinfo is not None


@pytest.mark.parametrize("act", ["UPDATE timeline SET zh = 'nothing happened'", "DELETE FROM timeline"])
async def test_the_database_itself_refuses_to_rewrite_the_timeline(store: SqlStore, act: str) -> None:
    async with store.begin() as tx:
        await tx.timeline.append(note("a fact"))
    with pytest.raises(DBAPIError, match="append-only"):
        async with store._engine.begin() as connection:
            await connection.execute(text(act))


async def test_the_earlier_entries_of_an_attached_run_belong_to_the_incident(store: Store) -> None:
    async with store.begin() as tx:
        await tx.runs.save(run("run-1"))
        await tx.timeline.append(note("/diag sms", run="run-1", at=after(-5)))
        await tx.timeline.append(note("lunch?"))
        inc = await tx.incidents.open(incident())
        assert await tx.timeline.read(incident=inc.id) == []
        assert await tx.runs.attach(room="console:ops", incident=inc.id, since=after(-60)) == 1
        await tx.timeline.append(note("declared", incident=inc.id))
        assert [e.zh for e in await tx.timeline.read(incident=inc.id)] == ["/diag sms", "declared"]


async def test_entries_are_read_in_the_order_in_which_things_happened(store: Store) -> None:
    async with store.begin() as tx:
        for words, minute in (("second", 2), ("third", 3), ("first", 1), ("also third", 3)):
            await tx.timeline.append(note(words, at=after(minute)))
        assert [e.zh for e in await tx.timeline.read(room="console:ops")] == ["first", "second", "third", "also third"]
        assert await tx.timeline.read(room="console:other") == []


async def test_reading_on_after_the_last_number_misses_nothing_that_was_recorded_late(store: Store) -> None:
    async with store.begin() as tx:
        for minute in (5, 1, 4, 2, 3):
            await tx.timeline.append(note(f"minute {minute}", at=after(minute)))
        seen: list[str] = []
        last = 0
        while entries := await tx.timeline.read(room="console:ops", after=last, limit=2):
            seen += [e.zh for e in entries]
            last = max(e.seq for e in entries)
    assert sorted(seen) == [f"minute {n}" for n in range(1, 6)]


async def test_a_secret_never_reaches_the_timeline_a_run_or_a_message(store: SqlStore, store_url: str) -> None:
    careful = SqlStore(store_url, redactor=Redactor(["canary-secret-1"]))
    async with careful.begin() as tx:
        entry = note(
            "token canary-secret-1", kind=EntryKind.COMMAND, data={"authorization": "Basic abc", "x": "canary-secret-1"}
        )
        recorded = await tx.timeline.append(entry)
        await tx.runs.save(run(document={"detail": "canary-secret-1"}))
        assert recorded.zh == "token •••"
        assert recorded.data == {"authorization": "•••", "x": "•••"}
        assert (await tx.runs.get("run-1")).document == {"detail": "•••"}  # type: ignore[union-attr]
    await careful.close()


async def test_text_no_database_could_store_is_stored_readably(store: Store) -> None:
    async with store.begin() as tx:
        recorded = await tx.timeline.append(
            note("nul\x00 surrogate\ud800", data={"a\x00": "\ud800", "nan": float("nan")})
        )
        assert await tx.timeline.read() == [recorded]
        assert recorded.zh == "nul\ufffd surrogate?"
        assert recorded.data == {"a\ufffd": "?", "nan": None}
