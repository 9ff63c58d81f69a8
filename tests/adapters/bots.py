"""A whole bot on a real socket, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from bot.adapters.config import Config
from bot.bootstrap import Bot, build, listen
from tests.store.databases import sqlite_database


@asynccontextmanager
async def serving(config: Config, folder: Path, *, token: str = "") -> AsyncIterator[tuple[Bot, httpx.AsyncClient]]:
    """Serve on a free port with an SQLite file in the folder; yields the bot, and a client that shows the token."""
    database = sqlite_database(folder / "warroom.db")
    listener, config = listen(replace(config, port=0, database_url=database))
    bot = await build(config)
    ready = asyncio.Event()
    work = asyncio.create_task(bot.serve(listener, on_ready=ready.set))
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with httpx.AsyncClient(base_url=config.url, headers=shown, trust_env=False, timeout=20) as client:
            await asyncio.wait_for(ready.wait(), 20)
            yield bot, client
    finally:
        bot.stop()
        await work
