"""Transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cached_property

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.adapters.store import migrate
from bot.adapters.store.actions import SqlActions
from bot.adapters.store.alerts import SqlAlerts
from bot.adapters.store.alone import Alone
from bot.adapters.store.changes import SqlChanges
from bot.adapters.store.engine import READ_ONLY, in_our_words, make_engine, sqlstate
from bot.adapters.store.enrolments import SqlEnrolments
from bot.adapters.store.escalations import SqlCalls, SqlEscalations
from bot.adapters.store.incidents import SqlIncidents, SqlRooms
from bot.adapters.store.memories import SqlMemories
from bot.adapters.store.messages import SqlInbox, SqlMessages, SqlSettings
from bot.adapters.store.nights import SqlNights
from bot.adapters.store.outbox import SqlOutbox
from bot.adapters.store.overrides import SqlOverrides
from bot.adapters.store.patrols import SqlPatrols
from bot.adapters.store.runs import SqlRuns
from bot.adapters.store.session import Session
from bot.adapters.store.tables import counters
from bot.adapters.store.timeline import SqlTimeline
from bot.adapters.store.watches import SqlWatches
from bot.app.ports import Clock
from bot.app.redact import Redactor
from bot.domain.errors import ConfigError, StoreUnavailable
from bot.domain.text import Lang


class SqlTx:
    """Implements `Tx`: the parts, all on one connection."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def now(self) -> datetime:
        """The database's clock."""
        return await self._session.now()

    @cached_property
    def timeline(self) -> SqlTimeline:
        """The append-only record."""
        return SqlTimeline(self._session)

    @cached_property
    def incidents(self) -> SqlIncidents:
        """Incidents."""
        return SqlIncidents(self._session)

    @cached_property
    def rooms(self) -> SqlRooms:
        """Rooms."""
        return SqlRooms(self._session)

    @cached_property
    def runs(self) -> SqlRuns:
        """What `/diag` found."""
        return SqlRuns(self._session)

    @cached_property
    def watches(self) -> SqlWatches:
        """Which rooms are being watched."""
        return SqlWatches(self._session)

    @cached_property
    def enrolments(self) -> SqlEnrolments:
        """Which agents are known by which keys."""
        return SqlEnrolments(self._session)

    @cached_property
    def changes(self) -> SqlChanges:
        """What others changed."""
        return SqlChanges(self._session)

    @cached_property
    def alerts(self) -> SqlAlerts:
        """What monitoring told us."""
        return SqlAlerts(self._session)

    @cached_property
    def patrols(self) -> SqlPatrols:
        """What patrols saw, and who is on one."""
        return SqlPatrols(self._session)

    @cached_property
    def overrides(self) -> SqlOverrides:
        """Who takes over which shift."""
        return SqlOverrides(self._session)

    @cached_property
    def memories(self) -> SqlMemories:
        """What is remembered of incidents."""
        return SqlMemories(self._session)

    @cached_property
    def actions(self) -> SqlActions:
        """Action items."""
        return SqlActions(self._session)

    @cached_property
    def messages(self) -> SqlMessages:
        """What was said."""
        return SqlMessages(self._session)

    @cached_property
    def escalations(self) -> SqlEscalations:
        """Where escalations stand, and their timers."""
        return SqlEscalations(self._session)

    @cached_property
    def calls(self) -> SqlCalls:
        """Who was called, through whom, and what came of it."""
        return SqlCalls(self._session)

    @cached_property
    def nights(self) -> SqlNights:
        """What past incidents came to."""
        return SqlNights(self._session)

    @cached_property
    def outbox(self) -> SqlOutbox:
        """Things to send."""
        return SqlOutbox(self._session)

    @cached_property
    def inbox(self) -> SqlInbox:
        """What was taken in."""
        return SqlInbox(self._session)

    @cached_property
    def settings(self) -> SqlSettings:
        """What the installation keeps for itself."""
        return SqlSettings(self._session)


class SqlStore:
    """Implements `Store` on SQLite and PostgreSQL.

    `url` is "sqlite:///FILE" or "postgresql://USER@HOST/DB". `redactor` cleans what people may read. `clock`
    replaces the database's clock in tests. `alone` is the lock on a SQLite file, given back by `close`. `lang` is what
    rooms speak for which nobody chose a language. A transaction that takes longer than `timeout_s` is rolled back.
    Raises ConfigError for a URL that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        redactor: Redactor | None = None,
        clock: Clock | None = None,
        timeout_s: float = 10.0,
        pool_size: int = 8,
        lang: Lang = "zh",
        alone: Alone | None = None,
    ) -> None:
        self._alone = alone
        self._engine = make_engine(url, timeout_s=timeout_s, pool_size=pool_size)
        self._redactor = redactor or Redactor()
        self._clock = clock
        self._lang = lang
        self._timeout_s = timeout_s
        # SQLite has one writer: waiting here is fair and free, waiting in its busy handler is neither.
        self._turn = asyncio.Semaphore(1 if self._engine.dialect.name == "sqlite" else pool_size)
        self._inside: set[asyncio.Task[object] | None] = set()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlTx]:
        """A transaction, committed on leaving without an error. Raises StoreUnavailable."""
        async with self._transaction() as connection:
            yield SqlTx(Session(connection, self._redactor, self._clock, self._lang))

    async def upgrade(self) -> None:
        """Create or migrate the tables; several bots may do so at once. Raises StoreUnavailable."""
        async with self._transaction(timeout_s=600) as connection:
            await connection.run_sync(migrate.upgrade)

    async def check(self) -> str | None:
        """Why the database cannot be used, in one sentence with the fix, or None when it can."""
        try:
            await self.prove()
        except (StoreUnavailable, ConfigError) as error:
            return str(error)
        return None

    async def prove(self) -> None:
        """Read and write once. Raises StoreUnavailable while it is away, ConfigError when waiting will not help."""
        try:
            async with self._transaction() as connection:
                problem = await connection.run_sync(migrate.missing)
                if problem is None:
                    # Writing is the only proof that writing works; the value stays what it is.
                    await connection.execute(counters.update().values(value=counters.c.value))
        except exc.SQLAlchemyError as refused:
            raise ConfigError(f"the database refuses: {str(refused).splitlines()[0]}") from refused
        if problem is not None:
            raise ConfigError(problem)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
        if self._alone is not None:
            self._alone.give_back()

    @asynccontextmanager
    async def _transaction(self, *, timeout_s: float | None = None) -> AsyncIterator[AsyncConnection]:
        task = asyncio.current_task()
        if task in self._inside:
            raise RuntimeError("begin() inside begin(): a task has one transaction at a time")
        self._inside.add(task)
        limit = asyncio.timeout(timeout_s or self._timeout_s)
        try:
            with in_our_words():
                async with limit, self._turn, self._engine.begin() as connection:
                    yield connection
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StoreUnavailable("the database did not answer in time; try again") from error
        except StoreUnavailable as error:
            await self._forget_standby(error.__cause__)
            raise
        finally:
            self._inside.discard(task)

    async def _forget_standby(self, cause: BaseException | None) -> None:
        # The server we are connected to became read-only: after a fail-over every pooled connection leads there.
        if isinstance(cause, exc.DBAPIError) and sqlstate(cause) == READ_ONLY:
            await self._engine.dispose()
