"""A fault proxy between the bot and its provider; what it does to a request is drawn from a seeded plan."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tests.faults.http1 import Heard, answer, hear
from tests.ports import free_port

FAULTS = ("hang", "lose-then-hang", "reset", "reset-first", "429", "500", "500-first", "drip", "slow")
FORWARDED = frozenset({"hang", "reset", "500", "drip", "slow"})
"""Those after which the provider has the call although the bot may not know."""
REFUSING_S = 0.4


@dataclass(frozen=True)
class Injected:
    """One request and what was done to it; `answered_s` is how long the provider took, where it was asked."""

    key: str
    fault: str
    at: float
    answered_s: float = 0.0


@dataclass
class Proxy:
    """`share` of the requests go wrong; now and then the port is closed for a moment, which is a real refusal."""

    target: int
    seed: int
    share: float = 0.3
    hang_s: float = 3.0
    plan: list[str] = field(default_factory=list)
    """What is done to the coming requests, before the dice are asked; "" is nothing."""
    injected: list[Injected] = field(default_factory=list)
    refusals: int = 0
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def refuse(self) -> None:
        """Nobody listens for a moment."""
        await self.stop()
        self.refusals += 1
        await asyncio.sleep(REFUSING_S)
        await self.start()

    def _next(self) -> str:
        if self.plan:
            return self.plan.pop(0)
        return self._dice.choice(FAULTS) if self._dice.random() < self.share else ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await hear(reader)
            at, fault = time.monotonic(), self._next()
            reply = b""
            if not fault or fault in FORWARDED:
                reply = await self._forward(request)
            key = request.headers.get("idempotency-key", "")
            self.injected.append(Injected(key, fault, at, time.monotonic() - at))
            await self._answer(fault, reply, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _forward(self, request: Heard) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        writer.write(request.raw)
        reply = await hear(reader)
        writer.close()
        return reply.raw

    async def _answer(self, fault: str, reply: bytes, writer: asyncio.StreamWriter) -> None:
        if fault in ("hang", "lose-then-hang"):
            await asyncio.sleep(self.hang_s)
        elif fault in ("reset", "reset-first"):
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif fault == "429":
            writer.write(answer(429, more="retry-after: 1\r\n"))
        elif fault in ("500", "500-first"):
            writer.write(answer(503))
        elif fault == "drip":
            for byte in reply:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(self.hang_s / 40)
        else:
            if fault == "slow":
                await asyncio.sleep(0.3)
            writer.write(reply)
        with suppress(OSError):
            await writer.drain()
