"""From 10, 100 or 1,000 agents: ask each one thing and have every answer, beside bare WebSockets and bare NATS.

The agents live in a process of their own (`tests.bench.crowd`), the same for both sides; what is timed is one process
sending so many messages and taking in so many answers. Messages of the bare side are as long as ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from statistics import median

import nats
import uvicorn
import uvloop
from nats.aio.msg import Msg
from starlette.applications import Starlette
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bot.adapters.agents import AgentDesk, websocket_routes
from bot.adapters.agents.nats import NatsAddress, NatsHub
from bot.domain.probe import ProbeRequest
from bot.wire.frames import Hello
from bot.wire.nats import Subjects, server
from bot.wire.signing import Signer
from tests.bench.crowd import TOKEN, more_files
from tests.bench.table import Effort, Row

TIMES = 1.3
SIZES = (10, 100, 1000)
JOB, RESULT = 560, 360
"""Characters of a job and of a result of ours."""
LOOPBACK = "127.0.0.1"
NATS = os.environ.get("WARROOM_TEST_NATS", "nats://127.0.0.1:4222")
Round = Callable[[], Awaitable[float]]
"""One fan-out and gather; milliseconds."""


def fanout(effort: Effort) -> Iterable[Row]:
    """Every size on every transport."""
    more_files()
    for size in SIZES if effort.rounds > 1 else SIZES[:1]:
        yield from uvloop.run(_both(size, effort))


async def _both(size: int, effort: Effort) -> list[Row]:
    return [
        await _row("WebSocket", size, effort, _desk_on_websocket(size), _bare_websockets(size), "bare websockets"),
        await _row("NATS", size, effort, _desk_on_nats(size), _bare_nats(size), "bare NATS request-many"),
    ]


async def _row(
    transport: str,
    size: int,
    effort: Effort,
    ours: AbstractAsyncContextManager[Round],
    bare: AbstractAsyncContextManager[Round],
    peer: str,
) -> Row:
    """Rounds of ours and theirs in turn."""
    took: list[tuple[float, float]] = []
    async with ours as one, bare as other:
        for n in range(effort.rounds * 6 + 2):
            pair = await one(), await other()
            if n > 1:  # the first ones warm both up
                took.append(pair)
    ratio = median(mine / theirs for mine, theirs in took)
    return Row(
        row=f"fan-out to {size} agents, {transport}",
        unit="ms",
        ours=float(f"{median(mine for mine, _ in took):.3g}"),
        peer=float(f"{median(theirs for _, theirs in took):.3g}"),
        peer_name=peer,
        ratio=round(ratio, 2),
        goal=f"<= {TIMES:g} x peer",
        met=ratio <= TIMES,
        note="every job and result sealed and checked",
    )


class _Open:
    """A door that knows the crowd's token."""

    async def admit(self, _hello: Hello, proven: Callable[[str], bool]) -> str:
        return TOKEN if proven(TOKEN) else ""


@asynccontextmanager
async def _crowd(kind: str, url: str, size: int) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "tests.bench.crowd", kind, url, str(size)]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise RuntimeError("the crowd did not come")


def _asking(desk: AgentDesk, size: int) -> Round:
    requests = [
        ProbeRequest(
            id=f"agent-{n}/tcp/api/443",
            probe="tcp/api",
            kind="tcp",
            layer="tcp",
            target="https://api.example.com",
            agent=f"agent-{n}",
            params={"address": "203.0.113.7", "port": 443, "tries": 1, "timeout_ms": 2000},
            timeout_s=5.0,
        )
        for n in range(size)
    ]

    async def one() -> float:
        began = time.perf_counter()
        seen = [o async for o in desk.ask(requests, deadline_s=20)]
        took_ms = (time.perf_counter() - began) * 1000
        if len(seen) != size or not all(o.ok for o in seen):
            raise RuntimeError(f"{sum(not o.ok for o in seen)} of {size} agents did not answer")
        return took_ms

    return one


def _here(desk: AgentDesk, size: int) -> Callable[[], bool]:
    return lambda: sum(a.state == "ready" for a in desk.agents()) == size


@asynccontextmanager
async def _desk_on_websocket(size: int) -> AsyncIterator[Round]:
    desk = AgentDesk(signer=Signer(), door=_Open())
    config = uvicorn.Config(
        Starlette(routes=websocket_routes(desk)),
        host=LOOPBACK,
        port=0,
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
    served = uvicorn.Server(config)
    serving = asyncio.create_task(served.serve())
    await _until(lambda: served.started)
    port = served.servers[0].sockets[0].getsockname()[1]
    try:
        async with _crowd("ours", f"ws://{LOOPBACK}:{port}/agents/connect", size):
            await _until(_here(desk, size))
            yield _asking(desk, size)
    finally:
        served.should_exit = True
        await serving


@asynccontextmanager
async def _bare_websockets(size: int) -> AsyncIterator[Round]:
    here: set[ServerConnection] = set()
    heard: asyncio.Queue[object] = asyncio.Queue()

    async def connected(socket: ServerConnection) -> None:
        here.add(socket)
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                heard.put_nowait(text)

    async def one() -> float:
        began = time.perf_counter()
        for socket in here:
            await socket.send("x" * JOB)
        for _ in range(size):
            await heard.get()
        return (time.perf_counter() - began) * 1000

    async with serve(connected, LOOPBACK, 0, compression=None, ping_interval=None) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        async with _crowd("websockets", f"ws://{LOOPBACK}:{port}", size):
            await _until(lambda: len(here) == size)
            yield one


@asynccontextmanager
async def _desk_on_nats(size: int) -> AsyncIterator[Round]:
    desk = AgentDesk(signer=Signer(), door=_Open())
    prefix = f"bench{secrets.token_hex(4)}"
    hub = NatsHub(desk, NatsAddress(server=server(NATS, "NATS"), subjects=Subjects(prefix)))
    running = asyncio.create_task(hub.run())
    await hub.connected.wait()
    try:
        async with _crowd("ours", f"{NATS}#{prefix}", size):
            await _until(_here(desk, size))
            yield _asking(desk, size)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def _bare_nats(size: int) -> AsyncIterator[Round]:
    prefix = f"bench{secrets.token_hex(4)}"
    here: list[Msg] = []
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    client = await nats.connect(NATS)

    async def came(message: Msg) -> None:
        here.append(message)

    async def answered(message: Msg) -> None:
        heard.put_nowait(message.data)

    async def one() -> float:
        began = time.perf_counter()
        for n in range(size):
            await client.publish(f"{prefix}.job.{n}", b"x" * JOB, reply=f"{prefix}.reply.{n}")
        for _ in range(size):
            await heard.get()
        return (time.perf_counter() - began) * 1000

    try:
        await client.subscribe(f"{prefix}.here", cb=came)
        await client.subscribe(f"{prefix}.reply.*", cb=answered)
        async with _crowd("nats", f"{NATS}#{prefix}", size):
            await _until(lambda: len(here) == size)
            yield one
    finally:
        await client.close()
