"""The lab's databases are what the agents' probes take them for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.agent.policy import load_policy
from bot.domain.failure import Failure
from bot.domain.probe import Outcome
from bot.lab.netns.databases import Database
from bot.probes.table import run

KINDS = pytest.mark.parametrize("kind", ["mysql", "redis", "postgres"])


@contextlib.asynccontextmanager
async def serving(database: Database) -> AsyncIterator[int]:
    server = await asyncio.start_server(database, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def probe(kind: str, port: int, folder: Path) -> Outcome:
    (folder / "policy.yaml").write_text("allow: [{network: 127.0.0.0/8, ports: any, kinds: any}]\n")
    ctx = load_policy(folder / "policy.yaml").context({})
    return await run(kind, {"address": "127.0.0.1", "port": port, "tries": 2}, ctx, 10)


@KINDS
async def test_a_database_with_room_is_healthy(kind: str, tmp_path: Path) -> None:
    async with serving(Database(kind, 50)) as port:
        seen = await probe(kind, port, tmp_path)
    assert (seen.ok, seen.failure, seen.success_rate) == (True, None, 1.0)


@KINDS
async def test_a_full_database_says_so_in_its_own_words(kind: str, tmp_path: Path) -> None:
    database = Database(kind, 50)
    database.settings = replace(database.settings, full=True)
    async with serving(database) as port:
        seen = await probe(kind, port, tmp_path)
    assert (seen.ok, seen.failure) == (False, Failure.DB_TOO_MANY_CONNECTIONS)


@KINDS
async def test_clients_that_stay_use_a_database_up(kind: str, tmp_path: Path) -> None:
    async with serving(Database(kind, 2)) as port:
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await asyncio.sleep(0.05)
        seen = await probe(kind, port, tmp_path)
        for _, writer in crowd:
            writer.close()
    assert seen.failure is Failure.DB_TOO_MANY_CONNECTIONS
