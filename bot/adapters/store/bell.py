"""PostgreSQL's LISTEN and NOTIFY: bots on one database wake each other, beside looking once a second."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

import psycopg

from bot.adapters.store.engine import async_url

log = logging.getLogger("warroom.bell")

CHANNEL = "warroom"
AGAIN_S = 2.0
LOOK_S = 10.0
"""How often the listening connection is asked whether its server is still the primary."""
QUIET_S = 0.02
"""What is rung within so long is one notification: NOTIFY makes commits wait for each other."""


class Bell:
    """Rings at the other bots, and calls `wake` when one of them has rung. Nothing depends on it but speed.

    It uses connections of its own: notifications are no part of a transaction, so a bell that cannot be rung
    delays nothing.
    """

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._dsn = async_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._wake = wake
        self._me = secrets.token_hex(8)
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Tell the others that something was written."""
        self._rung.set()

    async def run(self) -> None:
        """Until cancelled; a connection that breaks, or leads to a server that is no primary any more, is made anew."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._for_ever(self._listen))
            group.create_task(self._for_ever(self._tell))

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (psycopg.Error, OSError) as exc:
                log.info("no bell for now: %s", str(exc).splitlines()[0] if str(exc) else type(exc).__name__)
            await asyncio.sleep(AGAIN_S)

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=3,
            target_session_attrs="read-write",
            application_name="warroom bell",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )

    async def _listen(self) -> None:
        async with await self._connect() as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            # What was written while nobody listened.
            self._wake()
            while True:
                async for note in connection.notifies(timeout=LOOK_S):
                    if note.payload != self._me:
                        self._wake()
                found = await (await connection.execute("SELECT pg_is_in_recovery()")).fetchone()
                if found and found[0]:
                    return

    async def _tell(self) -> None:
        async with await self._connect() as connection:
            while True:
                await self._rung.wait()
                self._rung.clear()
                await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, self._me))
                await asyncio.sleep(QUIET_S)
