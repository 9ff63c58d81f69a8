"""Warroom's Slack side against the stand-in, over HTTP or a socket, with a door that remembers what came in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from bot.adapters.slack import SlackPlatform
from bot.bootstrap import SystemClock
from bot.domain.incident import Room
from bot.domain.message import Block, Message
from bot.domain.platforms import SlackSettings
from tests.chat.door import Door
from tests.chat.slack_server import SlackServer, slack_server

OPS = Room(key="slack:C0OPS", title="ops", lang="en")


def settings(slack: SlackServer, mode: Literal["http", "socket"] = "http", **more: Any) -> SlackSettings:
    """As the stand-in wants them."""
    secrets = {"bot_token": slack.bot_token, "signing_secret": slack.signing_secret, "app_token": slack.app_token}
    return SlackSettings(**{"mode": mode, "api_url": slack.url, **secrets, **more})


@dataclass
class Bot:
    """The platform, its door, and Slack."""

    slack: SlackServer
    platform: SlackPlatform
    door: Door

    async def says(self, *blocks: Block, key: str = "m1", ref: str | None = None, room: Room = OPS, **more: Any) -> str:
        """One message, as the deliverer would say it; no retries."""
        thread = more.pop("thread_ref", None)
        message = Message(key=key, room=room.key, blocks=blocks, **more)
        return await self.platform.put(message, room, ref, thread=thread)

    def shown(self, channel: str = "C0OPS") -> list[str]:
        """What people see there."""
        return self.slack.shown(channel)


@asynccontextmanager
async def bot(
    mode: Literal["http", "socket"] = "http", *, how: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[Bot]:
    """A running platform; `how` goes to the stand-in, the rest to the platform ("settings" of it apart)."""
    changed = more.pop("settings", {})
    more = {"gap_s": 1.0, **more}
    async with slack_server(mode=mode, **(how or {})) as slack:
        door = Door()
        platform = SlackPlatform(settings(slack, mode, **changed), door, lang="en", clock=SystemClock(), **more)
        async with serving(platform.routes()) as url, running(platform):
            slack.events_url = f"{url}/slack/events"
            if mode == "socket":
                await slack.connected()
            yield Bot(slack, platform, door)


@asynccontextmanager
async def running(platform: SlackPlatform) -> AsyncIterator[None]:
    """`run` in the background, and `close` at the end."""
    task = asyncio.create_task(platform.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await platform.close()


@asynccontextmanager
async def serving(routes: Sequence[BaseRoute]) -> AsyncIterator[str]:
    """The routes behind a real HTTP server; its address."""
    config = uvicorn.Config(Starlette(routes=list(routes)), port=0, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True
        await task


async def until(true: Callable[[], Any], *, within_s: float = 30.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.01)


async def eventually(holds: Callable[[], Awaitable[bool]], *, within_s: float = 30.0) -> None:
    """Wait for a condition that has to be asked for."""
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.02)
