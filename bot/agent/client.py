"""The agent's connection to the hub: dial out, introduce, work, and dial again with jitter."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import time
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from bot.agent.runner import Runner
from bot.domain.errors import ConfigError, FrameError, WarroomError
from bot.domain.failure import Failure
from bot.domain.probe import Agent
from bot.probes.base import failed
from bot.wire.frames import MAX_FRAME, REPLACED, Hello, Job, Refused, Result, Status, Welcome, decode, encode
from bot.wire.signing import Signer, Verifier

log = logging.getLogger("warroom.agent")

CONNECT_PATH = "/agents/connect"
FIRST_RETRY_S = 0.5
MAX_RETRY_S = 30.0
WELCOME_WITHIN_S = 10.0
DRAIN_S = 10.0


class RefusedByHub(WarroomError):
    """The hub will not have this agent; the message is its reason and asking again will not help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubAddress:
    """Where to dial and what to show there."""

    url: str
    token: str = field(repr=False)
    tls: ssl.SSLContext | None = None


def hub_url(url: str) -> str:
    """The WebSocket URL for what was typed: `ws://host:8800` gets the path. Raises ConfigError."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ConfigError(f"--hub {url!r} must read wss://host[:port] or ws://host[:port]")
    path = parts.path if parts.path not in ("", "/") else CONNECT_PATH
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def spell(result: Result, signer: Signer) -> str:
    """The result as a frame. One that cannot travel becomes our own trouble, lest the hub wait for it."""
    try:
        return encode(result, signer)
    except FrameError as exc:
        outcome = failed(Failure.AGENT_ERROR, reason=f"the result cannot be sent: {exc}"[:500])
        return encode(replace(result, outcome=outcome), signer)


class AgentClient:
    """Keeps one connection to the hub alive until stopped."""

    def __init__(self, *, agent: Agent, hub: HubAddress, runner: Runner, signer: Signer) -> None:
        self._agent = agent
        self._hub = hub
        self._runner = runner
        self._signer = signer
        self._tries = 0
        self.stop = asyncio.Event()

    async def run(self) -> None:
        """Connect, work, reconnect. Returns after `stop`; raises RefusedByHub on a refusal for good."""
        lag = asyncio.create_task(self._runner.watch_lag())
        try:
            while not self.stop.is_set():
                try:
                    await self._connected()
                except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError, FrameError) as exc:
                    _refusal(exc)
                    log.warning("hub %s: %s", self._hub.url, str(exc) or type(exc).__name__)
                self._runner.abandon()
                if not self.stop.is_set():
                    await self._pause()
        except InvalidURI as exc:
            raise RefusedByHub(f"--hub {self._hub.url!r} is no WebSocket URL") from exc
        finally:
            lag.cancel()

    async def _pause(self) -> None:
        """Full jitter (AWS architecture blog): after a hub restart a thousand agents must not return at once."""
        limit = min(MAX_RETRY_S, FIRST_RETRY_S * 2**self._tries)
        self._tries += 1
        try:
            await asyncio.wait_for(self.stop.wait(), timeout=random.uniform(0.1, limit))  # noqa: S311 - spreading load
        except TimeoutError:
            return

    async def _connected(self) -> None:
        async with connect(
            self._hub.url,
            additional_headers={"Authorization": f"Bearer {self._hub.token}"},
            ssl=self._hub.tls,
            max_size=MAX_FRAME,
            compression=None,
            open_timeout=WELCOME_WITHIN_S,
            ping_interval=10,
            ping_timeout=10,
            close_timeout=2,
            proxy=None,
        ) as socket:
            await socket.send(encode(Hello(agent=self._agent, public_key=self._signer.public), self._signer))
            welcome = decode(await asyncio.wait_for(socket.recv(), WELCOME_WITHIN_S))
            if isinstance(welcome, Refused):
                raise RefusedByHub(welcome.reason)
            if not isinstance(welcome, Welcome):
                raise FrameError("the hub did not answer with a welcome")
            log.info("connected to %s as %s", self._hub.url, self._agent.name)
            self._tries = 0
            hub_now_s = welcome.now - time.monotonic()
            await self._serve(socket, Verifier(welcome.public_key), hub_now_s)
        if not self.stop.is_set():
            log.warning("hub %s: the hub closed the connection", self._hub.url)

    async def _serve(self, socket: ClientConnection, hub: Verifier, hub_now_s: float) -> None:
        """Take jobs until the connection ends. `hub_now_s` + `time.monotonic()` is the time by the hub's clock."""

        async def send(result: Result) -> None:
            try:
                await socket.send(spell(result, self._signer))
            except ConnectionClosed as exc:
                raise FrameError("the connection closed before the result was sent") from exc

        leaving = asyncio.create_task(self._leave(socket))
        try:
            async for text in socket:
                try:
                    frame = decode(text, hub)
                    if isinstance(frame, Job):
                        # Ours may be set at any moment, so the hub's clock is reckoned on one that never steps.
                        hub_ahead_s = hub_now_s + time.monotonic() - time.time()
                        self._runner.accept(frame, send, hub_ahead_s=hub_ahead_s)
                except FrameError as exc:
                    log.warning("refused a frame: %s", exc)
        finally:
            leaving.cancel()

    async def _leave(self, socket: ClientConnection) -> None:
        """On stop: say so, finish what runs, close."""
        await self.stop.wait()
        with contextlib.suppress(ConnectionClosed):
            await socket.send(encode(Status(state="draining"), self._signer))
        await self._runner.drain(DRAIN_S)
        await socket.close()


def _refusal(error: Exception) -> None:
    """Raise RefusedByHub where knocking again would not help, or would throw out another process for ever."""
    if isinstance(error, InvalidStatus) and error.response.status_code in (401, 403):
        raise RefusedByHub(
            "the hub refused the token (HTTP "
            f"{error.response.status_code}); check that WARROOM_AGENT_TOKEN is the one the bot runs with"
        ) from error
    if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code == REPLACED:
        raise RefusedByHub("another process with this --name and key has connected; give each agent its own --name")
