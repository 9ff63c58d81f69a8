"""Socket Mode: Slack's deliveries over a WebSocket that we dial, so that no public address is needed.

The next connection is open before the last one is left, so that nothing is missed; a connection that went deaf is
noticed and left. What was not acknowledged Slack brings again, and the door knows it by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp

from bot.adapters.slack.api import Api, proxy_for
from bot.adapters.slack.bolt import dispatch
from bot.app.ports import Clock
from bot.domain.errors import SendFailed

log = logging.getLogger(__name__)

PING_S = 10.0
"""How often we ask whether the other end is there; no answer within half of it ends the connection."""
IDLE_S = 60.0
"""Slack's servers ping several times a minute. One from which nothing came for so long may be deaf (bolt-python #1529),
even while it answers our pings: the next connection is opened."""
LINGER_S = 30.0
"""How long a connection is still read after the next one is there; Slack closes it in about ten seconds."""
HELLO_S = 10.0
FLAPPING_S = 5.0
"""When a second connection in a row is over sooner, the next one is not opened at once."""
LONGEST_WAIT_S = 30.0
REFUSED_WAIT_S = 60.0
"""After a refusal for good; somebody may mend the token without restarting us."""


@dataclass(eq=False)
class _Connection:
    ws: aiohttp.ClientWebSocketResponse
    heard: float
    """When the server last sent something by itself, on the clock that never steps."""
    greeted: asyncio.Event = field(default_factory=asyncio.Event)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the next connection should be opened."""


class SocketMode:
    """Holds one connection for as long as `run` runs."""

    def __init__(
        self,
        api: Api,
        app: AsyncApp,
        *,
        app_token: str,
        clock: Clock,
        ping_s: float = PING_S,
        idle_s: float = IDLE_S,
        linger_s: float = LINGER_S,
    ) -> None:
        self._api = api
        self._app = app
        self._app_token = app_token.strip()
        self._clock = clock
        self._ping_s = ping_s
        self._idle_s = idle_s
        self._linger_s = linger_s
        self._current: _Connection | None = None
        self._readers: set[asyncio.Task[None]] = set()
        self._working: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        """Whether deliveries can arrive."""
        return self._current is not None and not self._current.ws.closed

    async def run(self) -> None:
        """Stay connected until cancelled; then acknowledge what is being taken in, and hang up."""
        failures = 0
        try:
            while True:
                try:
                    connection, reader = await self._open()
                except SendFailed as exc:
                    failures += 1
                    wait_s = _pause(failures, exc)
                    log.warning("no Socket Mode connection (%s); trying again in %.0f s", exc, wait_s)
                    await self._clock.sleep(wait_s)
                    continue
                began = self._clock.monotonic()
                await self._stay(connection, reader)
                failures = 0 if self._clock.monotonic() - began > FLAPPING_S else failures + 1
                if failures > 1:
                    await self._clock.sleep(_pause(failures - 1))
        finally:
            await self._end()

    async def _open(self) -> tuple[_Connection, asyncio.Task[None]]:
        """The next connection, greeted by Slack; the one before it is left to run out. Raises SendFailed."""
        answer = await self._api.call(self._api.client.apps_connections_open, app_token=self._app_token)
        url = str(answer.get("url", ""))
        if not url.startswith(("ws://", "wss://")):
            raise SendFailed("apps.connections.open: no address in the answer")
        try:
            ws = await self._api.opened().ws_connect(
                url, autoping=False, heartbeat=self._ping_s, proxy=proxy_for(url), max_msg_size=16 * 1024 * 1024
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise SendFailed(f"the socket cannot be opened: {str(exc)[:200] or type(exc).__name__}") from exc
        connection = _Connection(ws, self._clock.monotonic())
        reader = asyncio.create_task(self._read(connection))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        try:
            async with asyncio.timeout(HELLO_S):
                await connection.greeted.wait()
        except TimeoutError as exc:
            await self._hang_up(connection)
            raise SendFailed("the socket opened and Slack did not greet") from exc
        if connection.ws.closed:
            raise SendFailed("Slack closed the socket at once")
        previous, self._current = self._current, connection
        if previous is not None:
            self._spawn(self._run_out(previous))
        log.info("connected to Slack by Socket Mode")
        return connection, reader

    async def _stay(self, connection: _Connection, reader: asyncio.Task[None]) -> None:
        """Until the connection has ended or the next one is wanted."""
        leave = asyncio.create_task(connection.leave.wait())
        try:
            await asyncio.wait({leave, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leave.cancel()

    async def _read(self, connection: _Connection) -> None:
        """Take what comes, until the connection ends."""
        ws = connection.ws
        try:
            while True:
                frame = await ws.receive()
                if frame.type is aiohttp.WSMsgType.TEXT:
                    connection.heard = self._clock.monotonic()
                    self._take(connection, frame.data)
                elif frame.type is aiohttp.WSMsgType.PING:
                    connection.heard = self._clock.monotonic()
                    with contextlib.suppress(ConnectionError):
                        await ws.pong(frame.data)
                elif frame.type is aiohttp.WSMsgType.PONG:
                    if self._clock.monotonic() - connection.heard > self._idle_s:
                        connection.leave.set()
                elif frame.type is not aiohttp.WSMsgType.BINARY:
                    return
        except (aiohttp.ClientError, OSError) as exc:
            log.info("a Socket Mode connection broke: %s", exc)
        finally:
            connection.greeted.set()
            await ws.close()

    def _take(self, connection: _Connection, text: str) -> None:
        try:
            frame = json.loads(text)
        except ValueError:
            frame = None
        if not isinstance(frame, dict):
            log.warning("Slack sent a frame that is no object")
            return
        match frame.get("type"):
            case "hello":
                connection.greeted.set()
            case "disconnect":
                self._told_to_leave(connection, str(frame.get("reason", "")))
            case _ if isinstance(frame.get("envelope_id"), str):
                self._spawn(self._envelope(connection, frame))
            case other:
                log.info("Slack sent a frame of no interest: %s", str(other)[:60])

    def _told_to_leave(self, connection: _Connection, reason: str) -> None:
        if reason == "link_disabled":
            log.error("Socket Mode is switched off in the app's settings (Socket Mode, Enable); nothing can arrive")
        elif reason == "too_many_websockets":
            log.error("Slack allows ten sockets for each app, and more than ten bots are connected")
        else:
            log.info("Slack closes this connection soon: %s", reason)
        connection.leave.set()

    async def _envelope(self, connection: _Connection, frame: Mapping[str, Any]) -> None:
        """Bring one delivery in, and acknowledge it once it is recorded."""
        payload = frame.get("payload")
        if isinstance(payload, dict):
            try:
                answer = await dispatch(self._app, payload, {"content-type": "application/json"})
            except Exception:
                # Bolt looks into fields of its own before it routes anything.
                log.warning("an envelope is not readable for Bolt", exc_info=True)
                answer = BoltResponse(status=400)
            if answer.status == 503:
                return  # Slack brings it again.
            said = _said(answer) if frame.get("accepts_response_payload") else None
        else:
            log.warning("Slack sent an envelope without a payload")
            said = None
        ack = {"envelope_id": frame["envelope_id"], **({"payload": said} if said else {})}
        await self._acknowledge(connection, json.dumps(ack))

    async def _acknowledge(self, connection: _Connection, ack: str) -> None:
        """On the socket it came by, or on the one we have by now."""
        for ws in filter(None, (connection.ws, self._current.ws if self._current else None)):
            if not ws.closed:
                with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                    await ws.send_str(ack)
                    return
        log.warning("a delivery could not be acknowledged, no socket is open; Slack will bring it again")

    async def _run_out(self, connection: _Connection) -> None:
        """Read a connection that was left for a while longer: Slack may still use it."""
        until = self._clock.monotonic() + self._linger_s
        while not connection.ws.closed and self._clock.monotonic() < until:
            await self._clock.sleep(0.2)
        await self._hang_up(connection)

    async def _hang_up(self, connection: _Connection) -> None:
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(2):
                await connection.ws.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _end(self) -> None:
        current, self._current = self._current, None
        if self._working:
            await asyncio.wait(self._working, timeout=2.5)
        if current is not None:
            await self._hang_up(current)
        for task in (*self._readers, *self._working):
            task.cancel()
        await asyncio.gather(*self._readers, *self._working, return_exceptions=True)


def _said(answer: BoltResponse) -> dict[str, Any] | None:
    """What goes with the acknowledgement: only a command has something to say."""
    if answer.status != 200 or not answer.body:
        return None
    try:
        body = json.loads(answer.body)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _pause(failures: int, exc: SendFailed | None = None) -> float:
    """How long to wait before the next try: longer each time, and not all bots at the same moment."""
    if exc is not None and exc.permanent:
        return REFUSED_WAIT_S
    wait_s = min(LONGEST_WAIT_S, 2.0 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    return max(wait_s, (exc.retry_after_s or 0.0) if exc is not None else 0.0)
