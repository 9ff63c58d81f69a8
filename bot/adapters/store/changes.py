"""Changes that were posted to us."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from bot.adapters.store.session import Session
from bot.adapters.store.tables import changes
from bot.domain.change import MOST, Change, ChangeKind


class SqlChanges:
    """Implements `Changes`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, change: Change) -> bool:
        """Insert; False for one that is there already, word for word."""
        clean = self._session.redactor.text
        words = {name: clean(getattr(change, name)) for name in ("title", "who", "env", "service", "url", "source")}
        row = {**words, "id": change.key, "at": change.at, "kind": change.kind.value}
        insert = self._session.insert(changes).values(row).on_conflict_do_nothing(index_elements=["id"])
        return await self._session.connection.scalar(insert.returning(changes.c.id)) is not None

    async def recent(self, *, since: datetime, limit: int = MOST) -> Sequence[Change]:
        """Those since a moment, newest first."""
        columns = [changes.c[field.name] for field in dataclasses.fields(Change)]
        statement = (
            select(*columns).where(changes.c.at >= since).order_by(changes.c.at.desc(), changes.c.id).limit(limit)
        )
        rows = (await self._session.connection.execute(statement)).mappings()
        return [Change(**{**row, "kind": ChangeKind(row["kind"])}) for row in rows]
