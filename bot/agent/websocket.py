"""The agent's WebSocket to one hub: dial out, talk, and dial again with jitter."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from bot.agent.conversation import WELCOME_WITHIN_S, Party, converse
from bot.agent.dial_hub import reach
from bot.agent.hub_tls import tls_hint
from bot.agent.pipe import PipeBroken, unless
from bot.domain.errors import ConfigError, FrameError
from bot.wire.frames import MAX_FRAME

log = logging.getLogger("warroom.agent")

CONNECT_PATH = "/agents/connect"
FIRST_RETRY_S = 0.5
MAX_RETRY_S = 30.0
MOST_IN_VAIN = 64
"""Addresses that are counted, before all are tried as if for the first time; a resolver may give others each time."""


def hub_url(url: str) -> str:
    """The WebSocket URL for what was typed: `ws://host:8800` gets the path. Raises ConfigError."""
    parts = urlsplit(url)
    try:
        _ = parts.port
    except ValueError as exc:
        raise ConfigError(f"--hub {url!r}: {exc}") from exc
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.username is not None:
        raise ConfigError(f"--hub {url!r} must read wss://host[:port], ws://host[:port] or nats://host[:port]")
    path = parts.path if parts.path not in ("", "/") else CONNECT_PATH
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


@dataclass(frozen=True, kw_only=True, slots=True)
class WebSocketCarrier:
    """Keeps one connection to the hub alive until the party stops."""

    url: str
    tls: ssl.SSLContext | None = None

    async def run(self, party: Party) -> None:
        """Connect, talk, reconnect. Returns after `stop`; raises RefusedByHub on a refusal for good, ConfigError."""
        tries, in_vain = 0, Counter[str]()

        def welcomed() -> None:
            nonlocal tries
            tries = 0
            in_vain.clear()
            log.info("connected to %s as %s", self.url, party.agent.name)

        while not party.stop.is_set():
            try:
                await self._connected(party, in_vain, welcomed)
            except (OSError, InvalidHandshake, PipeBroken, TimeoutError, FrameError) as exc:
                hint = tls_hint(exc, self.url)
                log.warning("hub %s: %s%s", self.url, str(exc) or type(exc).__name__, hint and f"; {hint}")
            except InvalidURI as exc:
                raise ConfigError(f"--hub {self.url!r} is no WebSocket URL") from exc
            if not party.stop.is_set():
                await pause(party.stop, tries)
                tries += 1

    async def _connected(self, party: Party, in_vain: Counter[str], welcomed: Callable[[], None]) -> None:
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        reaching = reach(parts.hostname or "", port, party.memory.known.addresses, in_vain)
        sock, address = await unless(party.stop, reaching)
        if len(in_vain) > MOST_IN_VAIN:
            in_vain.clear()
        in_vain[address] += 1
        opening = connect(
            self.url,
            sock=sock,
            ssl=self.tls,
            max_size=MAX_FRAME,
            compression=None,
            open_timeout=WELCOME_WITHIN_S,
            ping_interval=10,
            ping_timeout=10,
            close_timeout=2,
            proxy=None,
        )
        try:
            socket = await unless(party.stop, _opened(opening))
        except BaseException:
            sock.close()
            raise
        async with socket:

            def met() -> None:
                party.memory.reached(address)
                welcomed()

            await converse(party, _Socket(socket), welcomed=met)


async def _opened(opening: connect) -> ClientConnection:
    return await opening


class _Socket:
    """A Pipe over one WebSocket, which notices by itself when the other side is gone."""

    beat_s = 0.0

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, text: str) -> None:
        try:
            await self._socket.send(text)
        except ConnectionClosed as exc:
            raise _ended(exc) from exc

    async def receive(self) -> str:
        try:
            text = await self._socket.recv()
        except ConnectionClosed as exc:
            raise _ended(exc) from exc
        if not isinstance(text, str):
            raise FrameError("frames are text; a binary one came")
        return text

    async def close(self) -> None:
        await self._socket.close()


def _ended(closed: ConnectionClosed) -> PipeBroken:
    return PipeBroken("the hub closed the connection" if closed.rcvd is not None else "the connection broke")


async def pause(stop: asyncio.Event, tries: int) -> None:
    """Full jitter (AWS architecture blog): after a hub restart a thousand agents must not return at once."""
    limit = min(MAX_RETRY_S, FIRST_RETRY_S * 2**tries)
    try:
        await asyncio.wait_for(stop.wait(), timeout=random.uniform(0.1, limit))  # noqa: S311 - spreading load
    except TimeoutError:
        return
