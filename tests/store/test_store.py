"""Transactions, migrations, and what happens when the database is away."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import StatementError

from bot.adapters.store import SqlStore
from bot.adapters.store.engine import async_url
from bot.adapters.store.tables import metadata
from bot.app.ports import Store
from bot.domain.errors import ConfigError, StoreUnavailable
from bot.domain.incident import Impact
from tests.store.samples import incident, note

CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid <> pg_backend_pid() AND datname = current_database()"""


async def test_a_migrated_database_has_exactly_the_tables_the_code_knows(bare_url: str) -> None:
    store = SqlStore(bare_url)
    await store.upgrade()

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with store._engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await store.close()


async def test_check_says_what_to_do_until_the_tables_are_there(bare_url: str) -> None:
    store = SqlStore(bare_url)
    assert await store.check() == "the database has no tables yet; run `warroom db upgrade`"
    with pytest.raises(StoreUnavailable, match="warroom db upgrade"):
        async with store.begin() as tx:
            await tx.rooms.get("console:ops")
    await store.upgrade()
    assert await store.check() is None
    await store.close()


async def test_two_bots_may_migrate_at_the_same_time(bare_url: str) -> None:
    bots = [SqlStore(bare_url) for _ in range(2)]
    await asyncio.gather(*(bot.upgrade() for bot in bots))
    assert [await bot.check() for bot in bots] == [None, None]
    await asyncio.gather(*(bot.close() for bot in bots))


async def test_a_newer_database_is_named_as_such(store: SqlStore) -> None:
    async with store._engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "does not know" in str(await store.check())


async def test_incidents_of_before_the_lifecycle_are_declared(bare_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqlStore(bare_url)
    to_head = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, _head: to_head(config, "0006"))
    await store.upgrade()
    row = "INSERT INTO incidents (id, title, severity, state, room, origin_room, opened_at, opened_by, epoch) VALUES "
    async with store._engine.begin() as connection:
        for name, state in (("INC-1", "open"), ("INC-2", "resolved")):
            values = (
                f"('{name}', 'SMS', 'sev1', '{state}', 'console:ops', 'console:ops', '2026-01-15 15:00:00', 'lin', 0)"
            )
            await connection.execute(text(row + values))
    monkeypatch.undo()
    await store.upgrade()
    async with store.begin() as tx:
        found = await tx.incidents.list()
    assert {i.id: i.state.value for i in found} == {"INC-1": "declared", "INC-2": "resolved"}
    assert (found[0].roles, found[0].impact, found[0].vendors) == ({}, Impact(), ())
    await store.close()


async def test_an_error_inside_a_transaction_undoes_all_of_it(store: Store) -> None:
    async def declare_and_fail() -> None:
        async with store.begin() as tx:
            await tx.incidents.open(incident())
            await tx.timeline.append(note("declared"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await declare_and_fail()
    async with store.begin() as tx:
        assert await tx.incidents.list() == []
        assert await tx.timeline.read() == []


async def test_a_transaction_inside_a_transaction_is_refused_instead_of_waiting_for_itself(store: Store) -> None:
    async with store.begin():
        with pytest.raises(RuntimeError, match="one transaction at a time"):
            async with store.begin():
                pass


async def test_a_transaction_that_takes_too_long_is_rolled_back(store_url: str, store: SqlStore) -> None:
    hasty = SqlStore(store_url, timeout_s=0.2)

    async def dawdle() -> None:
        async with hasty.begin() as tx:
            await tx.settings.put("key", "value")
            await asyncio.sleep(5)

    with pytest.raises(StoreUnavailable, match="in time"):
        await dawdle()
    async with hasty.begin() as tx:
        assert await tx.settings.get("key") is None
    await hasty.close()


async def test_somebody_elses_timeout_inside_a_transaction_stays_a_timeout(store: Store) -> None:
    with pytest.raises(TimeoutError):
        async with store.begin():
            raise TimeoutError("not the database's")


async def test_settings_are_replaced(store: Store) -> None:
    async with store.begin() as tx:
        assert await tx.settings.get("hub_key") is None
        await tx.settings.put("hub_key", "one")
        await tx.settings.put("hub_key", "two")
    async with store.begin() as tx:
        assert await tx.settings.get("hub_key") == "two"


async def test_of_bots_that_start_together_all_keep_the_first_ones_setting(store: Store) -> None:
    async def start(value: str) -> str:
        async with store.begin() as tx:
            return await tx.settings.keep("hub_key", value)

    kept = await asyncio.gather(*(start(str(n)) for n in range(8)))
    async with store.begin() as tx:
        assert set(kept) == {await tx.settings.get("hub_key")}


async def test_an_inbound_message_is_first_exactly_once_even_when_it_arrives_eight_times_at_once(store: Store) -> None:
    async def arrive() -> bool:
        async with store.begin() as tx:
            return await tx.inbox.first("slack:U1:C1:1531420618.000200", at=incident().opened_at)

    assert sorted(await asyncio.gather(*(arrive() for _ in range(8)))) == [False] * 7 + [True]


async def test_a_naive_datetime_never_reaches_the_database(store: Store) -> None:
    with pytest.raises(StatementError, match="naive"):
        async with store.begin() as tx:
            await tx.inbox.first("key", at=incident().opened_at.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("sqlite:///warroom.db", "sqlite+aiosqlite:///warroom.db"),
        ("postgresql://user@host/db", "postgresql+psycopg://user@host/db"),
        ("postgres://user:pw@host:5433/db", "postgresql+psycopg://user:***@host:5433/db"),
    ],
)
def test_plain_urls_get_the_driver_we_use(written: str, used: str) -> None:
    assert str(async_url(written)) == used


@pytest.mark.parametrize("written", ["mysql://host/db", "warroom.db", ""])
def test_other_urls_are_refused_with_the_fix(written: str) -> None:
    with pytest.raises(ConfigError, match="sqlite"):
        async_url(written)


@pytest.mark.parametrize("url", ["sqlite:////nonexistent/warroom.db", "postgresql://nobody@127.0.0.1:1/nothing"])
async def test_a_database_that_cannot_be_reached_is_unavailable(url: str) -> None:
    store = SqlStore(url)
    with pytest.raises(StoreUnavailable):
        async with store.begin() as tx:
            await tx.settings.get("anything")
    assert "database" in str(await store.check())
    await store.close()


async def test_a_full_or_locked_sqlite_file_is_unavailable_and_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "warroom.db"
    store = SqlStore(f"sqlite:///{file}", timeout_s=0.5)
    await store.upgrade()
    intruder = sqlite3.connect(file, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        async with store.begin() as tx:
            await tx.settings.put("key", "value")
    intruder.execute("ROLLBACK")
    intruder.close()
    async with store.begin() as tx:
        await tx.settings.put("key", "value")
    await store.close()


async def test_sqlite_waits_for_the_disk_and_checks_references(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'warroom.db'}")
    async with store._engine.connect() as connection:
        facts = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert facts == ["wal", 2, 1, 5000]
    await store.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_postgresql_after_a_fail_over_is_found_again(store_url: str, store: SqlStore) -> None:
    async with store.begin() as tx:
        await tx.settings.put("key", "value")
    with psycopg.connect(store_url, autocommit=True) as admin:
        name = admin.execute("SELECT current_database()").fetchone()[0]  # type: ignore[index]
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        admin.execute(CUT)
        assert "read-only" in str(await store.check())
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert await store.check() is None


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_connection_cut_in_the_middle_of_a_transaction_is_unavailable(store_url: str, store: SqlStore) -> None:
    async def write_twice() -> None:
        async with store.begin() as tx:
            await tx.settings.put("key", "value")
            with psycopg.connect(store_url, autocommit=True) as admin:
                admin.execute(CUT)
            await tx.settings.put("key", "other")

    with pytest.raises(StoreUnavailable):
        await write_twice()
    async with store.begin() as tx:
        assert await tx.settings.get("key") is None
