"""The append-only record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, or_, select

from bot.adapters.store.session import Session, load
from bot.adapters.store.tables import runs, timeline
from bot.domain.incident import Entry, EntryKind


class SqlTimeline:
    """Implements `Timeline`. The database itself refuses UPDATE and DELETE on the table."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def append(self, entry: Entry) -> Entry:
        """Record one entry; returns it as it was recorded: redacted, with `seq` and `recorded_at`."""
        clean = self._session.redactor
        data = self._session.dump(entry.data)
        row = {
            "kind": entry.kind.value,
            "at": entry.at,
            "recorded_at": await self._session.now(),
            "actor": clean.text(entry.actor),
            "room": entry.room,
            "incident": entry.incident,
            "run": entry.run,
            "zh": clean.text(entry.zh),
            "en": clean.text(entry.en),
            "data": data,
        }
        statement = timeline.insert().values(row).returning(timeline.c.seq)
        seq = await self._session.connection.scalar(statement)
        recorded = {**row, "kind": entry.kind, "data": load(data), "seq": seq}
        return dataclasses.replace(entry, **recorded)

    async def read(
        self, *, incident: str | None = None, room: str | None = None, after: int = 0, limit: int = 500
    ) -> Sequence[Entry]:
        """Entries of an incident (its runs' earlier entries included) or of a room, by `at`, then `seq`.

        The page is cut by `seq`, so that asking again `after` the highest `seq` seen misses nothing.
        """
        wanted = select(timeline).where(timeline.c.seq > after)
        if incident is not None:
            attached = select(runs.c.id).where(runs.c.incident == incident)
            wanted = wanted.where(or_(timeline.c.incident == incident, timeline.c.run.in_(attached)))
        if room is not None:
            wanted = wanted.where(timeline.c.room == room)
        page = wanted.order_by(timeline.c.seq).limit(limit).subquery()
        rows = await self._session.connection.execute(select(page).order_by(page.c.at, page.c.seq))
        return [_entry(row) for row in rows]


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
    )
