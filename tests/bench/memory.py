"""What an agent process takes of the machine's memory: idle, and with a thousand probes in flight."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from websockets.asyncio.server import ServerConnection, serve

from bot.adapters.agents.desk import AgentDesk
from bot.domain.probe import ProbeRequest
from tests.bench.hub import agent, desk, served, until
from tests.bench.load import POLICY
from tests.bench.servers import LOOPBACK, folder
from tests.bench.table import QUICK, Effort, Row, below

IDLE_MB, BUSY_MB = 40, 64
IN_FLIGHT = 1000
PEER_NAME = "bare asyncio + websockets + Ed25519, idle"
PEER = """
import asyncio, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import connect
async def main():
    async with connect(sys.argv[1], compression=None) as socket:
        await socket.send(Ed25519PrivateKey.generate().sign(b"hello"))
        await socket.recv()
asyncio.run(main())
"""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """MB of each process."""

    idle: float
    with_policy: float
    busy: float
    bare: float


def memory(effort: Effort) -> Iterable[Row]:
    """Resident set sizes by /proc/PID/smaps_rollup, in MB of 2**20 bytes."""
    quick = effort is QUICK
    in_flight = 20 if quick else IN_FLIGHT
    seen = [asyncio.run(_measured(in_flight, settle_s=0.1 if quick else 2.0)) for _ in range(1 if quick else 3)]
    bare = median(s.bare for s in seen)
    shown = (
        ("idle", median(s.idle for s in seen), IDLE_MB, "no policy file: public addresses only"),
        ("idle, with a policy file", median(s.with_policy for s in seen), IDLE_MB, "the YAML library is loaded"),
        (
            f"{in_flight:,} probes in flight",
            median(s.busy for s in seen),
            BUSY_MB,
            "half DNS, half HTTP, to servers that never answer",
        ),
    )
    for what, mb, limit, note in shown:
        yield below(f"agent memory, {what}", mb, limit, unit="MB", peer=bare, peer_name=PEER_NAME, note=note)


async def _measured(in_flight: int, *, settle_s: float) -> Sizes:
    at = desk()
    with folder() as here:
        policy = here / "policy.yaml"
        policy.write_text(POLICY)
        async with (
            served(at) as url,
            _mute() as mute,
            _bare() as bare,
            agent(at, url, here, name="plain") as plain,
            agent(at, url, here, policy=policy) as pid,
        ):
            await asyncio.sleep(settle_s)
            idle, with_policy, peer = _rss_mb(plain), _rss_mb(pid), _rss_mb(bare)
            asking = asyncio.create_task(_ask(at, in_flight, mute))
            # A datagram that a full socket dropped is in flight all the same: nobody answers the others either.
            await until(lambda: asking.done() or mute.heard >= 0.9 * in_flight)
            await asyncio.sleep(settle_s)
            busy = _rss_mb(pid)
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.result()
    return Sizes(idle=idle, with_policy=with_policy, busy=busy, bare=peer)


async def _ask(at: AgentDesk, count: int, mute: Mute) -> None:
    dns = {"name": "bench.test", "server": f"{LOOPBACK}:{mute.datagrams}", "tries": 1, "timeout_ms": 20_000}
    http = {"url": f"http://{LOOPBACK}:{mute.streams}/", "timeout_ms": 20_000}
    plain = {"probe": "bench", "layer": "", "target": "", "agent": "bench", "timeout_s": 30.0}
    requests = [
        ProbeRequest(id=str(n), kind=("dns", "http")[n % 2], params=(dns, http)[n % 2], **plain) for n in range(count)
    ]
    async for seen in at.ask(requests, deadline_s=30):
        raise RuntimeError(f"a probe ended before its time: {seen}")


class Mute(asyncio.DatagramProtocol):
    """Listens to datagrams and on connections, counts who asks, and never answers."""

    datagrams = streams = heard = 0

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.heard += 1

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hear one request out."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            self.heard += 1
            await reader.read()
        writer.close()


@asynccontextmanager
async def _mute() -> AsyncIterator[Mute]:
    mute = Mute()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: mute, local_addr=(LOOPBACK, 0))
    async with await asyncio.start_server(mute.accept, LOOPBACK, 0, backlog=2048) as server:
        mute.datagrams = transport.get_extra_info("sockname")[1]
        mute.streams = server.sockets[0].getsockname()[1]
        yield mute
        transport.close()


@asynccontextmanager
async def _bare() -> AsyncIterator[int]:
    """The peer, connected and idle; yields its process id."""
    met = asyncio.Event()

    async def meet(socket: ServerConnection) -> None:
        await socket.recv()
        met.set()
        await socket.wait_closed()

    async with serve(meet, LOOPBACK, 0, compression=None) as server:
        url = f"ws://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PEER, url)
        try:
            await asyncio.wait_for(met.wait(), 20)
            yield process.pid
        finally:
            process.kill()
            await process.wait()


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel does not say how large process {pid} is")
