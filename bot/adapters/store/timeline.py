"""The append-only record, chained: an incident has one chain, and a run that has no incident (yet) has its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, literal, or_, select

from bot.adapters.store.appending import put
from bot.adapters.store.record_lines import lines_of
from bot.adapters.store.session import Session, load
from bot.adapters.store.tables import chains, runs, timeline
from bot.domain.chain import BEGINNING, Break, ChainHead, Content, Fault, Kept, check, hash_of
from bot.domain.incident import Entry, EntryKind
from bot.domain.record import Excerpt, Filter

BATCH = 500
"""Entries that are hashed and sent at a time; others get their turn in between."""
CONTENT = tuple(field.name for field in dataclasses.fields(Content))


class SqlTimeline:
    """Implements `Timeline`. The database itself refuses UPDATE and DELETE on the table."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._locked: dict[str, ChainHead] = {}
        """Heads of this transaction: nobody else can move them before it ends."""

    async def append(self, entry: Entry) -> Entry:
        """Record one entry; returns it as it was recorded: redacted, with `seq`, `recorded_at` and `hash`."""
        row = self._row(entry, await self._session.now())
        moved = await self._chain([row])
        (seq,) = await put(self._session.connection, [row], moved)
        known = {name: row[name] for name in CONTENT} | {"kind": entry.kind, "data": load(row["data"])}
        return dataclasses.replace(entry, **known, seq=seq, hash=row["hash"] or "")

    async def extend(self, entries: Sequence[Entry]) -> None:
        """Record many at once, in their order."""
        for some in _batches(entries):
            now = await self._session.now()
            rows = [self._row(entry, now) for entry in some]
            moved = await self._chain(rows)
            await put(self._session.connection, rows, moved)

    def _row(self, entry: Entry, now: datetime) -> dict[str, Any]:
        clean = self._session.redactor
        zh = clean.text(entry.zh)
        return {
            "kind": str(entry.kind),
            "at": entry.at,
            "recorded_at": now,
            "actor": clean.text(entry.actor),
            "room": entry.room,
            "incident": entry.incident,
            "run": entry.run,
            "zh": zh,
            "en": zh if entry.en == entry.zh else clean.text(entry.en),
            "data": self._session.dump(entry.data),
        }

    async def _chain(self, rows: Sequence[dict[str, Any]]) -> Sequence[ChainHead]:
        """Give each row its place and hash; the heads that move. They stay locked until the transaction ends."""
        moved: set[str] = set()
        for row in rows:
            name = row["incident"] or (f"run:{row['run']}" if row["run"] else None)
            if name is None:
                row |= {"chain": None, "link": None, "hash": None}
                continue
            head = self._locked.get(name) or await self._lock(name)
            link = head.length + 1
            hashed = hash_of(head.hash, name, link, Content(**{key: row[key] for key in CONTENT}))
            row |= {"chain": name, "link": link, "hash": hashed}
            self._locked[name] = ChainHead(name=name, length=link, hash=hashed)
            moved.add(name)
        return [self._locked[name] for name in sorted(moved)]

    async def _lock(self, name: str) -> ChainHead:
        wanted = select(chains).where(chains.c.name == name).with_for_update()
        row = (await self._session.connection.execute(wanted)).one_or_none()
        if row is None:
            # Of two that begin a chain one waits here, and finds the other's.
            first = self._session.insert(chains).values(name=name, length=0, head=BEGINNING)
            await self._session.connection.execute(first.on_conflict_do_nothing())
            row = (await self._session.connection.execute(wanted)).one()
        return ChainHead(name=row.name, length=row.length, hash=row.head)

    async def read(
        self, *, incident: str | None = None, room: str | None = None, after: int = 0, limit: int = 500
    ) -> Sequence[Entry]:
        """Entries of an incident (its runs' earlier entries included) or of a room, by `at`, then `seq`.

        The page is cut by `seq`, so that asking again `after` the highest `seq` seen misses nothing.
        """
        wanted = select(timeline).where(timeline.c.seq > after, *_of(incident, room))
        page = wanted.order_by(timeline.c.seq).limit(limit).subquery()
        rows = await self._session.connection.execute(select(page).order_by(page.c.at, page.c.seq))
        return [_entry(row) for row in rows]

    async def get(self, seq: int, *, incident: str | None = None, room: str | None = None) -> Entry | None:
        """The entry of this number, if it is one of the incident's or the room's."""
        wanted = select(timeline).where(timeline.c.seq == seq, *_of(incident, room))
        row = (await self._session.connection.execute(wanted)).one_or_none()
        return _entry(row) if row is not None else None

    async def page(
        self,
        wanted: Filter,
        *,
        incident: str | None = None,
        room: str | None = None,
        before: Entry | None = None,
        after: Entry | None = None,
        limit: int = 40,
    ) -> Excerpt:
        """Those that fit: the last ones, or the ones right before or right after an entry."""
        fits = [*_of(incident, room), *_fitting(wanted)]
        forward = after is not None
        cursor = [_beside(after, forward=True)] if after else [_beside(before, forward=False)] if before else []
        order = (timeline.c.at, timeline.c.seq) if forward else (timeline.c.at.desc(), timeline.c.seq.desc())
        found = await self._session.connection.execute(
            select(timeline).where(*fits, *cursor).order_by(*order).limit(limit)
        )
        entries = [_entry(row) for row in found]
        entries = entries if forward else entries[::-1]
        total = await self._count(fits)
        if entries:
            earlier = await self._count([*fits, _beside(entries[0], forward=False)])
        else:
            earlier = total if forward else 0
        return Excerpt(entries=entries, earlier=earlier, later=total - earlier - len(entries))

    async def _count(self, fits: Sequence[ColumnElement[bool]]) -> int:
        counted = await self._session.connection.scalar(select(func.count()).select_from(timeline).where(*fits))
        return int(counted or 0)

    async def lines(self, incident: str) -> Sequence[str]:
        """Every entry of an incident with its place in the chain, one JSON document each, by `at`, then `seq`."""
        return await lines_of(self._session, _of(incident, None))

    async def heads(self, incident: str) -> Sequence[ChainHead]:
        """The ends of the incident's chain and of its runs' own, that one first."""
        own = select(literal("run:") + runs.c.id).where(runs.c.incident == incident)
        found = await self._session.connection.execute(
            select(chains).where(or_(chains.c.name == incident, chains.c.name.in_(own))).order_by(chains.c.name)
        )
        heads = [ChainHead(name=row.name, length=row.length, hash=row.head) for row in found]
        return sorted(heads, key=lambda head: head.name != incident)

    async def verify(self, incident: str, *, printed: Sequence[str] = ()) -> Sequence[Fault]:
        """What is wrong with the incident's chains. Entries from before there were chains are passed over.

        `printed` are heads that exports have shown: each must be the hash of an entry still.
        """
        heads = await self.heads(incident)
        faults = await self._lost([head.name for head in heads], printed)
        for head in heads:
            rows = await self._session.connection.execute(
                select(timeline).where(timeline.c.chain == head.name).order_by(timeline.c.link)
            )
            faults += check(head, [_kept(row) for row in rows])
        return [*faults, *await self._outside(incident, heads)]

    async def _lost(self, names: Sequence[str], printed: Sequence[str]) -> list[Fault]:
        wanted = select(timeline.c.hash).where(timeline.c.chain.in_(names), timeline.c.hash.in_(printed))
        there = set((await self._session.connection.scalars(wanted)).all()) if printed else set()
        return [Fault(chain=one, kind=Break.LOST, link=0) for one in printed if one not in there]

    async def _outside(self, incident: str, heads: Sequence[ChainHead]) -> list[Fault]:
        """Entries that call themselves the incident's, are younger than its chains, and stand in none of them."""
        names = [head.name for head in heads]
        first = select(func.min(timeline.c.seq)).where(timeline.c.chain.in_(names)).scalar_subquery()
        wanted = select(timeline.c.seq).where(
            or_(timeline.c.incident == incident, timeline.c.run.in_(_attached(incident))),
            or_(timeline.c.chain.is_(None), timeline.c.chain.not_in(names)),
            timeline.c.seq > func.coalesce(first, 0),
        )
        rows = await self._session.connection.execute(wanted.order_by(timeline.c.seq))
        return [Fault(chain=incident, kind=Break.ADDED, link=0, seq=seq) for (seq,) in rows]


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), BATCH):
        yield entries[start : start + BATCH]


def _of(incident: str | None, room: str | None) -> list[ColumnElement[bool]]:
    """An incident's entries, its runs' earlier ones included, or a room's, or all there are."""
    fits: list[ColumnElement[bool]] = []
    if incident is not None:
        fits.append(or_(timeline.c.incident == incident, timeline.c.run.in_(_attached(incident))))
    if room is not None:
        fits.append(timeline.c.room == room)
    return fits


def _fitting(wanted: Filter) -> list[ColumnElement[bool]]:
    fits: list[ColumnElement[bool]] = []
    if wanted.kinds:
        fits.append(timeline.c.kind.in_(sorted(kind.value for kind in wanted.kinds)))
    if wanted.actor:
        fits.append(func.lower(timeline.c.actor) == wanted.actor.lower())
    if wanted.since:
        fits.append(timeline.c.at >= wanted.since)
    if wanted.until:
        fits.append(timeline.c.at < wanted.until)
    for word in wanted.words:
        fits.append(or_(timeline.c.zh.icontains(word, autoescape=True), timeline.c.en.icontains(word, autoescape=True)))
    return fits


def _beside(entry: Entry, *, forward: bool) -> ColumnElement[bool]:
    """What happened after the entry, or before it; of the same moment, what was recorded so."""
    at, seq = timeline.c.at, timeline.c.seq
    if forward:
        return or_(at > entry.at, and_(at == entry.at, seq > entry.seq))
    return or_(at < entry.at, and_(at == entry.at, seq < entry.seq))


def _attached(incident: str) -> Select[tuple[str]]:
    return select(runs.c.id).where(runs.c.incident == incident)


def _kept(row: Row[Any]) -> Kept:
    content = Content(**{name: getattr(row, name) for name in CONTENT})
    return Kept(seq=row.seq, chain=row.chain, link=row.link, hash=row.hash, content=content)


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        kind=EntryKind(row.kind),
        at=row.at,
        actor=row.actor,
        room=row.room,
        zh=row.zh,
        en=row.en,
        incident=row.incident,
        run=row.run,
        data=load(row.data),
        seq=row.seq,
        recorded_at=row.recorded_at,
        hash=row.hash or "",
    )
