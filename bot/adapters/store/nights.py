"""Past incidents with what is counted of them: four reads, however many incidents there were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select

from bot.adapters.store.escalations import read_call
from bot.adapters.store.incidents import read_incident
from bot.adapters.store.session import Session, load
from bot.adapters.store.tables import calls, incidents, runs, timeline
from bot.diagnosis.hypothesis import HEALTHY, INCONCLUSIVE
from bot.domain.incident import EntryKind
from bot.domain.night import Night
from bot.domain.page import CallMade


class SqlNights:
    """Implements `Nights`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def opened(self, *, since: datetime, until: datetime) -> Sequence[Night]:
        """Incidents opened in [since, until), oldest first; those merged into another are left out."""
        c = incidents.c
        wanted = (c.opened_at >= since, c.opened_at < until, c.merged_into.is_(None))
        rows = await self._all(select(incidents).where(*wanted).order_by(c.opened_at, c.id))
        ids = select(c.id).where(*wanted)
        made: dict[str, list[CallMade]] = defaultdict(list)
        for row in await self._all(
            select(calls).where(calls.c.incident.in_(ids)).order_by(calls.c.queued_at, calls.c.key)
        ):
            made[row["incident"]].append(read_call(row))
        acks, verdicts = await self._acks(ids), await self._verdicts(ids)
        return [
            Night(
                incident=(one := read_incident(row)),
                acked_at=acks.get(one.id, one.acked_at),
                diagnosed_at=verdicts[one.id][1] if one.id in verdicts else None,
                verdict=verdicts[one.id][0] if one.id in verdicts else (),
                calls=made[one.id],
            )
            for row in rows
        ]

    async def _acks(self, ids: Any) -> Mapping[str, datetime]:
        """The first acknowledgement of each."""
        c, found = timeline.c, dict[str, datetime]()
        statement = select(c.incident, c.at).where(c.incident.in_(ids), c.kind == EntryKind.ACK.value)
        for row in await self._all(statement.order_by(c.at, c.seq)):
            found.setdefault(row["incident"], row["at"])
        return found

    async def _verdicts(self, ids: Any) -> Mapping[str, tuple[tuple[str, ...], datetime]]:
        """The last verdict of each that names a cause, and when that cause was named first.

        By their runs: what was found before anybody declared the incident belongs to it through them.
        """
        c, found = timeline.c, dict[str, tuple[tuple[str, ...], datetime]]()
        statement = select(runs.c.incident, c.at, c.data).join_from(timeline, runs, c.run == runs.c.id)
        statement = statement.where(runs.c.incident.in_(ids), c.kind == EntryKind.VERDICT.value)
        for row in await self._all(statement.order_by(c.at, c.seq)):
            named = tuple(load(row["data"]).get("verdict", ()))
            if set(named) - {HEALTHY, INCONCLUSIVE}:
                before = found.get(row["incident"])
                at = before[1] if before is not None and before[0] == named else row["at"]
                found[row["incident"]] = (named, at)
        return found

    async def _all(self, statement: Any) -> Sequence[RowMapping]:
        return (await self._session.connection.execute(statement)).mappings().all()
