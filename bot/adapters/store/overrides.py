"""Who takes over which shift."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import RowMapping, and_, or_, select

from bot.adapters.store.session import Session
from bot.adapters.store.tables import overrides
from bot.domain.schedule import Override

_PREFIX = "ovr-"


class SqlOverrides:
    """Implements `Overrides`. One that is cancelled ends there and then; one that had not begun never was."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, override: Override) -> Override:
        """Insert; returns it with its id, "ovr-n"."""
        row = {name: getattr(override, name) for name in ("schedule", "person", "start", "until", "by", "made_at")}
        statement = overrides.insert().values(row).returning(*overrides.c)
        return _override((await self._session.connection.execute(statement)).mappings().one(), ended=None)

    async def ending_after(self, at: datetime) -> Sequence[Override]:
        """Those that go on or begin after a moment, oldest first."""
        ended, start = overrides.c.cancelled_at, overrides.c.start
        meant = or_(ended.is_(None), and_(ended > start, ended > at))
        statement = select(overrides).where(overrides.c.until > at, meant).order_by(overrides.c.seq)
        return [
            _override(row, ended=row["cancelled_at"])
            for row in (await self._session.connection.execute(statement)).mappings()
        ]

    async def cancel(self, ident: str, *, by: str, at: datetime) -> Override | None:
        """End it now; returns it as it was. None: unknown, over or cancelled already."""
        number = ident.lower().removeprefix(_PREFIX)
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            return None
        live = (overrides.c.seq == int(number), overrides.c.cancelled_at.is_(None), overrides.c.until > at)
        statement = overrides.update().where(*live).values(cancelled_by=by, cancelled_at=at).returning(*overrides.c)
        row = (await self._session.connection.execute(statement)).mappings().one_or_none()
        return _override(row, ended=None) if row else None


def _override(row: RowMapping, *, ended: datetime | None) -> Override:
    return Override(
        id=f"{_PREFIX}{row['seq']}",
        schedule=row["schedule"],
        person=row["person"],
        start=row["start"],
        until=ended or row["until"],
        by=row["by"],
        made_at=row["made_at"],
    )
