"""Stand-ins for phone providers: servers on loopback that speak a provider's API and keep to its rules.

Each counts the calls it has placed. What goes wrong on the way (`act`) goes wrong after the provider has done its work,
as it does in the wild: that is what makes an answer uncertain.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit

from bot.domain.pager_kinds import PagerConfig

Trouble = Literal["hang", "reset", "cut", "500", "503", "throttle", "refuse"]


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(frozen=True)
class Reply:
    status: int
    row: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return b"" if self.row is None else json.dumps(self.row, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Rung:
    """A phone that rang, or an alert that was opened. `key` is what of ours came with it."""

    ref: str
    key: str
    to: str
    said: str


class Provider:
    """What all stand-ins share; a subclass answers `handle` and says how it is configured."""

    kind = ""
    secrets: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.rung: list[Rung] = []
        self.troubles: list[Trouble] = []

    def config(self, **more: Any) -> PagerConfig:
        """How the bot is told of it."""
        raise NotImplementedError

    def handle(self, asked: Asked) -> Reply:
        """Do what was asked, if it may be done."""
        raise NotImplementedError

    def refuses(self) -> Reply:
        """Its real words for something it will never do."""
        raise NotImplementedError

    def throttles(self) -> Reply:
        """Its real words for too much."""
        raise NotImplementedError

    def answers(self, rung: Rung, *, digits: str = "", forged: bool = False) -> dict[str, Any]:
        """A report of that call as it sends one: keyword arguments of `Given` but for the address in front."""
        raise NotImplementedError

    def place(self, key: str, to: str, said: str) -> Rung:
        rung = Rung(ref=f"{self.kind}-{len(self.rung) + 1}", key=key, to=to, said=said)
        self.rung.append(rung)
        return rung

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines if line)}
                method, target, _ = first.split(" ")
                asked = Asked(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))
                self.asked.append(asked)
                await self._reply(asked, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _reply(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble in ("throttle", "refuse"):
            reply = self.throttles() if trouble == "throttle" else self.refuses()
        else:
            reply = self.handle(asked)
        if trouble in ("500", "503"):
            reply = Reply(int(trouble), {"message": "upstream"})
        if trouble == "hang":
            await asyncio.sleep(30)
        if trouble == "reset":
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        length = len(reply.body) + (100 if trouble == "cut" else 0)
        writer.write(f"HTTP/1.1 {reply.status} X\r\ncontent-length: {length}\r\n{more}\r\n".encode() + reply.body)
        await writer.drain()
        if trouble == "cut":
            writer.transport.abort()


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[Provider]:
    """The provider on a port of loopback."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(asyncio.CancelledError):
            await provider.serve(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
