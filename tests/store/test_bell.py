"""Bots on one PostgreSQL wake each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from bot.adapters.store.bell import Bell
from tests.store.databases import postgres_database


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres_database() as url:
        yield url


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def test_one_that_rings_wakes_the_other_and_not_itself(url: str) -> None:
    mine, theirs = asyncio.Event(), asyncio.Event()
    one, other = Bell(url, mine.set), Bell(url, theirs.set)
    tasks = [asyncio.create_task(bell.run()) for bell in (one, other)]
    try:
        assert await _within(5, mine)
        assert await _within(5, theirs)  # whoever begins to listen looks first
        mine.clear()
        theirs.clear()
        one.ring()
        assert await _within(1, theirs)
        assert not mine.is_set()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_connection_that_is_cut_is_made_anew(url: str) -> None:
    heard = asyncio.Event()
    task = asyncio.create_task(Bell(url, heard.set).run())
    try:
        assert await _within(5, heard)
        heard.clear()
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'warroom bell' AND datname = current_database()"
            )
        assert await _within(6, heard)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
