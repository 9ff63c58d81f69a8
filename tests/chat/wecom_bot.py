"""Warroom's WeCom side against the stand-in, with a door that remembers what came in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import uvicorn
from starlette.applications import Starlette

from bot.adapters.wecom import WeComPlatform
from bot.domain.incident import Room
from bot.domain.message import Block, Message
from bot.domain.text import Lang
from tests.chat.door import Door
from tests.chat.wecom_server import WeComServer

PATIENCE_S = 30.0


@dataclass
class Bot:
    """The platform, its door, and WeCom."""

    wecom: WeComServer
    platform: WeComPlatform
    door: Door

    async def says(
        self, room: str, *blocks: Block, key: str = "m1", ref: str | None = None, lang: Lang = "en", **more: Any
    ) -> str:
        """One message, as the deliverer would say it; no retries."""
        message = Message(key=key, room=room, blocks=blocks, **more)
        return await self.platform.put(message, Room(key=room, title=room, lang=lang), ref)

    def shown(self, room: str) -> list[str]:
        return self.wecom.shown(room)


async def yes() -> bool:
    return True


@asynccontextmanager
async def running(
    wecom: WeComServer,
    *,
    holds: Callable[[], Awaitable[bool]] = yes,
    now: Callable[[], float] = time.time,
    **more: Any,
) -> AsyncIterator[Bot]:
    """A platform that runs; `now` is its clock for callbacks, `more` changes its settings."""
    door = Door()
    zone = ZoneInfo("Asia/Shanghai")
    platform = WeComPlatform(wecom.settings(**more), door, lang="en", zone=zone, holds=holds, now=now)
    config = uvicorn.Config(Starlette(routes=platform.routes()), port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    wecom.caller.base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    serving = asyncio.create_task(server.serve([listener]))
    work = asyncio.create_task(platform.run())
    try:
        await until(lambda: server.started)
        yield Bot(wecom, platform, door)
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        await platform.close()
        server.should_exit = True
        await serving


async def until(what: Callable[[], object], *, s: float = PATIENCE_S) -> None:
    """Poll until it is true."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + s
    while not what():
        assert loop.time() < ends, "waited in vain"
        await asyncio.sleep(0.02)
