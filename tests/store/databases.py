"""Databases for tests: a new SQLite file for each test, one PostgreSQL database for each module."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import NullPool, create_engine, inspect, select, text
from sqlalchemy.engine import make_url

from bot.adapters.store import migrate
from bot.adapters.store.tables import counters, metadata
from tests.needs import missing

SERVER = os.environ.get("WARROOM_TEST_PG", "postgresql://postgres@127.0.0.1:5432/postgres")


@contextmanager
def postgres_database() -> Iterator[str]:
    """The URL of a database that exists inside the block only."""
    name = f"warroom_test_{secrets.token_hex(6)}"
    _run(SERVER, f"CREATE DATABASE {name}")
    try:
        yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        _run(SERVER, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def no_way_out_of_a_deadlock(url: str) -> Iterator[None]:
    """Whoever connects to a PostgreSQL inside the block waits for ever where it would be saved after a second."""
    if not url.startswith("postgresql"):
        yield
        return
    name = make_url(url).database
    _run(url, f"ALTER DATABASE {name} SET deadlock_timeout = '10min'")
    try:
        yield
    finally:
        _run(url, f"ALTER DATABASE {name} RESET deadlock_timeout")


def empty(url: str) -> None:
    """Take everything out of a PostgreSQL database."""
    _run(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def sqlite_database(file: Path) -> str:
    """The URL of this SQLite file; if it is not there yet, it becomes a migrated one without rows."""
    if not file.exists():
        file.write_bytes(_migrated_file())
    return f"sqlite:///{file}"


def clear(url: str) -> None:
    """Make a PostgreSQL database a migrated one without rows; migrations run only where they have not run yet.

    Raises RuntimeError for tables that were changed behind their version.
    """
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.begin() as connection:
        if migrate.missing(connection) is not None:
            connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
            migrate.upgrade(connection)
            return
        names = set(inspect(connection).get_table_names()) - {"alembic_version"}
        if names != set(metadata.tables):
            raise RuntimeError(f"not the tables of this version: {sorted(names ^ set(metadata.tables))}")
        # The timeline lets nobody delete from it, and a TRUNCATE of so many tables takes as long as the migrations.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for name in names:
            connection.execute(text(f'DELETE FROM "{name}"'))
        for name in inspect(connection).get_sequence_names():
            connection.execute(text(f'ALTER SEQUENCE "{name}" RESTART'))
        connection.execute(counters.insert(), [dict(row) for row in _counters()])


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "migrated.db"
        engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
        with engine.begin() as connection:
            migrate.upgrade(connection)
        return file.read_bytes()


@cache
def _counters() -> Sequence[Mapping[str, Any]]:
    """The only rows that migrations write."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "migrated.db"
        file.write_bytes(_migrated_file())
        with create_engine(f"sqlite:///{file}", poolclass=NullPool).begin() as connection:
            for table in metadata.tables.values():
                assert table is counters or not connection.execute(select(table)).all(), table.name
            return [dict(row) for row in connection.execute(select(counters)).mappings()]


def _run(url: str, sql: str) -> None:
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as exc:
        missing(f"no PostgreSQL for tests (WARROOM_TEST_PG): {exc}")
    with connection:
        connection.execute(sql)
