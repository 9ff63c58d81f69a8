"""Hubs and puppets on a real NATS: the one of the machine under a prefix of the test's own, or one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from bot.adapters.agents import AgentDesk
from bot.adapters.agents.nats import NatsAddress, NatsHub
from bot.domain.probe import Agent
from bot.wire.frames import Status
from bot.wire.nats import Subjects, server
from bot.wire.signing import Signer
from tests.needs import missing, need_tool
from tests.ports import free_port
from tests.wire.peers import Puppet, enter, who

NATS = os.environ.get("WARROOM_TEST_NATS", "nats://127.0.0.1:4222")
HOST = "127.41.0.20"


def need_nats() -> None:
    """Go on only if a NATS is there."""
    at = server(NATS, "WARROOM_TEST_NATS")
    try:
        socket.create_connection((at.host, at.port), 2).close()
    except OSError as exc:
        missing(f"no NATS for tests (WARROOM_TEST_NATS): {exc}")


def own_place() -> NatsAddress:
    """The machine's NATS, under a prefix nobody else uses."""
    need_nats()
    return NatsAddress(server=server(NATS, "WARROOM_TEST_NATS"), subjects=Subjects(f"test-{secrets.token_hex(6)}"))


@asynccontextmanager
async def on_nats(of: AgentDesk, place: NatsAddress) -> AsyncIterator[NatsHub]:
    """Be a hub there."""
    the_hub = NatsHub(of, place)
    running = asyncio.create_task(the_hub.run())
    try:
        await asyncio.wait_for(the_hub.connected.wait(), 30)
        yield the_hub
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=5)


@dataclass
class NatsWire:
    """What one agent and one hub say to each other, as an agent sees it."""

    client: Client
    subject: str = ""
    heard: asyncio.Queue[Msg] = field(default_factory=asyncio.Queue)

    async def send(self, text: str) -> None:
        await self.client.publish(self.subject, text.encode())

    async def recv(self) -> str:
        message = await self.heard.get()
        self.subject = message.reply
        return str(message.data.decode())


@asynccontextmanager
async def stranger(place: NatsAddress) -> AsyncIterator[Client]:
    """Somebody else on the same NATS."""
    client = await nats.connect(place.server.url, max_reconnect_attempts=0, allow_reconnect=False)
    try:
        yield client
    finally:
        with contextlib.suppress(OSError, nats.errors.Error):
            await client.close()


@asynccontextmanager
async def nats_puppet(
    place: NatsAddress, agent: Agent | None = None, *, signer: Signer | None = None
) -> AsyncIterator[Puppet[NatsWire]]:
    """A puppet that the first hub to answer has welcomed, and that says it is ready."""
    agent = agent or who()
    async with stranger(place) as client:
        wire = NatsWire(client)
        inbox = place.subjects.agent(agent.name, secrets.token_hex(4))
        await client.subscribe(f"{inbox}.*", cb=wire.heard.put)
        await client.publish(place.subjects.knock, inbox.encode())
        one = await enter(wire, agent, signer=signer or Signer())
        await one.say(Status(state="ready"))
        try:
            yield one
        finally:
            with contextlib.suppress(OSError, nats.errors.Error):
                await wire.send("")
                await client.flush(1)


@dataclass
class OwnServer:
    """A nats-server process of the test's own, which can be ended and started anew at the same port."""

    folder: Path
    config: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    def start(self) -> None:
        """Start, and wait until it listens."""
        path = self.folder / "nats.conf"
        path.write_text(f"listen: {HOST}:{self.port}\n{self.config}\n")
        self.process = subprocess.Popen(
            ["nats-server", "-c", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        due = time.monotonic() + 30
        while True:
            try:
                socket.create_connection((HOST, self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < due, "nats-server does not come up"
                time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextmanager
def own_server(folder: Path, config: str = "") -> Iterator[OwnServer]:
    """A NATS for this test alone."""
    need_tool("nats-server")
    one = OwnServer(folder, config, free_port(HOST))
    try:
        one.start()
        yield one
    finally:
        one.stop()
