"""Byte streams over a connected socket, plain or TLS, the same on every event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol, TypeVar

from bot.probes.classify import Closed
from bot.probes.net import ready
from bot.probes.net.ready import Socket

CHUNK = 65536
T = TypeVar("T")


class Stream(Protocol):
    """What an exchange needs of a connection; cancelling any call is safe."""

    async def send(self, data: bytes) -> None:
        """Write all of it. Raises OSError."""
        ...

    async def receive(self) -> bytes:
        """Some bytes, or b"" at the end. Raises OSError."""
        ...


class Plain:
    """A stream without TLS."""

    def __init__(self, sock: Socket) -> None:
        self._sock = sock

    async def send(self, data: bytes) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                await ready.change(self._sock)

    async def receive(self) -> bytes:
        """Some bytes, or b"" at the end."""
        waited = False
        while True:
            try:
                data = self._sock.recv(CHUNK)
            except BlockingIOError:
                await ready.change(self._sock)
                waited = True
                continue
            if not waited:
                # Where data is always there nobody else would get a turn, not even a time limit.
                await asyncio.sleep(0)
            return data


class Tls:
    """TLS over a connected socket; `shake` first."""

    def __init__(self, sock: Socket, context: ssl.SSLContext, server_name: str) -> None:
        self._wire = Plain(sock)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self._in, self._out, server_hostname=server_name or None)

    async def shake(self) -> None:
        """The handshake. Raises ssl.SSLError, Closed or OSError; an alert of ours still goes out."""
        try:
            await self._drive(self.object.do_handshake)
        except ssl.SSLEOFError as exc:
            raise Closed from exc
        except ssl.SSLError:
            with contextlib.suppress(OSError):
                await self._flush()
            raise

    async def send(self, data: bytes) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            written = await self._drive(partial(self.object.write, view))
            view = view[written:]

    async def receive(self) -> bytes:
        """Some bytes, or b"" at the end, with or without close_notify: HTTP knows its own end."""
        try:
            return await self._drive(lambda: self.object.read(CHUNK))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def _drive(self, step: Callable[[], T]) -> T:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._wire.receive()
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
                continue
            await self._flush()
            return result

    async def _flush(self) -> None:
        if self._out.pending:
            await self._wire.send(self._out.read())


@lru_cache(maxsize=4)
def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """The system's roots and those of `ca_file`. Raises OSError when it cannot be read."""
    context = _client()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


@lru_cache(maxsize=1)
def unverified() -> ssl.SSLContext:
    """For looking at a certificate that did not verify; nothing else is ever sent over it."""
    context = _client()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _client() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # A server may ask for a new handshake as often as it likes (TLS 1.2); a probe needs none, and it costs us most.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context
