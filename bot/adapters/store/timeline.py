"""The append-only record, chained: an incident has one chain, and a run that has no incident (yet) has its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, func, literal, or_, select

from bot.adapters.store.session import Session, load
from bot.adapters.store.tables import chains, runs, timeline
from bot.domain.chain import BEGINNING, Break, ChainHead, Content, Fault, Kept, check, hash_of
from bot.domain.incident import Entry, EntryKind

CONTENT = tuple(field.name for field in dataclasses.fields(Content))


class SqlTimeline:
    """Implements `Timeline`. The database itself refuses UPDATE and DELETE on the table."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._locked: dict[str, ChainHead] = {}
        """Heads of this transaction: nobody else can move them before it ends."""

    async def append(self, entry: Entry) -> Entry:
        """Record one entry; returns it as it was recorded: redacted, with `seq`, `recorded_at` and `hash`."""
        row = await self._row(entry)
        await self._chain([row])
        seq = await self._session.connection.scalar(timeline.insert().values(row).returning(timeline.c.seq))
        known = {name: row[name] for name in CONTENT} | {"kind": entry.kind, "data": load(row["data"])}
        return dataclasses.replace(entry, **known, seq=seq, hash=row["hash"] or "")

    async def extend(self, entries: Sequence[Entry]) -> None:
        """Record many at once, in their order."""
        rows = [await self._row(entry) for entry in entries]
        await self._chain(rows)
        if rows:
            await self._session.connection.execute(timeline.insert(), rows)

    async def _row(self, entry: Entry) -> dict[str, Any]:
        clean = self._session.redactor
        return {
            "kind": entry.kind.value,
            "at": entry.at,
            "recorded_at": await self._session.now(),
            "actor": clean.text(entry.actor),
            "room": entry.room,
            "incident": entry.incident,
            "run": entry.run,
            "zh": clean.text(entry.zh),
            "en": clean.text(entry.en),
            "data": self._session.dump(entry.data),
        }

    async def _chain(self, rows: Sequence[dict[str, Any]]) -> None:
        """Give each row its place and hash, and move the heads; they stay locked until the transaction ends."""
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
        for name in sorted(moved):
            head = self._locked[name]
            statement = chains.update().where(chains.c.name == name).values(length=head.length, head=head.hash)
            await self._session.connection.execute(statement)

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
        wanted = select(timeline).where(timeline.c.seq > after)
        if incident is not None:
            wanted = wanted.where(or_(timeline.c.incident == incident, timeline.c.run.in_(_attached(incident))))
        if room is not None:
            wanted = wanted.where(timeline.c.room == room)
        page = wanted.order_by(timeline.c.seq).limit(limit).subquery()
        rows = await self._session.connection.execute(select(page).order_by(page.c.at, page.c.seq))
        return [_entry(row) for row in rows]

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
