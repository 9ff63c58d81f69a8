"""The robot's one long connection, around the WeCom team's library, whose gaps are filled here.

The library reconnects only after an abnormal close and goes deaf after a clean one; so it is told to make no second
try of its own, its receiving task is watched, and this loop connects anew. It takes no CA: its module's is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aibot.ws
from aibot import WSClient, WSClientOptions, generate_req_id

from bot.adapters.wecom.trouble import number_of, refused, words
from bot.domain.errors import SendFailed
from bot.domain.platforms import WeComBot

log = logging.getLogger("warroom.wecom")

ASK_S = 2.0
"""How often it is asked whether this bot may (still) hold the connection."""
CONNECT_S = 10.0
LONGEST_PAUSE_S = 30.0
STOOD_BACK_S, LONGEST_STOOD_BACK_S = 3.0, 300.0
"""Pauses after somebody else took the connection although it is ours to hold: two that fight are worse than one."""
LASTED_S = 60.0
HEARTBEAT_MS = 30_000
Frame = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a session ended. `kicked`: another connection of this robot took over."""

    why: str
    kicked: bool = False


class _Quiet:
    """The library's log: it would write whole messages at debug, so that is left out."""

    def debug(self, _message: str, *_args: object) -> None:
        return

    info = debug

    def warn(self, message: str, *_args: object) -> None:
        log.info("robot's connection: %s", message[:200])

    error = warn


class Link:
    """`run` keeps the connection while `holds` allows; `heard` gets every frame that comes in, in order."""

    def __init__(self, bot: WeComBot, *, holds: Callable[[], Awaitable[bool]], heard: Callable[[Frame], None]) -> None:
        self._bot, self._holds, self._heard = bot, holds, heard
        self._client: Any = None
        self._subscribed = False
        self._kicked = asyncio.Event()
        self.mine = False
        """Whether this bot holds the connection, or would if it could."""

    @property
    def connected(self) -> bool:
        """Whether the robot is reached just now."""
        return self._subscribed and self._client is not None and bool(self._client.is_connected)

    async def run(self) -> None:
        """Hold the connection until cancelled."""
        failures = kicks = 0
        while True:
            self.mine = await self._allowed()
            if not self.mine:
                await asyncio.sleep(ASK_S)
                continue
            began = asyncio.get_running_loop().time()
            ended = await self._session()
            lasted = asyncio.get_running_loop().time() - began
            failures = 1 if lasted > LASTED_S else failures + 1
            kicks = kicks + 1 if ended.kicked else 0
            log.warning("the robot's connection ended: %s", ended.why)
            await self._pause(failures, kicks)

    async def send(self, cmd: str, body: Mapping[str, Any], *, req_id: str = "") -> Frame:
        """One frame and WeCom's answer to it. Raises SendFailed; uncertain when no answer came."""
        if not self.connected:
            raise SendFailed("the robot's long connection is down")
        try:
            answer: Frame = await self._client._ws_manager.send_reply(req_id or generate_req_id(cmd), dict(body), cmd)  # noqa: SLF001 - no public way for other commands
        except TimeoutError as exc:
            raise SendFailed("the robot got no answer within 5 s", uncertain=True) from exc
        except RuntimeError as exc:
            found = number_of(str(exc))
            if found is not None and (self._kicked.is_set() or not self.connected):
                # Said of the connection and not of the message: it is taken on the next one.
                raise SendFailed("another connection of this robot took over") from exc
            if found is not None:
                raise refused(cmd, *found, secrets=(self._bot.secret,)) from exc
            raise SendFailed("the robot's connection broke before the answer", uncertain=True) from exc
        return answer

    async def try_secret(self) -> str:
        """Subscribe once for `warroom doctor`: "" when WeCom takes the secret, else why not. It kicks a live one."""
        trouble = ""
        async with self._client_of(_nothing) as client:
            try:
                await self._subscribe(client)
            except SendFailed as exc:
                trouble = str(exc)
        return trouble

    async def _allowed(self) -> bool:
        try:
            return await self._holds()
        except Exception:
            log.exception("cannot tell whether this bot holds the robot's connection")
            return self.mine

    async def _pause(self, failures: int, kicks: int) -> None:
        if kicks:
            wait = min(LONGEST_STOOD_BACK_S, STOOD_BACK_S * 2.0 ** (kicks - 1))
        else:
            wait = min(LONGEST_PAUSE_S, 0.5 * 2.0 ** min(failures - 1, 10))
        until = asyncio.get_running_loop().time() + wait * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret
        while (left := until - asyncio.get_running_loop().time()) > 0:
            # Who has to stand back keeps asking: the lease must not run out while the connection is only broken.
            self.mine = await self._allowed()
            await asyncio.sleep(min(ASK_S, left))

    async def _session(self) -> Ended:
        self._kicked = kicked = asyncio.Event()

        def event(frame: Frame) -> None:
            if _event_of(frame) == "disconnected_event":
                kicked.set()
            else:
                self._heard(frame)

        async with self._client_of(event) as client:
            try:
                await self._subscribe(client)
            except SendFailed as exc:
                return Ended(why=str(exc))
            self._client, self._subscribed = client, True
            log.info("the robot is connected")
            try:
                return await self._watch(client, kicked)
            finally:
                self._client, self._subscribed = None, False

    async def _watch(self, client: Any, kicked: asyncio.Event) -> Ended:
        receiving = client._ws_manager._receive_task  # noqa: SLF001 - the only sign of a clean close
        gone = asyncio.create_task(kicked.wait())
        try:
            while True:
                await asyncio.wait({receiving, gone}, timeout=ASK_S, return_when=asyncio.FIRST_COMPLETED)
                if kicked.is_set():
                    return Ended(why="another connection of this robot took over", kicked=True)
                if receiving.done() or not client.is_connected:
                    return Ended(why="closed by WeCom or the network")
                self.mine = await self._allowed()
                if not self.mine:
                    return Ended(why="another bot holds it now")
        finally:
            gone.cancel()

    async def _subscribe(self, client: Any) -> None:
        """Connect and show the secret. Raises SendFailed."""
        said: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def tell(why: str) -> None:
            if not said.done():
                said.set_result(why)

        client.on("authenticated", lambda: tell(""))
        client.on("error", lambda error: tell(_why(error)))
        client.on("disconnected", lambda _reason: tell("closed before the secret was accepted"))
        try:
            async with asyncio.timeout(CONNECT_S):
                await client.connect()
                why = await said
        except TimeoutError as exc:
            raise SendFailed(f"no answer from {self._bot.url} within {CONNECT_S:g} s") from exc
        if why:
            raise SendFailed(f"{self._bot.url}: {why}")

    @contextlib.asynccontextmanager
    async def _client_of(self, event: Callable[[Frame], None]) -> Any:
        options = WSClientOptions(
            bot_id=self._bot.bot_id,
            secret=self._bot.secret,
            ws_url=self._bot.url,
            max_reconnect_attempts=0,
            heartbeat_interval=HEARTBEAT_MS,
            logger=_Quiet(),
        )
        # The library trusts certifi's roots only; this is what everybody else here trusts, SSL_CERT_FILE included.
        aibot.ws._SSL_CONTEXT = ssl.create_default_context(cafile=self._bot.ca_file or None)  # noqa: SLF001
        client = WSClient(options)
        client.on("message", self._heard if event is not _nothing else _nothing)
        client.on("event", event)
        try:
            yield client
        finally:
            manager = client._ws_manager  # noqa: SLF001 - its own way leaves a task behind
            manager._is_manual_close = True  # noqa: SLF001
            manager._stop_heartbeat()  # noqa: SLF001
            manager._clear_pending_messages("connection closed")  # noqa: SLF001
            with contextlib.suppress(Exception):
                await asyncio.wait_for(manager._async_disconnect(), 2.0)  # noqa: SLF001


def _nothing(_frame: Frame) -> None:
    return


def _event_of(frame: Frame) -> str:
    body = frame.get("body")
    event = body.get("event") if isinstance(body, Mapping) else None
    return str(event.get("eventtype")) if isinstance(event, Mapping) else ""


def _why(error: Exception) -> str:
    said = str(error)
    found = said.rpartition("(code: ")
    code = found[2].rstrip(")")
    if found[1] and code.lstrip("-").isdigit():
        return f"the robot's id or secret is not accepted: {words(int(code), found[0].partition(': ')[2].strip())}"
    return f"cannot connect: {type(error).__name__} {said[:160]}"
