"""A hub that says what a test has it say."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from bot.domain.probe import ProbeRequest
from bot.wire.frames import Frame, Hello, Job, Status
from bot.wire.handshake import HubHandshake
from bot.wire.session import Session
from bot.wire.signing import Signer
from tests.wire.peers import HOST, TOKEN


@dataclass
class Meeting:
    """An agent that was welcomed and has reported ready."""

    socket: ServerConnection
    session: Session
    hello: Hello
    ready: Status

    async def give(self, frame: Frame) -> str:
        """Send a frame, sealed; returns the text, which a test may send again."""
        text = self.session.seal(frame)
        await self.socket.send(text)
        return text

    async def hear(self) -> Frame:
        """What the agent says next, its seal checked."""
        return self.session.open(str(await asyncio.wait_for(self.socket.recv(), 30)))

    async def silence(self, seconds: float = 0.3) -> None:
        """The agent says nothing for so long."""
        with contextlib.suppress(TimeoutError):
            raise AssertionError(f"the agent said {await asyncio.wait_for(self.socket.recv(), seconds)!r}")


@dataclass
class FalseHub:
    """`clock_s` is how far its clock is ahead; `token` the one it knows; `heard` counts connections."""

    signer: Signer = field(default_factory=Signer)
    token: str = TOKEN
    clock_s: float = 0.0
    first: str = ""
    """Said instead of a challenge."""
    url: str = ""
    heard: int = 0
    _met: asyncio.Queue[Meeting] = field(default_factory=asyncio.Queue)

    async def met(self) -> Meeting:
        """The next agent that introduced itself, was welcomed and is ready."""
        return await asyncio.wait_for(self._met.get(), 30)

    def now(self) -> float:
        """By its own clock."""
        return time.time() + self.clock_s

    def job(self, of: ProbeRequest, **changes: Any) -> Job:
        """An honest job by this hub's clock."""
        now = self.now()
        plain = {"id": secrets.token_hex(4), "nonce": secrets.token_hex(8), "issued": now, "expires": now + 60}
        return Job(**{**plain, "audience": of.agent, "request": of, **changes})

    async def receive(self, socket: ServerConnection) -> None:
        """One agent's connection."""
        self.heard += 1
        if self.first:
            await socket.send(self.first)
            await socket.wait_closed()
            return
        shake = HubHandshake(self.signer, now=self.now())
        await socket.send(shake.challenge())
        hello = shake.hear(str(await socket.recv()))
        token = self.token if shake.proven(self.token) else ""
        session, welcome = shake.welcome(now=self.now(), token=token)
        await socket.send(session.seal(welcome))
        status = session.open(str(await socket.recv()))
        assert isinstance(status, Status)
        self._met.put_nowait(Meeting(socket, session, hello, status))
        await socket.wait_closed()


@asynccontextmanager
async def false_hub(tls: ssl.SSLContext | None = None, **more: Any) -> AsyncIterator[FalseHub]:
    """Serve one."""
    false = FalseHub(**more)
    async with serve(false.receive, HOST, 0, ssl=tls, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        false.url = f"{'wss' if tls else 'ws'}://{HOST}:{port}/agents/connect"
        yield false
