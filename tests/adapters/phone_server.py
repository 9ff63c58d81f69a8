"""A phone provider on loopback that can behave as badly as real ones do, and counts what it did."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Act = Callable[["PhoneServer", Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class PhoneServer:
    """`acts` are the answers to the coming requests; afterwards every call is accepted.

    `requests` holds all of them; `effects` counts calls placed for each Idempotency-Key (one at most: it honours keys).
    """

    url: str = ""
    acts: list[Act] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)

    def place_call(self, request: Request) -> None:
        self.effects[request.headers["idempotency-key"]] |= 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                request = Request(headers, body)
                self.requests.append(request)
                act = self.acts.pop(0) if self.acts else accept
                await act(self, request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def phone_server(*acts: Act) -> AsyncIterator[PhoneServer]:
    phone = PhoneServer(acts=list(acts))
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())  # type: ignore[arg-type]
        await phone._serve(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    phone.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/call"
    try:
        yield phone
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def accept(phone: PhoneServer, request: Request, writer: asyncio.StreamWriter) -> None:
    phone.place_call(request)
    reply(writer, 202, b'{"id": "CA-1"}')


def status(code: int, *, headers: str = "") -> Act:
    async def act(phone: PhoneServer, request: Request, writer: asyncio.StreamWriter) -> None:
        reply(writer, code, b"no", headers=headers)

    return act


async def call_then_hang(phone: PhoneServer, request: Request, writer: asyncio.StreamWriter) -> None:
    phone.place_call(request)
    await asyncio.sleep(30)


async def call_then_reset(phone: PhoneServer, request: Request, writer: asyncio.StreamWriter) -> None:
    phone.place_call(request)
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def drip(phone: PhoneServer, request: Request, writer: asyncio.StreamWriter) -> None:
    phone.place_call(request)
    for byte in b"HTTP/1.1 200 OK\r\nx-slow: " + b"z" * 300:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def accept_then_cut(phone: PhoneServer, request: Request, writer: asyncio.StreamWriter) -> None:
    phone.place_call(request)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    writer.transport.abort()


def reply(writer: asyncio.StreamWriter, code: int, body: bytes, *, headers: str = "") -> None:
    writer.write(f"HTTP/1.1 {code} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body)
