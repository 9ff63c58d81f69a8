"""Which rooms are being watched."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sqlalchemy import delete, select

from bot.adapters.store.session import Session
from bot.adapters.store.tables import watches
from bot.domain.incident import Watch


class SqlWatches:
    """Implements `Watches`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def save(self, watch: Watch) -> None:
        """Insert, in place of the room's earlier one."""
        row = dataclasses.asdict(watch)
        insert = self._session.insert(watches).values(row)
        await self._session.connection.execute(insert.on_conflict_do_update(index_elements=["room"], set_=row))

    async def get(self, room: str) -> Watch | None:
        """The room's watch, locked until the transaction ends where the database can."""
        statement = select(watches).where(watches.c.room == room).with_for_update()
        row = (await self._session.connection.execute(statement)).mappings().one_or_none()
        return Watch(**row) if row else None

    async def list(self) -> Sequence[Watch]:
        """All of them, oldest first."""
        statement = select(watches).order_by(watches.c.started_at, watches.c.room)
        return [Watch(**row) for row in (await self._session.connection.execute(statement)).mappings()]

    async def remove(self, watch: Watch) -> bool:
        """Take it away; False when it is gone or another one has its place."""
        mine = (watches.c.room == watch.room, watches.c.message == watch.message)
        result = await self._session.connection.execute(delete(watches).where(*mine))
        return result.rowcount == 1
