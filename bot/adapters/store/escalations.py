"""Escalations, whose rows are their timers, and the calls they made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, exists, func, or_, select

from bot.adapters.store.session import Session
from bot.adapters.store.tables import calls, escalations, incidents, outbox, timeline
from bot.domain.escalation import Escalation, Phase
from bot.domain.incident import ESCALATING, EntryKind
from bot.domain.page import CALL_IN_FLIGHT, CallMade, CallState


class SqlEscalations:
    """Implements `Escalations`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def begin(self, escalation: Escalation) -> None:
        """Insert, in place of an earlier one of the incident."""
        row = _row(escalation)
        insert = self._session.insert(escalations).values(row)
        await self._session.connection.execute(insert.on_conflict_do_update(index_elements=["incident"], set_=row))

    async def get(self, incident: str) -> Escalation | None:
        """The incident's, locked until the transaction ends (on SQLite the whole transaction is exclusive)."""
        statement = select(escalations).where(escalations.c.incident == incident).with_for_update()
        row = (await self._session.connection.execute(statement)).mappings().one_or_none()
        return _escalation(row) if row else None

    async def save(self, escalation: Escalation) -> None:
        """Write back. Raises LookupError for one that never began."""
        mine = escalations.c.incident == escalation.incident
        result = await self._session.connection.execute(escalations.update().where(mine).values(_row(escalation)))
        if result.rowcount != 1:
            raise LookupError(f"the escalation of {escalation.incident} never began")

    async def claim(self) -> Escalation | None:
        """The one that has been due longest among those nobody else is at, locked with its incident."""
        statement = (
            select(escalations)
            .join(incidents, incidents.c.id == escalations.c.incident)
            .where(escalations.c.due_at <= await self._session.now())
            .order_by(escalations.c.due_at)
            .limit(1)
            # Nobody waits for a lock here, so taking both at once cannot be half of a deadlock.
            .with_for_update(skip_locked=True, of=(incidents, escalations))
        )
        row = (await self._session.connection.execute(statement)).mappings().one_or_none()
        return _escalation(row) if row else None

    async def next_in(self) -> timedelta | None:
        """How long until the next one is due."""
        due: datetime | None = await self._session.connection.scalar(select(func.min(escalations.c.due_at)))
        return None if due is None else due - await self._session.now()

    async def unwatched(self, *, most: int = 100) -> Sequence[str]:
        """Open, unacknowledged, begun, with neither a timer nor a page that waits or is out."""
        c, of = escalations.c, escalations.c.incident == incidents.c.id
        live = exists().where(outbox.c.incident == incidents.c.id, outbox.c.kind == "page", outbox.c.state == "pending")
        begun = exists().where(timeline.c.incident == incidents.c.id, timeline.c.kind == EntryKind.ESCALATION.value)
        gone = c.incident.is_(None) & begun
        silent = (c.phase == Phase.PAGING.value) & c.due_at.is_(None) & ~live
        astray = c.phase.in_((Phase.HELD.value, Phase.OVER.value))
        statement = (
            select(incidents.c.id)
            .select_from(incidents.outerjoin(escalations, of))
            .where(incidents.c.state.in_(sorted(ESCALATING)), incidents.c.acked_at.is_(None))
            .where(or_(gone, silent, astray))
            .order_by(incidents.c.id)
            .limit(most)
        )
        return list((await self._session.connection.execute(statement)).scalars())


class SqlCalls:
    """Implements `Calls`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, call: CallMade) -> None:
        """Insert."""
        await self._session.connection.execute(calls.insert().values(_call_row(call)))

    async def get(self, key: str) -> CallMade | None:
        """By the page's key."""
        row = (await self._session.connection.execute(select(calls).where(calls.c.key == key))).mappings().one_or_none()
        return read_call(row) if row else None

    async def save(self, call: CallMade) -> None:
        """Write back."""
        statement = calls.update().where(calls.c.key == call.key).values(_call_row(call))
        await self._session.connection.execute(statement)

    async def list(self, incident: str, *, step: int | None = None) -> Sequence[CallMade]:
        """The incident's calls, or those of one step, in the order they were queued."""
        statement = select(calls).where(calls.c.incident == incident)
        if step is not None:
            statement = statement.where(calls.c.step == step)
        rows = await self._session.connection.execute(statement.order_by(calls.c.queued_at, calls.c.step, calls.c.key))
        return [read_call(row) for row in rows.mappings()]

    async def cancel(self, incident: str) -> Sequence[CallMade]:
        """Those that are queued become cancelled; returns the ones in flight."""
        c = calls.c
        waiting = (c.incident == incident, c.state == CallState.QUEUED.value)
        await self._session.connection.execute(calls.update().where(*waiting).values(state=CallState.CANCELLED.value))
        flying = [state.value for state in CALL_IN_FLIGHT]
        statement = select(calls).where(c.incident == incident, c.state.in_(flying)).order_by(c.queued_at, c.key)
        return [read_call(row) for row in (await self._session.connection.execute(statement)).mappings()]

    async def sent_since(self, *, pager: str, person: str, since: datetime) -> Sequence[datetime]:
        """When this provider took calls to this person, oldest first."""
        c = calls.c
        statement = select(c.sent_at).where(c.pager == pager, c.person == person, c.sent_at > since).order_by(c.sent_at)
        return list((await self._session.connection.execute(statement)).scalars())


def _row(escalation: Escalation) -> dict[str, Any]:
    row = {field.name: getattr(escalation, field.name) for field in dataclasses.fields(escalation)}
    return {**row, "phase": escalation.phase.value, "called": json.dumps(list(escalation.called), ensure_ascii=False)}


def _escalation(row: RowMapping) -> Escalation:
    return Escalation(**{**row, "phase": Phase(row["phase"]), "called": tuple(json.loads(row["called"]))})


def _call_row(call: CallMade) -> dict[str, Any]:
    row = {field.name: getattr(call, field.name) for field in dataclasses.fields(call)}
    return {**row, "ways": ",".join(call.ways), "state": call.state.value}


def read_call(row: RowMapping) -> CallMade:
    ways = tuple(filter(None, row["ways"].split(",")))
    return CallMade(**{**row, "ways": ways, "state": CallState(row["state"])})
