"""`store_url`, `bare_url` and `store`, on both databases; test modules elsewhere import them from here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bot.adapters.store import SqlStore
from tests.store.databases import clear, empty, postgres_database, sqlite_database


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """ "sqlite", or the URL of this module's own PostgreSQL database."""
    if request.param == "sqlite":
        yield "sqlite"
        return
    with postgres_database() as url:
        yield url


@pytest.fixture
def store_url(database: str, tmp_path: Path) -> str:
    """The URL of a database that is migrated and has no rows."""
    if database == "sqlite":
        return sqlite_database(tmp_path / "warroom.db")
    clear(database)
    return database


@pytest.fixture
def bare_url(database: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a database in which there is nothing at all."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path / 'warroom.db'}"
        return
    empty(database)
    yield database
    empty(database)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[SqlStore]:
    """A migrated store."""
    store = SqlStore(store_url)
    await store.upgrade()
    yield store
    await store.close()
