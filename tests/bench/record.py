"""The record: how fast it is written, chained and redacted, and how fast 10,000 entries are read, told and exported."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from bot.adapters.postmortem import FileScribe
from bot.adapters.store import SqlStore
from bot.adapters.store.tables import timeline
from bot.app.parts import Parts
from bot.app.postmortem.build import build
from bot.app.postmortem.collect import collect
from bot.app.timeline import Asked, look
from bot.bootstrap import SystemClock
from bot.domain.incident import Entry, EntryKind, Incident, IncidentState
from bot.testing import ScriptedAgents
from tests.bench.paging import DATABASES
from tests.bench.table import Effort, Row, below, faster
from tests.own_postgres import OwnPostgres
from tests.serving import free_port

LONG = 10_000
ONE_MS, PAGE_MS, LINES_MS, TELL_MS = 5.0, 100.0, 150.0, 2000.0
BULK = 0.6
ONSET = datetime(2026, 1, 15, 15, 0, tzinfo=UTC)
KINDS = (EntryKind.NOTE, EntryKind.COMMAND, EntryKind.PROBES, EntryKind.CALL, EntryKind.VERDICT)


def write(effort: Effort) -> Iterable[Row]:
    """One durable entry, and many in one transaction, beside the same rows through SQLAlchemy without a chain."""
    for database in DATABASES:
        yield from asyncio.run(_write(database, effort))


def read(effort: Effort) -> Iterable[Row]:
    """An incident of 10,000 entries: a page of its timeline, its record as lines, its postmortem."""
    for database in DATABASES:
        yield from asyncio.run(_read(database, effort))


async def _write(database: str, effort: Effort) -> list[Row]:
    many = LONG if effort.rounds > 1 else 500
    ones, bare_ones, bulks = list[float](), list[float](), list[tuple[float, float]]()
    async with _store(database) as store:
        for _ in range(effort.rounds):
            for entry in _entries(max(20, effort.tries // 40)):
                ones.append(await _took(store, lambda tx, e=entry: tx.timeline.append(e)))
                bare_ones.append(await _took(store, lambda tx, e=entry: _bare(tx, [e])))
            entries = _entries(many)
            ours = await _took(store, lambda tx, e=entries: tx.timeline.extend(e))
            theirs = await _took(store, lambda tx, e=entries: _bare(tx, e))
            bulks.append((many / ours * 1000, many / theirs * 1000))
    note = f"median {median(ones):.3g} ms (peer {median(bare_ones):.3g}), {len(ones)} entries, each committed"
    peer = "the same row without a chain"
    return [
        below(
            f"one entry, {database}: p99",
            _p99(ones),
            ONE_MS,
            unit="ms",
            peer=_p99(bare_ones),
            peer_name=peer,
            note=note,
        ),
        faster(
            f"{many:,} entries at once, {database}",
            bulks,
            peer_name="bare bulk insert through SQLAlchemy",
            times=BULK,
            note="redacted, serialised and hashed; the peer's rows are ready",
        ),
    ]


async def _read(database: str, effort: Effort) -> list[Row]:
    many = LONG if effort.rounds > 1 else 500
    pages, finds, lines, bare, markdowns, documents, dumps = ([] for _ in range(7))  # type: list[list[float]]
    async with _store(database) as store:
        parts = _parts(store)
        async with store.begin() as tx:
            incident = await tx.incidents.open(_incident())
            await tx.timeline.extend(_entries(many))
        asked = Asked(incident=incident)
        sought = Asked(incident=incident, words=["不可用", "99"], options={"kind": "note"})
        for _ in range(effort.rounds):
            pages.append(await _took(store, lambda tx: look(parts, tx, asked, now=ONSET)))
            finds.append(await _took(store, lambda tx: look(parts, tx, sought, now=ONSET)))
            lines.append(await _took(store, lambda tx: tx.timeline.lines(incident.id)))
            bare.append(await _took(store, _selected))
            for form, spent in (("md", markdowns), ("json", documents)):
                began = time.perf_counter()
                async with store.begin() as tx:
                    facts = await collect(parts, tx, incident)
                await FileScribe().write(build(facts), form=form, lang="zh")
                spent.append((time.perf_counter() - began) * 1000)
            dumps.append(await _took(store, _selected))
    peer = "select and json.dumps"
    of = f"of {many:,} entries, {database}"
    return [
        below(f"a page {of}", median(pages), PAGE_MS, unit="ms", peer=median(bare), peer_name=peer, note="40 lines"),
        below(f"a search {of}", median(finds), PAGE_MS, unit="ms", peer=median(bare), peer_name=peer, note="two words"),
        below(f"JSON lines {of}", median(lines), LINES_MS, unit="ms", peer=median(bare), peer_name=peer),
        below(f"postmortem {of}: Markdown", median(markdowns), TELL_MS, unit="ms", peer=median(dumps), peer_name=peer),
        below(f"postmortem {of}: JSON", median(documents), TELL_MS, unit="ms", peer=median(dumps), peer_name=peer),
    ]


async def _took(store: SqlStore, act: Callable[[Any], Awaitable[object]]) -> float:
    """Milliseconds of one transaction, from its begin to its commit."""
    began = time.perf_counter()
    async with store.begin() as tx:
        await act(tx)
    return (time.perf_counter() - began) * 1000


async def _bare(tx: Any, entries: list[Entry]) -> None:
    """What anybody would write: the rows as they are, by SQLAlchemy's insert."""
    rows = [
        {
            "kind": e.kind.value,
            "at": e.at,
            "recorded_at": e.at,
            "actor": e.actor,
            "room": e.room,
            "incident": None,
            "run": None,
            "zh": e.zh,
            "en": e.en,
            "data": '{"n":1,"who":["lin","chen"]}',
            "chain": None,
            "link": None,
            "hash": None,
        }
        for e in entries
    ]
    await tx.timeline._session.connection.execute(timeline.insert(), rows)


async def _selected(tx: Any) -> None:
    rows = await tx.timeline._session.connection.execute(select(timeline).where(timeline.c.incident == "INC-1"))
    for row in rows:
        json.dumps(row._asdict(), default=str, ensure_ascii=False)


def _entries(count: int) -> list[Entry]:
    return [
        Entry(
            kind=KINDS[n % len(KINDS)],
            at=ONSET + timedelta(seconds=n),
            actor="lin",
            room="console:war-1",
            incident="INC-1",
            zh=f"第 {n} 条：上海 COS 不可用，40 次成功 11%",
            en=f"entry {n}: COS is down in shanghai, 11% of 40 tries worked",
            data={"n": n, "who": ["lin", "chen"]},
        )
        for n in range(count)
    ]


def _incident() -> Incident:
    return Incident(
        id="INC-1",
        title="短信发不出去",
        severity="sev1",
        state=IncidentState.INVESTIGATING,
        room="console:war-1",
        origin_room="console:ops",
        opened_at=ONSET,
        opened_by="lin",
    )


def _parts(store: SqlStore) -> Parts:
    clock = SystemClock()
    agents = ScriptedAgents((), lambda _: None, clock=clock)
    zone = ZoneInfo("Asia/Shanghai")
    return Parts(store=store, agents=agents, chat={}, clock=clock, playbooks={}, hypotheses=(), timezone=zone)


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


@contextlib.asynccontextmanager
async def _store(database: str) -> AsyncIterator[SqlStore]:
    """A database of our own, in the present shape."""
    with tempfile.TemporaryDirectory(prefix="warroom-bench-") as name:
        folder, own = Path(name), None
        url = f"sqlite:///{folder}/warroom.db"
        if database != "SQLite":
            folder.chmod(0o755)
            (folder / "pg").mkdir()
            port = free_port()
            own = OwnPostgres(folder / "pg", port)
            own.make(["--auth=trust"])
            own.start()
            url = f"postgresql://warroom@127.0.0.1:{port}/postgres"
        store = SqlStore(url, timeout_s=120)
        try:
            await store.upgrade()
            yield store
        finally:
            await store.close()
            if own is not None:
                own.stop()
