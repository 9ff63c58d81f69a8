"""What `/diag` found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import RowMapping, func, select

from bot.adapters.store.session import Session, load
from bot.adapters.store.tables import runs
from bot.domain.incident import Run


class SqlRuns:
    """Implements `Runs`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def save(self, run: Run) -> None:
        """Insert or update. A run that was attached to an incident stays attached.

        The run may have been attached while it was under way, by somebody else than the one who now saves it.
        """
        row = {
            "playbook": run.playbook,
            "room": run.room,
            "user": run.user,
            "started_at": run.started_at,
            "incident": run.incident,
            "finished_at": run.finished_at,
            "document": None if run.document is None else self._session.dump(run.document),
        }
        insert = self._session.insert(runs).values(id=run.id, **row)
        kept = {**row, "incident": func.coalesce(insert.excluded.incident, runs.c.incident)}
        await self._session.connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=kept))

    async def get(self, run: str) -> Run | None:
        """By id."""
        found = await self._session.connection.execute(select(runs).where(runs.c.id == run))
        row = found.mappings().one_or_none()
        return _run(row) if row else None

    async def latest(self, *, room: str, playbook: str | None = None) -> Run | None:
        """The run of a room that was started last, of those that found something."""
        statement = select(runs).where(
            runs.c.room == room, runs.c.finished_at.is_not(None), runs.c.document.is_not(None)
        )
        if playbook is not None:
            statement = statement.where(runs.c.playbook == playbook)
        statement = statement.order_by(runs.c.started_at.desc(), runs.c.finished_at.desc()).limit(1)
        row = (await self._session.connection.execute(statement)).mappings().one_or_none()
        return _run(row) if row else None

    async def of(self, incident: str) -> Sequence[Run]:
        """The runs of an incident, oldest first."""
        statement = select(runs).where(runs.c.incident == incident).order_by(runs.c.started_at, runs.c.id)
        return [_run(row) for row in (await self._session.connection.execute(statement)).mappings()]

    async def unfinished(self, *, before: datetime) -> Sequence[Run]:
        """Runs begun before then that have no end, locked until the transaction ends where the database can."""
        statement = select(runs).where(runs.c.finished_at.is_(None), runs.c.started_at < before).with_for_update()
        return [_run(row) for row in (await self._session.connection.execute(statement)).mappings()]

    async def attach(self, *, room: str, incident: str, since: datetime) -> int:
        """Attach the room's runs since then that have no incident yet; returns how many."""
        loose = (runs.c.room == room, runs.c.started_at >= since, runs.c.incident.is_(None))
        result = await self._session.connection.execute(runs.update().where(*loose).values(incident=incident))
        return int(result.rowcount)


def _run(row: RowMapping) -> Run:
    return Run(**{**row, "document": load(row["document"])})
