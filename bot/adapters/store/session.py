"""A transaction's connection, the database's clock, and the one serializer: what people may read is redacted here."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.adapters.store.tables import UtcTime
from bot.app.ports import Clock
from bot.app.redact import Redactor
from bot.domain.text import Lang


class Session:
    """A connection inside its transaction, with what every part needs to read and write rows."""

    def __init__(self, connection: AsyncConnection, redactor: Redactor, clock: Clock | None, lang: Lang = "zh") -> None:
        self.connection = connection
        self.redactor = redactor
        self.lang = lang
        self._clock = clock
        self._asked: tuple[datetime, float] | None = None

    async def now(self) -> datetime:
        """The database's clock; SQLite's is this machine's. Tests give a clock of their own."""
        if self._clock is not None:
            return self._clock.now()
        if self.connection.dialect.name == "sqlite":
            return datetime.now(UTC)
        if self._asked is None:
            moment = await self.connection.execute(select(func.clock_timestamp(type_=UtcTime)))
            self._asked = moment.scalar_one(), time.monotonic()
        # Asked once in a transaction, which lasts seconds at most: a clock that never steps says what has passed since.
        then, read = self._asked
        return then + timedelta(seconds=time.monotonic() - read)

    def insert(self, table: Any) -> Any:
        """An INSERT that can say ON CONFLICT, in the dialect at hand."""
        return (sqlite if self.connection.dialect.name == "sqlite" else postgresql).insert(table)

    def dump(self, value: Any) -> str:
        """JSON text without secrets."""
        return _COMPACT.encode(self.redactor.value(value))


_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def dump_raw(value: Any) -> str:
    """JSON text as it is (escaped, so that any text survives), for what only a provider reads."""
    return json.dumps(value, separators=(",", ":"))


def load(text: str | None) -> Any:
    """The inverse of both."""
    return None if text is None else json.loads(text)
