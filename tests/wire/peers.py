"""The two ends of agent protocol 1 on real sockets: a served hub, an agent and a hub that say what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from bot.adapters.agent_hub import AgentHub
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bot.agent.client import AgentClient, HubAddress
from bot.agent.policy import load_policy
from bot.agent.runner import Runner
from bot.domain.probe import Agent, Observation, Outcome, ProbeRequest
from bot.wire.frames import Frame, Hello, Job, Refused, Result, Welcome, decode, encode
from bot.wire.signing import Signer, Verifier

HOST = "127.41.0.10"
TOKEN = "one token for all agents of these tests"
POLICY = "allow: [{network: 127.0.0.0/8, ports: any, kinds: any}]\nresolvers: {host: ['127.41.0.53:5353']}\n"


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait for it to be true."""
    due = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < due, f"it did not come true within {within_s} s"
        await asyncio.sleep(0.01)


def hub(**more: Any) -> AgentHub:
    """A hub with a key of its own."""
    return AgentHub(**{"token": TOKEN, "signer": Signer(), **more})


def bind(port: int = 0) -> socket.socket:
    """A listening address; port 0 is any free one."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    return listener


@asynccontextmanager
async def served(
    of: AgentHub, *, port: int = 0, host: str = HOST, tls: tuple[Path, Path] | None = None
) -> AsyncIterator[str]:
    """Serve the hub as `bot.bootstrap` does; yields the URL agents dial. `tls` are certificate and key files."""
    listener = bind(port)
    config = uvicorn.Config(
        Starlette(routes=of.routes()),
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


def who(name: str = "sh-vm", **more: Any) -> Agent:
    """An agent in the VPC of Shanghai."""
    return Agent(**{"name": name, "region": "shanghai", "vantage": "vm", "vpc": "shanghai", **more})


def request(agent: str = "sh-vm", *, probe: str = "tcp/api", **more: Any) -> ProbeRequest:
    """One TCP connection to a port where nobody listens, unless `more` says otherwise."""
    plain = {"kind": "tcp", "layer": "tcp", "target": "api", "params": {"address": HOST, "port": 9}, "timeout_s": 5.0}
    return ProbeRequest(**{"id": secrets.token_hex(4), "probe": probe, "agent": agent, **plain, **more})


def slow(agent: str = "sh-vm", *, seconds: float, **more: Any) -> ProbeRequest:
    """A probe that is busy for so long: two refused connections with a pause between."""
    params = {"address": HOST, "port": 9, "tries": 2, "spacing_ms": seconds * 1000}
    return request(agent, params=params, timeout_s=seconds + 5, **more)


async def answers(of: AgentHub, *requests: ProbeRequest, deadline_s: float = 10.0) -> list[Observation]:
    """Ask, and wait for all of it."""
    return [o async for o in of.ask(requests, deadline_s=deadline_s)]


@dataclass
class Puppet:
    """An agent that says exactly what a test has it say."""

    socket: ClientConnection
    signer: Signer
    hub: Verifier

    async def job(self) -> Job:
        """The next job."""
        return self.read(await asyncio.wait_for(self.socket.recv(), 5))

    def read(self, text: str | bytes) -> Job:
        """A job, its signature checked."""
        frame = decode(text, self.hub)
        assert isinstance(frame, Job)
        return frame

    async def say(self, frame: Frame, *, signer: Signer | None = None) -> None:
        """Send a frame, signed by us or by somebody else."""
        await self.socket.send(encode(frame, signer or self.signer))

    async def answer(self, job: Job, outcome: Outcome | None = None, *, signer: Signer | None = None) -> None:
        """Send the result of a job."""
        await self.say(result(job, outcome=outcome or Outcome(ok=True)), signer=signer)


def result(job: Job, /, **changes: Any) -> Result:
    """The result of a job, honest unless told otherwise."""
    plain = {"job": job.id, "nonce": job.nonce, "outcome": Outcome(ok=True), "at": time.time(), "took_ms": 1.5}
    return Result(**{**plain, **changes})


def dial(url: str, token: str = TOKEN) -> connect:
    """A bare connection to the hub that has shown a token and nothing else."""
    return connect(url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None, compression=None)


@asynccontextmanager
async def puppet(url: str, agent: Agent | None = None, *, signer: Signer | None = None) -> AsyncIterator[Puppet]:
    """A puppet that the hub has welcomed. Fails with the hub's reason when it is refused."""
    signer = signer or Signer()
    async with dial(url) as socket:
        await socket.send(encode(Hello(agent=agent or who(), public_key=signer.public), signer))
        welcome = decode(await asyncio.wait_for(socket.recv(), 5))
        assert isinstance(welcome, Welcome), welcome
        yield Puppet(socket, signer, Verifier(welcome.public_key))


async def hung_up(socket: ClientConnection) -> int:
    """Read to the end; the close code the hub gave."""
    try:
        async with asyncio.timeout(10):
            while True:
                await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


async def refusal(socket: ClientConnection) -> str:
    """The reason the hub gives before it hangs up."""
    frame = decode(await asyncio.wait_for(socket.recv(), 5))
    assert isinstance(frame, Refused)
    await hung_up(socket)
    return frame.reason


@dataclass
class Meeting:
    """An agent at the door of a false hub."""

    socket: ServerConnection
    hello: Hello

    async def hear(self) -> Frame:
        """What the agent says next, its signature checked."""
        return decode(await asyncio.wait_for(self.socket.recv(), 10), Verifier(self.hello.public_key))

    async def silence(self, seconds: float = 0.3) -> None:
        """The agent says nothing for so long."""
        with contextlib.suppress(TimeoutError):
            raise AssertionError(f"the agent said {await asyncio.wait_for(self.socket.recv(), seconds)!r}")


@dataclass
class FalseHub:
    """A hub that says what a test has it say. `clock_s` is how far its clock is ahead."""

    signer: Signer = field(default_factory=Signer)
    clock_s: float = 0.0
    welcomes: bool = True
    url: str = ""
    tokens: list[str] = field(default_factory=list)
    _met: asyncio.Queue[Meeting] = field(default_factory=asyncio.Queue)

    async def met(self) -> Meeting:
        """The next agent that introduced itself and was welcomed."""
        return await asyncio.wait_for(self._met.get(), 10)

    def job(self, of: ProbeRequest, **changes: Any) -> Job:
        """An honest job by this hub's clock."""
        now = time.time() + self.clock_s
        plain = {"id": secrets.token_hex(4), "nonce": secrets.token_hex(8), "issued": now, "expires": now + 60}
        return Job(**{**plain, "audience": of.agent, "request": of, **changes})

    async def receive(self, socket: ServerConnection) -> None:
        """One agent's connection."""
        assert socket.request is not None
        self.tokens.append(socket.request.headers.get("Authorization", ""))
        hello = decode(await socket.recv())
        assert isinstance(hello, Hello)
        if not self.welcomes:
            await socket.send(encode(hello))
            return
        await socket.send(encode(Welcome(public_key=self.signer.public, now=time.time() + self.clock_s)))
        self._met.put_nowait(Meeting(socket, hello))
        await socket.wait_closed()


@asynccontextmanager
async def false_hub(tls: ssl.SSLContext | None = None, **more: Any) -> AsyncIterator[FalseHub]:
    """Serve one."""
    false = FalseHub(**more)
    async with serve(false.receive, HOST, 0, ssl=tls, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        false.url = f"{'wss' if tls else 'ws'}://{HOST}:{port}/agents/connect"
        yield false


def make_runner(folder: Path, name: str = "sh-vm", *, policy: str = POLICY, concurrent: int = 64) -> Runner:
    """A runner that obeys a real policy file."""
    path = folder / f"{name}-policy.yaml"
    path.write_text(policy)
    return Runner(name=name, context=load_policy(path).context({}), concurrent=concurrent)


@asynccontextmanager
async def agent_client(url: str, runner: Runner, agent: Agent | None = None, **more: Any) -> AsyncIterator[AgentClient]:
    """A real agent in this process, stopped at the end."""
    signer = more.pop("signer", None) or Signer()
    client = AgentClient(
        agent=agent or who(),
        hub=HubAddress(url=url, token=more.pop("token", TOKEN), **more),
        runner=runner,
        signer=signer,
    )
    running = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        client.stop.set()
        await asyncio.wait_for(running, 15)


@asynccontextmanager
async def agent_process(
    url: str, folder: Path, name: str = "sh-vm", *, policy: str = POLICY, options: Sequence[str] = (), **environ: str
) -> AsyncIterator[AgentProcess]:
    """A real `warroom agent` process; killed at the end if it still runs."""
    (folder / "policy.yaml").write_text(policy)
    words = ["--hub", url, "--name", name, "--region", "shanghai", "--vantage", "vm", "--state", str(folder / "state")]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot.cli", "agent", *words, "--policy", str(folder / "policy.yaml"), *options),
        stderr=asyncio.subprocess.PIPE,
        env=_environ({"WARROOM_AGENT_TOKEN": TOKEN, **environ}),
    )
    try:
        yield AgentProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WARROOM_")}
    return {**kept, **{k: v for k, v in more.items() if v}}


@dataclass
class AgentProcess:
    """A running `warroom agent`."""

    process: asyncio.subprocess.Process

    async def says(self, words: str, within_s: float = 15.0) -> str:
        """The next line on stderr that holds these words."""
        assert self.process.stderr is not None
        async with asyncio.timeout(within_s):
            async for line in self.process.stderr:
                if words in line.decode():
                    return line.decode()
        raise AssertionError(f"the agent ended without saying {words!r}")

    async def ends(self, within_s: float = 15.0) -> tuple[int, str]:
        """Its exit status and what it still said."""
        _, said = await asyncio.wait_for(self.process.communicate(), within_s)
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()
