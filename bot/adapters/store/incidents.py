"""Incidents and the rooms they live in."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, case, func, or_, select

from bot.adapters.store.session import Session
from bot.adapters.store.tables import counters, incidents, rooms
from bot.domain.incident import (
    EVERYTHING,
    OPEN,
    Impact,
    Incident,
    IncidentState,
    Room,
    Search,
    StatusUpdate,
    VendorCase,
)
from bot.domain.text import lang_of

_OURS = re.compile(r"INC-([1-9][0-9]{0,8})")


class SqlIncidents:
    """Implements `Incidents`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def open(self, incident: Incident) -> Incident:
        """Insert; an empty `id` gets the next "INC-n". The counter's row is locked until the transaction ends."""
        opened = self._clean(incident)
        opened = opened if opened.id else dataclasses.replace(opened, id=f"INC-{await self._next()}")
        if incident.id and (ours := _OURS.fullmatch(incident.id)):
            await self._skip_to(int(ours[1]))
        await self._session.connection.execute(incidents.insert().values(_row(opened)))
        return opened

    async def save(self, incident: Incident) -> None:
        """Write back an incident read in this transaction. Raises LookupError for one that was never opened."""
        statement = incidents.update().where(incidents.c.id == incident.id).values(_row(self._clean(incident)))
        result = await self._session.connection.execute(statement)
        if result.rowcount != 1:
            raise LookupError(f"incident {incident.id} was never opened")

    async def get(self, incident: str) -> Incident | None:
        """By id, locked until the transaction ends (on SQLite the whole transaction is exclusive)."""
        statement = select(incidents).where(incidents.c.id == incident).with_for_update()
        row = (await self._session.connection.execute(statement)).mappings().one_or_none()
        return read_incident(row) if row else None

    async def look(self, incident: str) -> Incident | None:
        """By id, as it stands, without a lock."""
        found = await self._session.connection.execute(select(incidents).where(incidents.c.id == incident))
        row = found.mappings().one_or_none()
        return read_incident(row) if row else None

    async def list(
        self, *, only_open: bool = False, limit: int = 100, search: Search = EVERYTHING
    ) -> Sequence[Incident]:
        """Newest first."""
        # "INC-10" sorts after "INC-9" when the shorter id comes first.
        newest = (incidents.c.opened_at.desc(), func.length(incidents.c.id).desc(), incidents.c.id.desc())
        statement = select(incidents).order_by(*newest).limit(limit).where(*_wanted(search))
        if only_open:
            statement = statement.where(incidents.c.state.in_(sorted(OPEN)))
        rows = (await self._session.connection.execute(statement)).mappings()
        return [read_incident(row) for row in rows]

    async def claim_reminder(self) -> Incident | None:
        """An open one that asks for something now, locked; rows others have are passed over."""
        now, c = await self._session.now(), incidents.c
        statement = (
            select(incidents)
            .where(c.state.in_(sorted(OPEN)), or_(c.update_due_at <= now, c.commander_due_at <= now))
            .order_by(c.opened_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = (await self._session.connection.execute(statement)).mappings().one_or_none()
        return read_incident(row) if row else None

    def _clean(self, incident: Incident) -> Incident:
        clean, impact, update = self._session.redactor.text, incident.impact, incident.update
        return dataclasses.replace(
            incident,
            title=clean(incident.title),
            opened_by=clean(incident.opened_by),
            acked_by=clean(incident.acked_by) if incident.acked_by else incident.acked_by,
            roles={role: tuple(map(clean, names)) for role, names in incident.roles.items()},
            environments=tuple(map(clean, incident.environments)),
            impact=Impact(
                text=clean(impact.text), customers=tuple(map(clean, impact.customers)), amount=clean(impact.amount)
            ),
            update=dataclasses.replace(update, text=clean(update.text), by=clean(update.by)) if update else None,
            vendors=tuple(dataclasses.replace(case, ticket=clean(case.ticket)) for case in incident.vendors),
        )

    async def _next(self) -> int:
        statement = counters.update().where(counters.c.name == "incident").values(value=counters.c.value + 1)
        number: int = await self._session.connection.scalar(statement.returning(counters.c.value))
        return number

    async def _skip_to(self, number: int) -> None:
        higher = case((counters.c.value < number, number), else_=counters.c.value)
        statement = counters.update().where(counters.c.name == "incident").values(value=higher)
        await self._session.connection.execute(statement)


class SqlRooms:
    """Implements `Rooms`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, key: str) -> Room | None:
        """By key."""
        found = await self._session.connection.execute(select(rooms).where(rooms.c.key == key))
        row = found.mappings().one_or_none()
        return self._room(row) if row else None

    async def save(self, room: Room) -> None:
        """Insert or update."""
        lang = room.lang if room.lang_chosen else ""
        row = {"title": self._session.redactor.text(room.title), "lang": lang, "incident": room.incident}
        row["mirror_of"] = room.mirror_of
        insert = self._session.insert(rooms).values(key=room.key, platform=room.platform, **row)
        await self._session.connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_=row))

    async def list(self, platform: str) -> Sequence[Room]:
        """All rooms of a platform, oldest first."""
        statement = select(rooms).where(rooms.c.platform == platform).order_by(rooms.c.seq)
        return [self._room(row) for row in (await self._session.connection.execute(statement)).mappings()]

    async def working_on(self, incident: str) -> Sequence[Room]:
        """The rooms that have this incident, oldest first."""
        statement = select(rooms).where(rooms.c.incident == incident).order_by(rooms.c.seq)
        return [self._room(row) for row in (await self._session.connection.execute(statement)).mappings()]

    async def mirrors(self, key: str) -> Sequence[str]:
        """Keys of the other rooms that show what this one shows: the one it mirrors, and that one's mirrors."""
        c = rooms.c
        main = func.coalesce(select(c.mirror_of).where(c.key == key).scalar_subquery(), key)
        statement = select(c.key).where(or_(c.key == main, c.mirror_of == main), c.key != key).order_by(c.seq)
        return list((await self._session.connection.scalars(statement)).all())

    def _room(self, row: RowMapping) -> Room:
        """Where no language is kept, nobody has chosen one."""
        lang = lang_of(row["lang"], self._session.lang)
        chosen = bool(row["lang"])
        return Room(
            key=row["key"],
            title=row["title"],
            lang=lang,
            incident=row["incident"],
            lang_chosen=chosen,
            mirror_of=row["mirror_of"],
        )


def _row(incident: Incident) -> dict[str, Any]:
    row = {field.name: getattr(incident, field.name) for field in dataclasses.fields(incident)}
    return {
        **row,
        "state": incident.state.value,
        "roles": _json({role: list(names) for role, names in incident.roles.items()}),
        "environments": _json(incident.environments),
        "impact": _json(dataclasses.asdict(incident.impact)),
        "update": _json(_plain(incident.update)) if incident.update else None,
        "vendors": _json([_plain(case) for case in incident.vendors]),
    }


def _wanted(search: Search) -> Iterator[ColumnElement[bool]]:
    c = incidents.c
    if search.is_open is not None:
        yield c.state.in_(sorted(OPEN)) if search.is_open else c.state.not_in(sorted(OPEN))
    if search.severity:
        yield c.severity == search.severity
    for word in search.text.split():
        # The impact is JSON in which no letter is escaped, so that it can be searched as it is.
        yield or_(*(column.icontains(word, autoescape=True) for column in (c.id, c.title, c.impact)))


def read_incident(row: RowMapping) -> Incident:
    impact, update = json.loads(row["impact"]), json.loads(row["update"] or "null")
    return Incident(
        **{
            **row,
            "state": IncidentState(row["state"]),
            "roles": {role: tuple(names) for role, names in json.loads(row["roles"]).items()},
            "environments": tuple(json.loads(row["environments"])),
            "impact": Impact(**{**impact, "customers": tuple(impact.get("customers", ()))}),
            "update": StatusUpdate(**_timed(update)) if update else None,
            "vendors": tuple(VendorCase(**_timed(case)) for case in json.loads(row["vendors"])),
        }
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: VendorCase | StatusUpdate) -> dict[str, Any]:
    row = dataclasses.asdict(value)
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: datetime.fromisoformat(v) if k.rpartition("_")[2] == "at" and v else v for k, v in row.items()}
