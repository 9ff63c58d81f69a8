"""A real hub in this process, and real agent processes that dial it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from bot.adapters.agents.desk import AgentDesk
from bot.adapters.agents.websocket import websocket_routes
from bot.wire.frames import Hello
from bot.wire.signing import Signer
from tests.bench.servers import LOOPBACK

TOKEN = "the token of every agent here"


@dataclass
class OpenDoor:
    """Lets every agent in that knows the token."""

    async def admit(self, hello: Hello, proven: Callable[[str], bool]) -> str:
        """See `bot.app.ports.Doorkeeper`."""
        return TOKEN if proven(TOKEN) else ""


@contextlib.asynccontextmanager
async def served(desk: AgentDesk) -> AsyncIterator[str]:
    """Serve the desk as `bot.bootstrap` does; yields the URL that agents dial."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        config = uvicorn.Config(
            Starlette(routes=websocket_routes(desk)),
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"ws://{LOOPBACK}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


def desk() -> AgentDesk:
    """A desk with a key of its own."""
    return AgentDesk(signer=Signer(), door=OpenDoor())


@contextlib.asynccontextmanager
async def agent(
    at: AgentDesk, url: str, state: Path, *, policy: Path | None = None, name: str = "bench"
) -> AsyncIterator[int]:
    """A `warroom agent` process that has reported ready; yields its process id."""
    words = ["agent", "--hub", url, "--name", name, "--region", "here", "--vantage", "vm", "--state", str(state)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot.cli", *words, *(["--policy", str(policy)] if policy else [])),
        env={**os.environ, "WARROOM_AGENT_TOKEN": TOKEN},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: any(a.name == name and a.state == "ready" for a in at.agents()))
        yield process.pid
    finally:
        process.kill()  # a stop would wait for its probes
        await process.wait()


async def until(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Wait for it to be true. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)
