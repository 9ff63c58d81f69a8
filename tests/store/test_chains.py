"""Whoever rewrites the record by other means is found out, on both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from bot.adapters.store import SqlStore
from bot.domain.chain import Break
from tests.store.samples import ONSET, after, incident, note, run


async def sql(store: SqlStore, *statements: str) -> None:
    """As somebody with a client of the database would: the guards of the table taken off first."""
    async with store._engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            for act in ("update", "delete"):
                await connection.execute(text(f"DROP TRIGGER IF EXISTS timeline_no_{act}"))
        else:
            await connection.execute(text("ALTER TABLE timeline DISABLE TRIGGER ALL"))
        for statement in statements:
            await connection.execute(text(statement))


async def faults(store: SqlStore, *printed: str) -> list[tuple[Break, int]]:
    async with store.begin() as tx:
        return [(fault.kind, fault.link) for fault in await tx.timeline.verify("INC-1", printed=printed)]


@pytest.fixture
async def night(store: SqlStore) -> SqlStore:
    """A run, then an incident it belongs to, with five entries of its own and late ones among them."""
    async with store.begin() as tx:
        await tx.runs.save(run("run-1"))
        for words in ("/diag sms", "63 checks", "most likely: DNS"):
            await tx.timeline.append(note(words, run="run-1", at=after(-5)))
        await tx.timeline.append(note("lunch?"))
        await tx.incidents.open(incident(id="INC-1"))
        await tx.runs.attach(room="console:ops", incident="INC-1", since=after(-60))
    for n, minute in enumerate((0, 3, -20, 5, 4), start=1):
        async with store.begin() as tx:
            await tx.timeline.append(note(f"line {n}", incident="INC-1", at=after(minute), data={"n": n}))
    return store


async def test_what_was_recorded_before_the_incident_and_out_of_order_is_whole(night: SqlStore) -> None:
    assert await faults(night) == []
    async with night.begin() as tx:
        heads = await tx.timeline.heads("INC-1")
        entries = await tx.timeline.read(incident="INC-1")
    assert [(head.name, head.length) for head in heads] == [("INC-1", 5), ("run:run-1", 3)]
    assert [e.zh for e in entries][:2] == ["line 3", "/diag sms"]
    assert heads[0].hash == next(e.hash for e in entries if e.zh == "line 5")
    assert all(len(entry.hash) == 64 for entry in entries)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE timeline SET zh = 'nothing' WHERE zh = 'line 3'", [(Break.EDITED, 3)]),
        ("UPDATE timeline SET data = data || ' ' WHERE zh = 'line 4'", [(Break.EDITED, 4)]),
        ("UPDATE timeline SET actor = 'chen' WHERE zh = '/diag sms'", [(Break.EDITED, 1)]),
        ("UPDATE timeline SET at = recorded_at WHERE zh = 'line 5'", [(Break.EDITED, 5)]),
        ("DELETE FROM timeline WHERE zh = 'line 2'", [(Break.REMOVED, 2)]),
        ("DELETE FROM timeline WHERE zh = 'line 1'", [(Break.REMOVED, 1)]),
        ("DELETE FROM timeline WHERE zh = '63 checks'", [(Break.REMOVED, 2)]),
        ("DELETE FROM timeline WHERE zh IN ('line 4', 'line 5')", [(Break.CUT, 3)]),
        ("DELETE FROM timeline WHERE run = 'run-1'", [(Break.CUT, 0)]),
        ("UPDATE timeline SET incident = NULL WHERE zh = 'line 2'", [(Break.EDITED, 2)]),
        ("UPDATE timeline SET chain = NULL, link = NULL WHERE zh = 'line 2'", [(Break.REMOVED, 2), (Break.ADDED, 0)]),
    ],
)
async def test_a_row_that_is_edited_removed_or_cut_is_named(
    night: SqlStore, statement: str, says: list[tuple[Break, int]]
) -> None:
    await sql(night, statement)
    assert await faults(night) == says


async def test_a_row_that_is_put_in_by_hand_is_named(night: SqlStore) -> None:
    columns = "kind, at, recorded_at, actor, room, incident, zh, en, data"
    values = "kind, at, recorded_at, actor, room, incident, 'forged', 'forged', data"
    await sql(night, f"INSERT INTO timeline ({columns}) SELECT {values} FROM timeline WHERE zh = 'line 1'")
    assert await faults(night) == [(Break.ADDED, 0)]


async def test_a_tail_cut_together_with_its_head_shows_against_what_an_export_printed(night: SqlStore) -> None:
    async with night.begin() as tx:
        printed = (await tx.timeline.heads("INC-1"))[0].hash
    assert await faults(night, printed) == []
    cut = "UPDATE chains SET length = 4, head = (SELECT hash FROM timeline WHERE zh = 'line 4') WHERE name = 'INC-1'"
    await sql(night, "DELETE FROM timeline WHERE zh = 'line 5'", cut)
    assert await faults(night) == []
    assert await faults(night, printed) == [(Break.LOST, 0)]


async def test_writers_at_the_same_time_make_one_chain(night: SqlStore, store_url: str) -> None:
    other = SqlStore(store_url)

    async def write(store: SqlStore, n: int) -> None:
        async with store.begin() as tx:
            await tx.timeline.append(note(f"at once {n}", incident="INC-1"))
            await tx.timeline.append(note(f"and again {n}", incident="INC-1"))

    await asyncio.gather(*(write(store, n) for n in range(8) for store in (night, other)))
    await other.close()
    async with night.begin() as tx:
        (head, _) = await tx.timeline.heads("INC-1")
    assert head.length == 5 + 8 * 2 * 2
    assert await faults(night) == []


async def test_the_database_itself_refuses_a_fork(night: SqlStore) -> None:
    columns = "kind, at, recorded_at, actor, room, incident, zh, en, data, chain, link, hash"
    fork = f"INSERT INTO timeline ({columns}) SELECT {columns} FROM timeline WHERE zh = 'line 5'"
    with pytest.raises(IntegrityError):
        await sql(night, fork)


async def test_what_is_rolled_back_leaves_no_gap(night: SqlStore) -> None:
    async def fails() -> None:
        async with night.begin() as tx:
            await tx.timeline.append(note("never", incident="INC-1"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    async with night.begin() as tx:
        await tx.timeline.append(note("after it", incident="INC-1"))
    assert await faults(night) == []


async def test_many_at_once_are_the_same_chain(night: SqlStore) -> None:
    async with night.begin() as tx:
        await tx.timeline.extend(
            [note(f"m {n}", incident="INC-1", at=ONSET + timedelta(seconds=n)) for n in range(500)]
        )
        await tx.timeline.append(note("one more", incident="INC-1"))
        await tx.timeline.extend([])
    assert await faults(night) == []
    async with night.begin() as tx:
        assert (await tx.timeline.heads("INC-1"))[0].length == 506


async def test_entries_from_before_there_were_chains_are_passed_over(night: SqlStore) -> None:
    older = "UPDATE timeline SET chain = NULL, link = NULL, hash = NULL WHERE run = 'run-1'"
    await sql(night, older, "DELETE FROM chains WHERE name = 'run:run-1'")
    assert await faults(night) == []


async def test_batches_of_many_chains_and_single_entries_at_once_leave_every_chain_whole(store: SqlStore) -> None:
    async with store.begin() as tx:
        await tx.incidents.open(incident(id="INC-1"))
        await tx.incidents.open(incident(id="INC-2"))

    async def batch(n: int) -> None:
        # Two chains in turn, more than one statement takes.
        names = ("INC-1", "INC-2")
        some = [note(f"{n}/{k} 不可用 \"'\\ ", incident=names[k % 2], at=after(k), data={"k": [k]}) for k in range(600)]
        async with store.begin() as tx:
            for name in names:
                await tx.incidents.get(name)
            await tx.timeline.extend(some)

    async def single(n: int) -> None:
        async with store.begin() as tx:
            await tx.timeline.append(note(f"single {n}", incident="INC-1"))

    await asyncio.gather(*(batch(n) for n in range(3)), *(single(n) for n in range(20)))
    async with store.begin() as tx:
        assert await tx.timeline.verify("INC-1") == []
        assert await tx.timeline.verify("INC-2") == []
        assert [head.length for head in await tx.timeline.heads("INC-1")] == [920]
        entries = await tx.timeline.read(incident="INC-2", limit=10_000)
    assert len(entries) == 900
    assert {type(e.seq) for e in entries} == {int}
    ours = sorted((e for e in entries if e.zh.startswith("1/")), key=lambda e: e.seq)
    assert [e.data["k"] for e in ours] == [[k] for k in range(1, 600, 2)]
    assert ours[0].zh == "1/1 不可用 \"'\\ "
