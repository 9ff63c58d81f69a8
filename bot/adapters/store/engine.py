"""Connections: URLs as people write them, what each database needs, and its errors in our words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bot.domain.errors import ConfigError, StoreBusy, StoreUnavailable

BUSY_TIMEOUT_MS = 5000
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_SQLITE_TRANSIENT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
}
READ_ONLY = "25006"
_UNDEFINED_TABLE = "42P01"
# Classes of SQLSTATE (PostgreSQL manual, appendix A) that say "not now": connection, resources, operator, system,
# and transactions that lost against another one.
_PG_TRANSIENT = ("08", "53", "57", "58", "40", READ_ONLY, "55P03")


def async_url(url: str) -> URL:
    """The URL with the driver we use: "sqlite:///warroom.db", "postgresql://user@host/db". Raises ConfigError."""
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError) as error:
        raise ConfigError("[database] url is not a URL; write sqlite:///FILE or postgresql://USER@HOST/DB") from error
    family = parsed.drivername.partition("+")[0]
    if family not in _DRIVERS:
        raise ConfigError(f'[database] url begins with "{family}:"; only sqlite and postgresql are supported')
    return parsed.set(drivername=_DRIVERS[family])


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for another database, or one in memory. Raises ConfigError."""
    target = async_url(url)
    if target.get_backend_name() != "sqlite" or target.database in (None, "", ":memory:"):
        return None
    return Path(str(target.database))


def make_engine(url: str, *, timeout_s: float, pool_size: int) -> AsyncEngine:
    """An engine whose transactions are exclusive on SQLite and read-committed on PostgreSQL."""
    target = async_url(url)
    if target.get_backend_name() == "sqlite":
        engine = create_async_engine(
            target, pool_size=1, max_overflow=0, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_immediate)
        return engine
    connect_args = {
        "connect_timeout": 3,
        # libpq asks each new server and leaves standbys alone: after a fail-over only the new primary is used.
        "target_session_attrs": "read-write",
        "application_name": "warroom",
        "options": f"-c lock_timeout={int(timeout_s * 1000)} -c idle_in_transaction_session_timeout=60000",
    }
    return create_async_engine(
        target,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        connect_args=connect_args,
    )


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # The driver must not begin transactions by itself: ours begin with BEGIN IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def in_our_words() -> Iterator[None]:
    """Turn "not reachable or not writable just now" into StoreUnavailable; a wrong statement stays what it is."""
    try:
        yield
    except exc.TimeoutError as error:
        raise StoreUnavailable("the database has no free connection; try again") from error
    except exc.DBAPIError as error:
        reason = unavailable(error)
        if reason is None:
            raise
        raise (StoreBusy if sqlstate(error) in _GAVE_WAY else StoreUnavailable)(reason) from error


def unavailable(error: exc.DBAPIError) -> str | None:
    """Why the database cannot be used just now, or None when the statement itself was at fault."""
    origin = error.orig
    if isinstance(origin, sqlite3.Error):
        code = getattr(origin, "sqlite_errorcode", 0) & 0xFF
        if "no such table" in str(origin):
            return _NOT_MIGRATED
        return f"the database cannot be used just now: {origin}" if code in _SQLITE_TRANSIENT else None
    state = sqlstate(error)
    if state == _UNDEFINED_TABLE:
        return _NOT_MIGRATED
    if error.connection_invalidated or (
        state is None and isinstance(error, (exc.OperationalError, exc.InterfaceError))
    ):
        return f"the database cannot be reached: {_first_line(origin)}"
    if state is not None and state.startswith(_PG_TRANSIENT):
        return f"the database cannot be used just now: {_first_line(origin)}"
    return None


def sqlstate(error: BaseException | None) -> str | None:
    """The five characters PostgreSQL names an error by, where there are any."""
    origin = error.orig if isinstance(error, exc.DBAPIError) else error
    state = getattr(origin, "sqlstate", None)
    return state if isinstance(state, str) else None


_GAVE_WAY = ("40P01", "40001")
"""Deadlock detected, serialization failure: PostgreSQL documentation, appendix A, class 40."""
_NOT_MIGRATED = "the database has no tables yet; run `warroom db upgrade`"


def _first_line(error: BaseException | None) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]
