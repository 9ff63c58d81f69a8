"""Alerts, one row for each key of a source, and the incidents they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, select

from bot.adapters.store.session import Session, load
from bot.adapters.store.tables import alert_sources, alerts, incidents
from bot.domain.alert import Alert, AlertStatus, KeptAlert, OpenGroup

_OVER = ("resolved", "closed")


class SqlAlerts:
    """Implements `Alerts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def lock(self, source: str) -> None:
        """One transaction at a time decides about a source's alerts."""
        insert = self._session.insert(alert_sources).values(name=source)
        await self._session.connection.execute(insert.on_conflict_do_nothing(index_elements=["name"]))
        statement = select(alert_sources).where(alert_sources.c.name == source).with_for_update()
        await self._session.connection.execute(statement)

    async def groups(self, source: str) -> Sequence[OpenGroup]:
        """The groups of a source whose incidents are not over."""
        c = alerts.c
        statement = (
            select(c.grouped, c.incident, incidents.c.opened_at, func.max(c.last_at).label("last_at"))
            .join(incidents, incidents.c.id == c.incident)
            .where(c.source == source, incidents.c.state.notin_(_OVER))
            .group_by(c.grouped, c.incident, incidents.c.opened_at)
            .order_by(c.incident)
        )
        rows = (await self._session.connection.execute(statement)).mappings()
        return [
            OpenGroup(group=r["grouped"], incident=r["incident"], opened_at=r["opened_at"], last_at=r["last_at"])
            for r in rows
        ]

    async def get(self, source: str, keys: Sequence[str]) -> dict[str, KeptAlert]:
        """Those that are known, by key, as they stand."""
        found: dict[str, KeptAlert] = {}
        for n in range(0, len(keys), 500):
            part = alerts.c.key.in_(keys[n : n + 500])
            rows = await self._session.connection.execute(select(alerts).where(alerts.c.source == source, part))
            found |= {row["key"]: _kept(row) for row in rows.mappings()}
        return found

    async def put(self, kept: Sequence[KeptAlert]) -> None:
        """Insert or replace."""
        if not kept:
            return
        insert = self._session.insert(alerts)
        new = {c.name: insert.excluded[c.name] for c in alerts.c if not c.primary_key}
        statement = insert.on_conflict_do_update(index_elements=["source", "key"], set_=new)
        await self._session.connection.execute(statement, [self._row(one) for one in kept])

    def _row(self, kept: KeptAlert) -> dict[str, Any]:
        alert, clean = kept.alert, self._session.redactor.text
        return {
            "source": alert.source,
            "key": alert.key,
            "grouped": kept.group,
            "incident": kept.incident,
            "status": alert.status.value,
            "title": clean(alert.title),
            "severity": alert.severity,
            "labels": self._session.dump(dict(alert.labels)),
            "playbook": alert.playbook,
            "url": alert.url,
            "first_at": kept.first_at,
            "last_at": kept.last_at,
            "times": kept.times,
        }

    async def of(self, incident: str) -> Sequence[KeptAlert]:
        """The alerts of an incident, the newest first."""
        statement = select(alerts).where(alerts.c.incident == incident).order_by(alerts.c.last_at.desc(), alerts.c.key)
        return [_kept(row) for row in (await self._session.connection.execute(statement)).mappings()]

    async def move(self, incident: str, to: str) -> int:
        """What belongs to one incident belongs to another now; returns how many."""
        statement = alerts.update().where(alerts.c.incident == incident).values(incident=to)
        return (await self._session.connection.execute(statement)).rowcount


def _kept(row: RowMapping) -> KeptAlert:
    first: datetime = row["first_at"]
    return KeptAlert(
        alert=Alert(
            source=row["source"],
            key=row["key"],
            status=AlertStatus(row["status"]),
            title=row["title"],
            severity=row["severity"],
            at=first,
            labels=load(row["labels"]),
            playbook=row["playbook"],
            url=row["url"],
        ),
        group=row["grouped"],
        incident=row["incident"],
        first_at=first,
        last_at=row["last_at"],
        times=row["times"],
    )
