"""Action items of incidents."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import RowMapping, select

from bot.adapters.store.session import Session
from bot.adapters.store.tables import actions
from bot.domain.action import ActionItem

PREFIX = "act-"


class SqlActions:
    """Implements `Actions`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, action: ActionItem) -> ActionItem:
        """Insert; returns it with its id, "act-n"."""
        statement = actions.insert().values(self._row(action)).returning(actions.c.seq)
        seq = await self._session.connection.scalar(statement)
        return dataclasses.replace(action, id=f"{PREFIX}{seq}")

    async def get(self, ident: str) -> ActionItem | None:
        """By id ("act-7", "7", "#7"), locked until the transaction ends where the database can."""
        number = ident.strip().lower().lstrip("#＃").removeprefix(PREFIX)
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            return None
        statement = select(actions).where(actions.c.seq == int(number)).with_for_update()
        row = (await self._session.connection.execute(statement)).mappings().one_or_none()
        return _action(row) if row else None

    async def save(self, action: ActionItem) -> None:
        """Write back one that was read in this transaction."""
        number = int(action.id.removeprefix(PREFIX))
        await self._session.connection.execute(
            actions.update().where(actions.c.seq == number).values(self._row(action))
        )

    async def list(
        self, *, incident: str | None = None, only_open: bool = False, limit: int = 200
    ) -> Sequence[ActionItem]:
        """Of an incident, else of all; those that are due first come first."""
        statement = select(actions)
        if incident is not None:
            statement = statement.where(actions.c.incident == incident)
        if only_open:
            statement = statement.where(actions.c.done_at.is_(None))
        # A day is kept as ISO text: it sorts, and "" is none.
        order = (actions.c.done_at.is_not(None), actions.c.due == "", actions.c.due, actions.c.seq)
        rows = (await self._session.connection.execute(statement.order_by(*order).limit(limit))).mappings()
        return [_action(row) for row in rows]

    async def claim_reminder(self) -> ActionItem | None:
        """An open one whose `remind_at` is past by the database's clock, locked; None when none is."""
        due = (actions.c.remind_at <= await self._session.now(), actions.c.done_at.is_(None))
        statement = select(actions).where(*due).order_by(actions.c.remind_at).limit(1)
        row = (
            (await self._session.connection.execute(statement.with_for_update(skip_locked=True)))
            .mappings()
            .one_or_none()
        )
        return _action(row) if row else None

    def _row(self, action: ActionItem) -> dict[str, Any]:
        clean = self._session.redactor.text
        return {
            "incident": action.incident,
            "text": clean(action.text),
            "owner": clean(action.owner),
            "due": action.due.isoformat() if action.due else "",
            "made_by": action.made_by,
            "made_at": action.made_at,
            "done_at": action.done_at,
            "done_by": action.done_by,
            "remind_at": action.remind_at,
        }


def _action(row: RowMapping) -> ActionItem:
    known = {name: row[name] for name in ("incident", "text", "owner", "made_by", "made_at", "done_at", "done_by")}
    due = date.fromisoformat(row["due"]) if row["due"] else None
    return ActionItem(id=f"{PREFIX}{row['seq']}", due=due, remind_at=row["remind_at"], **known)
