"""Databases for tests: a new SQLite file for each test, one PostgreSQL database for each module."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.engine import make_url

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


def _run(url: str, sql: str) -> None:
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as exc:
        missing(f"no PostgreSQL for tests (WARROOM_TEST_PG): {exc}")
    with connection:
        connection.execute(sql)
