"""`python -m tests.bench.crowd KIND URL N`: so many agents in one process, which answer at once. Bare ones only echo.

Ends when stdin does. The agents of ours open, check and seal every frame as real ones do; what a real one does
beside, its probe, is not what a fan-out costs.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from bot.agent.conversation import Party
from bot.agent.known_hub import HubMemory
from bot.agent.nats import NatsCarrier
from bot.agent.runner import Runner, Send
from bot.agent.websocket import WebSocketCarrier
from bot.domain.probe import Agent, Outcome
from bot.probes.base import ProbeContext
from bot.wire.frames import Job, Result, check_job
from bot.wire.nats import Subjects, server
from bot.wire.signing import Signer

TOKEN = "a token for the crowd"
DIALLING = 32
FILES = 8192


class _Prompt(Runner):
    """A runner without a probe: the job is checked and its result is sent."""

    def accept(self, job: Job, send: Send, *, now: float, size: int) -> asyncio.Task[None]:
        check_job(job, audience=self._name, now=now, seen=self._seen)
        self._seen[job.nonce] = job.expires
        outcome = Outcome(ok=True, success_rate=1.0, timings_ms={"tcp": 0.21}, detail={"tries": 1, "ok": 1})
        result = Result(job=job.id, nonce=job.nonce, outcome=outcome, at=time.time(), took_ms=0.3)
        return asyncio.create_task(_sent(send, result))


async def _sent(send: Callable[[Result], Awaitable[None]], result: Result) -> None:
    await send(result)


class _Nothing:
    """No policy is asked, for nothing is dialled."""

    def check(self, kind: str, address: str, port: int) -> None:
        """Allow."""


def party(n: int, url: str) -> Party:
    """Agent number n."""
    name = f"agent-{n}"
    agent = Agent(name=name, region=f"r{n % 10}", vantage="vm", vpc=f"r{n % 10}")
    runner = _Prompt(name=name, context=ProbeContext(guard=_Nothing()))
    memory = HubMemory(None, agent=name, url=url)
    made = Party(agent=agent, signer=Signer(), runner=runner, memory=memory, token=TOKEN)
    made.tested.set()
    return made


def ours(url: str, count: int) -> Sequence[Callable[[], Awaitable[None]]]:
    """Agents that talk to a desk, over WebSocket or NATS by the URL."""
    where, _, prefix = url.partition("#")
    nats = where.startswith("nats:")
    carrier = (
        NatsCarrier(server=server(where, "url"), subjects=Subjects(prefix)) if nats else WebSocketCarrier(url=where)
    )
    return [partial(carrier.run, party(n, where)) for n in range(count)]


def bare_websockets(url: str, count: int) -> Sequence[Callable[[], Awaitable[None]]]:
    """WebSocket clients that send back what they get."""
    from websockets.asyncio.client import connect

    async def one() -> None:
        async with connect(url, compression=None, proxy=None, ping_interval=None) as socket:
            async for text in socket:
                await socket.send(text)

    return [one] * count


def bare_nats(url: str, count: int) -> Sequence[Callable[[], Awaitable[None]]]:
    """Request-many: one subscription for each agent, answering to the reply subject."""
    import nats
    from nats.aio.msg import Msg

    where, _, prefix = url.partition("#")

    async def one(n: int) -> None:
        client = await nats.connect(where)

        async def echo(message: Msg) -> None:
            await client.publish(message.reply, message.data)

        try:
            await client.subscribe(f"{prefix}.job.{n}", cb=echo)
            await client.publish(f"{prefix}.here", b"")
            await asyncio.Event().wait()
        finally:
            await client.close()

    return [partial(one, n) for n in range(count)]


async def run(starts: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Start them, a few at a time, and keep them until stdin ends."""
    work = []
    for n, start in enumerate(starts):
        work.append(asyncio.ensure_future(start()))
        if n % DIALLING == DIALLING - 1:
            await asyncio.sleep(0.1)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


KINDS = {"ours": ours, "websockets": bare_websockets, "nats": bare_nats}


def more_files() -> None:
    """A thousand connections need more descriptors than shells give."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def main() -> None:
    """Run one crowd."""
    import uvloop

    more_files()
    kind, url, count = sys.argv[1:4]
    uvloop.run(run(KINDS[kind](url, int(count))))


if __name__ == "__main__":
    main()
