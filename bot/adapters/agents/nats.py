"""Agents that come by NATS (core NATS; the subjects: `bot.wire.nats`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from bot.adapters.agents.desk import AgentDesk
from bot.adapters.agents.link import LinkBroken
from bot.adapters.agents.nats_dial import NatsAddress, connect
from bot.transport.nats import close
from bot.wire.complaints import Complaints
from bot.wire.nats import ANNOUNCE_S, BEAT_S, SILENT_S, text_of

__all__ = ["NatsAddress", "NatsHub"]

log = logging.getLogger("warroom.hub")

RETRY_S = 2.0
INBOX = 1024
"""Texts that may wait for a link to be read."""


class NatsHub:
    """The bot as a hub on NATS. Several bots may be hubs on one NATS: every agent talks to each of them."""

    def __init__(self, desk: AgentDesk, address: NatsAddress) -> None:
        self._desk = desk
        self._address = address
        self._subjects = address.subjects
        self._id = ""
        self._links: dict[str, _Link] = {}
        self._talks: set[asyncio.Task[None]] = set()
        self._complaints = Complaints(log)
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Be there until cancelled, also when NATS comes later or goes away in between."""
        where = self._address.server.url
        while True:
            try:
                client = await connect(self._address, self._broke)
            except (OSError, NatsError, TimeoutError) as exc:
                log.warning("NATS %s cannot be used: %s", where, str(exc) or type(exc).__name__)
                await asyncio.sleep(RETRY_S)
                continue
            log.info("agents may come by NATS %s", where)
            try:
                await self._serve(client)
            except (OSError, NatsError, TimeoutError) as exc:
                log.warning("NATS %s: %s", where, str(exc) or type(exc).__name__)
            finally:
                await self._leave(client)

    def _broke(self, exc: Exception) -> None:
        self._complaints.warn("NATS %s: %s", self._address.server.url, str(exc) or type(exc).__name__)

    async def _serve(self, client: Client) -> None:
        async def knocked(message: Msg) -> None:
            self._knocked(client, message)

        # A new name each time: agents knock at a hub they do not know, and not at one they believe to talk to.
        self._id = secrets.token_hex(8)
        await client.subscribe(self._subjects.links(self._id), cb=self._heard)
        await client.subscribe(self._subjects.knock_at(self._id), cb=knocked)
        await client.subscribe(self._subjects.knock, cb=knocked)
        await client.flush()
        self.connected.set()
        announced = -ANNOUNCE_S
        while client.is_connected:
            # Agents that do not talk to this hub yet knock when they hear this.
            if time.monotonic() - announced >= ANNOUNCE_S:
                announced = time.monotonic()
                await client.publish(self._subjects.hubs, self._id.encode())
            await asyncio.sleep(0.2)
        log.warning("NATS %s: the connection broke", self._address.server.url)

    def _knocked(self, client: Client, message: Msg) -> None:
        inbox = message.data.decode("ascii", "replace")
        if not self._subjects.is_agent(inbox):
            self._complaints.warn("a knock on NATS names no agent's subject")
            return
        ident = secrets.token_hex(8)
        link = _Link(client, f"{inbox}.{self._id}", self._subjects.links(self._id, ident))
        self._links[ident] = link
        talk = asyncio.create_task(self._desk.receive(link))
        self._talks.add(talk)

        def ended(task: asyncio.Task[None]) -> None:
            self._talks.discard(task)
            self._links.pop(ident, None)

        talk.add_done_callback(ended)

    async def _heard(self, message: Msg) -> None:
        link = self._links.get(message.subject.rpartition(".")[2])
        if link is not None:
            link.feed(message.data)

    async def _leave(self, client: Client) -> None:
        self.connected.clear()
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        with contextlib.suppress(OSError, NatsError, TimeoutError, asyncio.CancelledError):
            await client.flush(1)
        await close(client)


class _Link:
    """A Link over two subjects."""

    beat_s = BEAT_S

    def __init__(self, client: Client, agent: str, ours: str) -> None:
        self._client = client
        self._agent = agent
        self._ours = ours
        self._in: asyncio.Queue[bytes] = asyncio.Queue(INBOX)
        self._over = False

    @property
    def where(self) -> str:
        return self._agent.rpartition(".")[0]

    def feed(self, data: bytes) -> None:
        """A text came in. A flood is dropped; what is missing shows."""
        with contextlib.suppress(asyncio.QueueFull):
            self._in.put_nowait(data)

    async def send(self, text: str) -> None:
        try:
            await self._client.publish(self._agent, text.encode(), reply=self._ours)
        except (NatsError, OSError) as exc:
            raise LinkBroken(f"NATS: {str(exc) or type(exc).__name__}") from exc

    async def receive(self) -> str:
        if self._over:
            raise LinkBroken("closed")
        try:
            async with asyncio.timeout(SILENT_S):
                data = await self._in.get()
        except TimeoutError as exc:
            raise LinkBroken(f"silent for {SILENT_S:.0f} s") from exc
        if not data:
            raise LinkBroken("connection closed")
        return text_of(data)

    async def close(self, code: int) -> None:
        """Tell the agent, and end our own reading: one that goes on talking is not listened to."""
        self._over = True
        self.feed(b"")
        with contextlib.suppress(NatsError, OSError):
            await self._client.publish(self._agent, b"", reply=self._ours)
