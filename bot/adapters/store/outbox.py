"""Things to send: claimed under a lease, fenced by generation, coalesced by key.

A row is "pending" until it is "sent", "failed" or "cancelled". `generation` counts claims and fences results;
`version` counts payloads, so that a send in flight cannot mark a newer payload as sent.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Integer, Row, and_, bindparam, case, or_, select
from sqlalchemy.sql.dml import ReturningUpdate

from bot.adapters.store.session import Session, dump_raw, load
from bot.adapters.store.tables import outbox
from bot.app.ports import OutboxRow

PENDING, SENT, FAILED, CANCELLED = STATES = "pending", "sent", "failed", "cancelled"


class SqlOutbox:
    """Implements `Outbox`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, row: OutboxRow) -> bool:
        """Queue; False when the key is known. A "chat" key that is known gets the new payload and is due again.

        A chat row whose last try failed keeps its waiting time: a platform that asked for a pause gets it.
        """
        chat = row.kind == "chat"
        payload = self._session.dump(row.payload) if chat else dump_raw(dict(row.payload))
        insert = self._session.insert(outbox).values(
            key=row.key,
            kind=row.kind,
            lane=_lane(row),
            payload=payload,
            incident=row.incident,
            epoch=row.epoch,
            state=PENDING,
            due_at=row.due_at,
            attempts=0,
            generation=0,
            version=1,
            claimed_version=0,
            ref=row.ref,
        )
        insert = insert.on_conflict_do_nothing(index_elements=["key"]).returning(outbox.c.seq)
        if await self._session.connection.scalar(insert) is not None:
            return True
        if chat:
            await self._coalesce(row, payload)
        return False

    async def _coalesce(self, row: OutboxRow, payload: str) -> None:
        c = outbox.c
        waiting = and_(c.state == PENDING, c.error.is_not(None), c.due_at > row.due_at)
        values = {
            "payload": payload,
            "version": c.version + 1,
            "state": PENDING,
            "due_at": case((waiting, c.due_at), else_=row.due_at),
            "attempts": case((c.state == PENDING, c.attempts), else_=0),
            "finished_at": None,
        }
        statement = outbox.update().where(c.key == row.key, c.kind == "chat").values(values)
        await self._session.connection.execute(statement)

    async def claim(
        self, *, owner: str, limit: int, lease_s: float, kind: str | None = None, but: Sequence[str] = ()
    ) -> Sequence[OutboxRow]:
        """Take due rows whose lease is free, by the database's clock; each claim raises the generation."""
        now = await self._session.now()
        given = {"now": now, "until": now + timedelta(seconds=lease_s), "most": limit, "by": owner}
        statement = _claim(kind, tuple(but))
        rows = (await self._session.connection.execute(statement, given)).all()
        return [_row(row) for row in sorted(rows, key=lambda row: (row.kind != "page", row.due_at, row.seq))]

    async def lease_left(self, row: OutboxRow, *, owner: str) -> timedelta | None:
        """How much longer a claim holds, by the database's clock, cancelled or not; None when it is lost."""
        c = outbox.c
        mine = (c.key == row.key, c.generation == row.generation, c.owner == owner)
        until: datetime | None = await self._session.connection.scalar(select(c.lease_until).where(*mine))
        left = None if until is None else until - await self._session.now()
        return left if left is not None and left > timedelta(0) else None

    async def finish(
        self,
        row: OutboxRow,
        *,
        state: str,
        ref: str | None = None,
        error: str | None = None,
        retry_at: datetime | None = None,
    ) -> bool:
        """Record the result; False when somebody else has claimed the row since, or a newer payload waits.

        A page cancelled while its send was in flight becomes "sent" when it was sent: the record is the truth.
        """
        c = outbox.c
        found = await self._session.connection.execute(
            select(c.state, c.version, c.claimed_version, c.attempts)
            .where(c.key == row.key, c.generation == row.generation, c.state.in_((PENDING, CANCELLED)))
            .with_for_update()
        )
        current = found.one_or_none()
        if current is None:
            return False
        newer = current.version > current.claimed_version
        values: dict[str, Any] = {"owner": None, "lease_until": None, "state": state}
        values["error"] = None if error is None else self._session.redactor.text(error)
        if current.state == CANCELLED and state != SENT:
            values["state"] = CANCELLED
        elif newer and state != PENDING:
            values |= {"state": PENDING, "attempts": 0}
        if values["state"] == PENDING:
            if retry_at is not None:
                values["due_at"] = retry_at
        else:
            values["finished_at"] = await self._session.now()
        if ref is not None:
            values["ref"] = ref
        mine = and_(c.key == row.key, c.generation == row.generation)
        await self._session.connection.execute(outbox.update().where(mine).values(values))
        return not (newer and state != PENDING)

    async def pages_since(self, due: timedelta) -> Sequence[OutboxRow]:
        """Pages that became due at most so long ago by the database's clock, whatever became of them; newest first."""
        c, now = outbox.c, await self._session.now()
        recent = (
            select(outbox)
            .where(c.state.in_(STATES), c.kind == "page", c.due_at >= now - due)
            # One that waits for its next try may have made the phone ring with its first.
            .where(or_(c.due_at <= now, c.attempts > 0))
            .order_by(c.due_at.desc(), c.seq.desc())
        )
        return [_row(row) for row in (await self._session.connection.execute(recent)).all()]

    async def cancel(self, *, incident: str) -> int:
        """Cancel the incident's pages that are not sent yet; returns how many."""
        c = outbox.c
        waiting = (c.incident == incident, c.kind == "page", c.state == PENDING)
        values = {"state": CANCELLED, "finished_at": await self._session.now()}
        result = await self._session.connection.execute(outbox.update().where(*waiting).values(values))
        return int(result.rowcount)

    async def ref(self, key: str) -> str | None:
        """The reference of what was sent under a key; None when it was not."""
        found: str | None = await self._session.connection.scalar(select(outbox.c.ref).where(outbox.c.key == key))
        return found

    async def held_up(self, *, tries: int, most: int = 100) -> Sequence[OutboxRow]:
        """What waits in rooms where a message of an incident failed so many times, oldest first."""
        c = outbox.c
        stuck = select(c.lane).where(
            c.state == PENDING, c.kind == "chat", c.error.is_not(None), c.attempts >= tries, c.incident.is_not(None)
        )
        waiting = select(outbox).where(c.state == PENDING, c.kind == "chat", c.lane.in_(stuck))
        rows = (await self._session.connection.execute(waiting.order_by(c.seq).limit(most))).all()
        return [_row(row) for row in rows]

    async def live(self, *, incident: str) -> bool:
        """Whether a page of the incident waits or is out."""
        c = outbox.c
        statement = select(c.key).where(c.incident == incident, c.kind == "page", c.state == PENDING).limit(1)
        return await self._session.connection.scalar(statement) is not None


def _lane(row: OutboxRow) -> str | None:
    # Rows of one room go out one after the other; pages have no lane and never wait for each other.
    message = row.payload.get("message") if row.kind == "chat" else None
    return str(message["room"]) if isinstance(message, dict) and message.get("room") else None


@functools.lru_cache(maxsize=64)
def _claim(kind: str | None, but: tuple[str, ...]) -> ReturningUpdate[Any]:
    """The statement of a claim, made once: making it costs more than running it. Wants now, until, most and by."""
    c = outbox.c
    now, until = (bindparam(name, type_=c.due_at.type) for name in ("now", "until"))
    due = (
        select(c.key)
        .where(_free(now), _first_in_lane(now))
        .order_by(c.kind.desc(), c.due_at, c.seq)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(skip_locked=True, of=outbox)
    )
    if kind is not None:
        due = due.where(c.kind == kind)
    for prefix in but:
        due = due.where(or_(c.lane.is_(None), ~c.lane.startswith(prefix, autoescape=True)))
    # A CTE with a row lock is run exactly once; the same SELECT inside IN (...) may be run again and again.
    taken = due.cte("taken")
    return (
        outbox.update()
        .where(c.key.in_(select(taken.c.key)))
        .values(
            owner=bindparam("by", type_=c.owner.type),
            lease_until=until,
            generation=c.generation + 1,
            attempts=c.attempts + 1,
            claimed_version=c.version,
        )
        .returning(outbox)
    )


def _free(now: BindParameter[Any]) -> ColumnElement[bool]:
    c = outbox.c
    return and_(c.state == PENDING, c.due_at <= now, or_(c.lease_until.is_(None), c.lease_until <= now))


def _first_in_lane(now: BindParameter[Any]) -> ColumnElement[bool]:
    # An older row of the same room goes first, also one that waits for its next try: a platform that was away or
    # asked for a pause shows its messages in the order they were said.
    older = outbox.alias("older")
    ahead = select(older.c.key).where(
        older.c.lane == outbox.c.lane, older.c.state == PENDING, older.c.seq < outbox.c.seq
    )
    out = outbox.alias("out")
    elsewhere = select(out.c.key).where(out.c.lane == outbox.c.lane, out.c.state == PENDING, out.c.lease_until > now)
    return and_(~ahead.exists(), ~elsewhere.exists())


def _row(row: Row[Any]) -> OutboxRow:
    return OutboxRow(
        key=row.key,
        kind=row.kind,
        payload=load(row.payload),
        due_at=row.due_at,
        incident=row.incident,
        epoch=row.epoch,
        attempts=row.attempts,
        generation=row.generation,
        ref=row.ref,
    )
