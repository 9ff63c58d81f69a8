"""The agent on NATS: one connection, and a talk with every hub that is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from bot.agent.conversation import Party, converse
from bot.agent.dial_hub import addresses_of
from bot.agent.pipe import PipeBroken, RefusedByHub, unless
from bot.agent.websocket import pause
from bot.domain.errors import FrameError
from bot.wire.complaints import Complaints
from bot.wire.nats import BEAT_S, SILENT_S, NatsLogin, Server, Subjects, is_token, text_of

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

log = logging.getLogger("warroom.agent")

MAX_TALKS = 32
"""Hubs that may talk to one agent at once."""
KNOCK_WITHIN_S = 2.0
"""A hub that comes up is knocked at within this time, by all agents together and not at once."""
INBOX = 4096
INBOX_BYTES = 4 * 1024 * 1024
"""What may wait to be read, of one talk, in texts and in bytes: anybody on the NATS can send it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NatsCarrier:
    """Keeps one connection to NATS, dialling anew with fresh addresses when it breaks."""

    server: Server
    login: NatsLogin = field(default_factory=NatsLogin)
    subjects: Subjects = field(default_factory=Subjects)
    tls: ssl.SSLContext | None = None

    async def run(self, party: Party) -> None:
        """Connect, talk, reconnect. Returns after `stop`; raises RefusedByHub on a refusal for good."""
        from nats.errors import Error as NatsError

        tries, complaints = 0, Complaints(log)
        while not party.stop.is_set():
            try:
                client, address = await self._connect(party, complaints)
                log.info("%s is reached as %s; waiting for a bot there", self.server.url, party.agent.name)
                tries = 0
                await _Knocking(party, client, self.subjects, address).run()
            except (PipeBroken, NatsError, OSError, TimeoutError) as exc:
                log.warning("NATS %s: %s", self.server.url, str(exc) or type(exc).__name__)
            if not party.stop.is_set():
                await pause(party.stop, tries)
                tries += 1

    async def _connect(self, party: Party, complaints: Complaints) -> tuple[Client, str]:
        """A client that does not reconnect by itself: it would ask the broken DNS again. Raises PipeBroken."""
        from nats.errors import Error as NatsError

        from bot.transport.nats import dial

        def hear(exc: Exception) -> None:
            # A connection that breaks is told where that is noticed; what the server forbids would be told nowhere.
            if "permissions violation" in str(exc).lower():
                complaints.warn("NATS %s: %s; its permissions must fit --name", self.server.url, exc)

        found, why = await addresses_of(self.server.host, party.memory.known.addresses)
        problems = [why] if why else []
        for address in found:
            try:
                name = f"warroom agent {party.agent.name}"
                dialling = dial(self.server, self.login, name=name, tls=self.tls, hear=hear, address=address)
                return await unless(party.stop, dialling), address
            except (OSError, NatsError, TimeoutError) as exc:
                problems.append(f"{address}: {str(exc) or type(exc).__name__}")
        raise PipeBroken("; ".join(problems)[:300] or "no address")


class _Knocking:
    """One connection to NATS at work: knock at hubs, and talk to those that answer."""

    def __init__(self, party: Party, client: Client, subjects: Subjects, address: str) -> None:
        self._party = party
        self._client = client
        self._subjects = subjects
        self._address = address
        self._inbox = subjects.agent(party.agent.name, secrets.token_hex(8))
        self._pipes: dict[str, _Pipe] = {}
        self._beside: set[asyncio.Task[None]] = set()
        self._complaints = Complaints(log)
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until the connection breaks or the party stops. Raises RefusedByHub, PipeBroken."""
        from bot.transport.nats import close

        client = self._client
        try:
            await client.subscribe(f"{self._inbox}.*", cb=self._heard, pending_bytes_limit=INBOX_BYTES)
            await client.subscribe(self._subjects.hubs, cb=self._announced)
            await client.publish(self._subjects.knock, self._inbox.encode())
            await client.flush(3)
            await self._until_over()
        finally:
            for task in self._beside:
                task.cancel()
            await close(client)

    async def _until_over(self) -> None:
        stopping = asyncio.create_task(self._party.stop.wait())
        broken = asyncio.create_task(self._broken())
        try:
            await asyncio.wait((stopping, broken, self._refused), return_when=asyncio.FIRST_COMPLETED)
            if self._refused.done():
                self._refused.result()
            if broken.done():
                raise PipeBroken("the connection broke")
            talks = [pipe.talk for pipe in self._pipes.values() if pipe.talk is not None]
            if talks:
                # Each of them says goodbye and drains.
                await asyncio.wait(talks)
                await self._client.flush(2)
        finally:
            stopping.cancel()
            broken.cancel()

    async def _broken(self) -> None:
        while self._client.is_connected:  # noqa: ASYNC110 - its callbacks miss a connection that ends in a reconnect
            await asyncio.sleep(0.2)

    async def _heard(self, message: Msg) -> None:
        hub, reply = message.subject.rpartition(".")[2], message.reply
        pipe = self._pipes.get(reply)
        if pipe is None:
            if not message.data or not reply.startswith(self._subjects.links(hub, "")) or self._party.stop.is_set():
                return
            if len(self._pipes) >= MAX_TALKS:
                self._complaints.warn("more than %d hubs want to talk; one is left out", MAX_TALKS)
                return
            pipe = self._pipes[reply] = _Pipe(self._client, reply, hub)
            pipe.talk = asyncio.create_task(self._talk(pipe))
        pipe.feed(message.data)

    async def _announced(self, message: Msg) -> None:
        hub = message.data.decode("ascii", "replace")
        if is_token(hub) and not any(pipe.hub == hub for pipe in self._pipes.values()):
            self._later(self._knock(hub))

    async def _knock(self, hub: str) -> None:
        from nats.errors import Error as NatsError

        await asyncio.sleep(random.uniform(0, KNOCK_WITHIN_S))  # noqa: S311 - spreading load
        if not any(pipe.hub == hub for pipe in self._pipes.values()):
            with contextlib.suppress(NatsError, OSError):
                await self._client.publish(self._subjects.knock_at(hub), self._inbox.encode())

    def _welcomed(self, hub: str) -> None:
        log.info("connected to bot %s as %s", hub, self._party.agent.name)
        self._party.memory.reached(self._address)

    async def _talk(self, pipe: _Pipe) -> None:
        try:
            await converse(self._party, pipe, welcomed=partial(self._welcomed, pipe.hub))
        except RefusedByHub as exc:
            if not self._refused.done():
                self._refused.set_exception(exc)
        except (PipeBroken, FrameError, TimeoutError) as exc:
            self._complaints.warn("hub %s on NATS: %s", pipe.hub, str(exc) or "no welcome in time")
        finally:
            await pipe.close()
            self._pipes.pop(pipe.subject, None)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)


class _Pipe:
    """A Pipe over two subjects."""

    beat_s = BEAT_S

    def __init__(self, client: Client, subject: str, hub: str) -> None:
        self.subject = subject
        self.hub = hub
        self.talk: asyncio.Task[None] | None = None
        self._client = client
        self._in: asyncio.Queue[bytes] = asyncio.Queue(INBOX)
        self._waiting = 0
        self._over = False

    def feed(self, data: bytes) -> None:
        """A text came in. A flood is dropped; what is missing shows."""
        if self._waiting + len(data) <= INBOX_BYTES:
            with contextlib.suppress(asyncio.QueueFull):
                self._in.put_nowait(data)
                self._waiting += len(data)

    async def send(self, text: str) -> None:
        from nats.errors import Error as NatsError

        try:
            await self._client.publish(self.subject, text.encode())
        except (NatsError, OSError) as exc:
            raise PipeBroken(f"NATS: {str(exc) or type(exc).__name__}") from exc

    async def receive(self) -> str:
        if self._over:
            raise PipeBroken("closed")
        try:
            async with asyncio.timeout(SILENT_S):
                data = await self._in.get()
                self._waiting -= len(data)
        except TimeoutError as exc:
            raise PipeBroken(f"silent for {SILENT_S:.0f} s") from exc
        if not data:
            raise PipeBroken("the hub closed the connection")
        return text_of(data)

    async def close(self) -> None:
        """Tell the hub, and end our own reading."""
        from nats.errors import Error as NatsError

        if self._over:
            return
        self._over = True
        with contextlib.suppress(NatsError, OSError):
            await self._client.publish(self.subject, b"")
        self.feed(b"")
