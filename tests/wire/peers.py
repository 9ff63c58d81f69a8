"""The two ends of agent protocol 2 on real sockets: a served desk, and an agent that says what a test says."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bot.adapters.agents import AgentDesk, websocket_routes
from bot.domain.probe import Agent, Observation, Outcome, ProbeRequest
from bot.testing import TokenDoor
from bot.wire.codec import decode, encode
from bot.wire.frames import Beat, Challenge, Frame, Hello, Job, Refused, Result, Status
from bot.wire.handshake import AgentHandshake, Credentials
from bot.wire.session import Session
from bot.wire.signing import Signer, Verifier

HOST = "127.41.0.10"
TOKEN = "one token for all agents of these tests"


async def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait for it to be true."""
    due = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < due, f"it did not come true within {within_s} s"
        await asyncio.sleep(0.01)


def hub(*, token: str = TOKEN, **more: Any) -> AgentDesk:
    """A desk with a key of its own, whose door one token opens."""
    return AgentDesk(**{"signer": Signer(), "door": TokenDoor(token), **more})


def ready(of: AgentDesk) -> list[str]:
    """Who is here and has tested itself."""
    return [a.name for a in of.agents() if a.state == "ready"]


def state_of(of: AgentDesk, name: str = "sh-vm") -> str:
    """How one agent is."""
    return next((a.state for a in of.agents() if a.name == name), "unknown")


def bind(port: int = 0) -> socket.socket:
    """A listening address; port 0 is any free one."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    return listener


@asynccontextmanager
async def served(
    of: AgentDesk, *, port: int = 0, host: str = HOST, tls: tuple[Path, Path] | None = None
) -> AsyncIterator[str]:
    """Serve the desk as `bot.bootstrap` does; yields the URL agents dial. `tls` are certificate and key files."""
    listener = bind(port)
    config = uvicorn.Config(
        Starlette(routes=websocket_routes(of)),
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=512 * 1024,
        ws_ping_interval=10,
        ws_ping_timeout=10,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
        lifespan="off",
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started or serving.done())
    try:
        yield f"{'wss' if tls else 'ws'}://{host}:{listener.getsockname()[1]}/agents/connect"
    finally:
        server.should_exit = True
        await serving
        listener.close()


def port_of(url: str) -> int:
    """The port in a hub's URL."""
    return int(url.split(":")[2].split("/")[0])


def who(name: str = "sh-vm", **more: Any) -> Agent:
    """An agent in the VPC of Shanghai."""
    return Agent(**{"name": name, "region": "shanghai", "vantage": "vm", "vpc": "shanghai", **more})


def request(agent: str = "sh-vm", *, probe: str = "tcp/api", **more: Any) -> ProbeRequest:
    """One TCP connection to a port where nobody listens, unless `more` says otherwise."""
    plain = {"kind": "tcp", "layer": "tcp", "target": "api", "params": {"address": HOST, "port": 9}, "timeout_s": 5.0}
    return ProbeRequest(**{"id": secrets.token_hex(4), "probe": probe, "agent": agent, **plain, **more})


def slow(agent: str = "sh-vm", *, seconds: float, port: int = 9, **more: Any) -> ProbeRequest:
    """A probe that is busy for so long: two connections, refused at port 9, with a pause between."""
    params = {"address": HOST, "port": port, "tries": 2, "spacing_ms": seconds * 1000}
    return request(agent, params=params, timeout_s=seconds + 5, **more)


@asynccontextmanager
async def begun() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A port that takes connections until the end of the block, and whether one has come."""
    come = asyncio.Event()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        come.set()
        writer.close()

    async with await asyncio.start_server(take, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1], come


async def answers(
    of: AgentDesk, *requests: ProbeRequest, deadline_s: float = 10.0, late_s: float = 0.0
) -> list[Observation]:
    """Ask, and wait for all of it."""
    return [o async for o in of.ask(requests, deadline_s=deadline_s, late_s=late_s)]


class Wire(Protocol):
    """What carries texts to the hub and back."""

    async def send(self, text: str, /) -> None: ...

    async def recv(self) -> str | bytes: ...


W = TypeVar("W", bound=Wire)


@dataclass
class Puppet(Generic[W]):
    """An agent that says exactly what a test has it say."""

    socket: W
    session: Session

    async def job(self, within_s: float | None = 30.0) -> Job:
        """The next job, its seal checked."""
        async with asyncio.timeout(within_s):
            while True:
                frame = self.session.open(str(await self.socket.recv()))
                if not isinstance(frame, Beat):
                    assert isinstance(frame, Job), frame
                    return frame

    async def say(self, frame: Frame) -> None:
        """Send a frame, sealed."""
        await self.socket.send(self.session.seal(frame))

    async def answer(self, job: Job, outcome: Outcome | None = None) -> None:
        """Send the result of a job."""
        await self.say(result(job, outcome=outcome or Outcome(ok=True)))


def result(job: Job, /, **changes: Any) -> Result:
    """The result of a job, honest unless told otherwise."""
    plain = {"job": job.id, "nonce": job.nonce, "outcome": Outcome(ok=True), "at": time.time(), "took_ms": 1.5}
    return Result(**{**plain, **changes})


def dial(url: str) -> connect:
    """A bare connection to the hub, which says its challenge to anybody."""
    return connect(url, proxy=None, compression=None, max_size=None)


async def enter(wire: W, agent: Agent, *, signer: Signer, token: str = TOKEN, **more: str) -> Puppet[W]:
    """Introduce an agent on a connection. Fails with the hub's reason when it is refused."""
    shake = AgentHandshake(agent, Credentials(signer=signer, token=token, **more))
    hello, session = shake.answer(str(await asyncio.wait_for(wire.recv(), 30)))
    await wire.send(hello)
    text = str(await asyncio.wait_for(wire.recv(), 30))
    assert not text.startswith("{"), text
    said = session.open(text)
    assert not isinstance(said, Refused), said.reason
    shake.accept(said)
    return Puppet(wire, session)


@asynccontextmanager
async def puppet(
    url: str, agent: Agent | None = None, *, signer: Signer | None = None, **more: str
) -> AsyncIterator[Puppet[ClientConnection]]:
    """A puppet that the hub has welcomed, and that says it is ready."""
    async with dial(url) as socket:
        one = await enter(socket, agent or who(), signer=signer or Signer(), **more)
        await one.say(Status(state="ready"))
        yield one


def hello_to(said: str, signer: Signer, **changes: Any) -> str:
    """A hello that answers the challenge, without a proof; signed by the signer whatever key it shows."""
    asked = decode(said)
    assert isinstance(asked, Challenge)
    shake = AgentHandshake(who(), Credentials(signer=signer, hub=asked.public_key))
    hello = decode(shake.answer(said)[0])
    assert isinstance(hello, Hello)
    return encode(replace(hello, **changes), signer)


async def hung_up(socket: ClientConnection) -> int:
    """Read to the end; the close code the hub gave."""
    try:
        async with asyncio.timeout(30):
            while True:
                await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


async def refused(socket: ClientConnection, hub_key: str, session: Session | None = None) -> Refused:
    """What the hub says before it hangs up: sealed in this session, or signed with the key of its challenge."""
    text = str(await asyncio.wait_for(socket.recv(), 30))
    frame = session.open(text) if session else decode(text, Verifier(hub_key))
    assert isinstance(frame, Refused)
    await hung_up(socket)
    return frame


async def challenged(socket: ClientConnection) -> tuple[str, str]:
    """(the hub's challenge as it came, its public key)."""
    text = str(await asyncio.wait_for(socket.recv(), 30))
    frame = decode(text)
    assert isinstance(frame, Challenge)
    return text, frame.public_key
