"""How far our times are from the truth: each try beside the two packets that it was, in the same capture.

Every try has an address or a name of its own, by which its packets are found. The peer is the timer an application
would use, around the same exchange on the same event loop.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bot.probes.base import ProbeContext
from bot.probes.resolving import dns_message
from bot.probes.table import run
from tests.bench.capture import Capture, Packet, captured
from tests.bench.load import context
from tests.bench.servers import LOOPBACK, nginx, target, unbound
from tests.bench.table import QUICK, Effort, Row, below

_ECHO = struct.pack("!BBHHH", 8, 0, 0xF7FE, 0, 1) + bytes(32)
"""An echo request with its checksum (RFC 792)."""

Times = dict[str, float]
"""Milliseconds by the key of the try."""
Try = Callable[[str], Awaitable[float | None]]
"""One exchange with the target of that key; its time in ms, None when it failed."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is timed. `keys` names the n-th try, `packet` says whose packet it is and which of the two: 0 or 1."""

    name: str
    filter: str
    at_once: Sequence[int]
    limit_us: float
    keys: Callable[[int], str]
    packet: Callable[[Packet], tuple[str, int] | None]
    ours: Try
    peer: Try
    peer_name: str


def tcp(effort: Effort) -> Iterable[Row]:
    """SYN to SYN/ACK."""
    ctx = context()
    with nginx() as port:

        async def ours(key: str) -> float | None:
            return await _probed("tcp", {"address": key, "port": port}, "tcp", ctx)

        async def peer(key: str) -> float | None:
            began = time.perf_counter()
            _, writer = await asyncio.open_connection(key, port)
            took = (time.perf_counter() - began) * 1000
            writer.close()
            return took

        subject = Subject(
            name="TCP round trip",
            filter=f"tcp port {port} and tcp[tcpflags] & tcp-syn != 0",
            at_once=(1, 50, 200),
            limit_us=25,
            keys=target,
            packet=_syn,
            ours=ours,
            peer=peer,
            peer_name="timer around asyncio",
        )
        yield from _rows(subject, effort)


def dns(effort: Effort) -> Iterable[Row]:
    """Query to answer."""
    ctx = context()
    with unbound() as port:

        async def ours(key: str) -> float | None:
            return await _probed("dns", {"name": key, "server": f"{LOOPBACK}:{port}"}, "dns", ctx)

        async def peer(key: str) -> float | None:
            return await _timed_datagram(key, port)

        subject = Subject(
            name="DNS time",
            filter=f"udp port {port}",
            at_once=(1, 50, 100),
            limit_us=1000,
            keys=lambda number: f"n{number}.bench.test",
            packet=_query,
            ours=ours,
            peer=peer,
            peer_name="timer around asyncio",
        )
        yield from _rows(subject, effort)


def icmp(effort: Effort) -> Iterable[Row]:
    """Echo request to echo reply."""
    ctx = context()

    async def ours(key: str) -> float | None:
        return await _probed("ping", {"address": key, "method": "icmp"}, "rtt", ctx)

    subject = Subject(
        name="ICMP time",
        filter="icmp[icmptype] == icmp-echo or icmp[icmptype] == icmp-echoreply",
        at_once=(1, 50, 100),
        limit_us=1000,
        keys=target,
        packet=_echo,
        ours=ours,
        peer=_timed_echo,
        peer_name="timer around asyncio",
    )
    yield from _rows(subject, effort)


async def _probed(kind: str, params: Mapping[str, Any], phase: str, ctx: ProbeContext) -> float | None:
    seen = await run(kind, {**params, "tries": 1}, ctx, 10)
    return seen.timings_ms.get(phase) if seen.ok else None


async def _timed_datagram(name: str, port: int) -> float:
    """A DNS query as asyncio's own datagram endpoint times it."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            if not answered.done():
                answered.set_result(None)

    transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=(LOOPBACK, port))
    began = time.perf_counter()
    transport.sendto(dns_message.query(1, dns_message.question(name, "A")))
    await answered
    took = (time.perf_counter() - began) * 1000
    transport.close()
    return took


async def _timed_echo(address: str) -> float:
    """An ICMP echo as the loop's socket calls time it."""
    loop = asyncio.get_running_loop()
    with _icmp_socket() as sock:
        sock.connect((address, 0))
        began = time.perf_counter()
        sock.send(_ECHO)
        await loop.sock_recv(sock, 100)
        return (time.perf_counter() - began) * 1000


def _icmp_socket() -> socket.socket:
    """The kind that this user may open, as the probe chooses it."""
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
    except PermissionError:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)


def _rows(subject: Subject, effort: Effort) -> Iterable[Row]:
    numbers = itertools.count()
    for at_once in subject.at_once:
        for busy in (False, True) if at_once == subject.at_once[-1] else (False,):
            yield _row(subject, at_once, effort, numbers, busy=busy)


def _row(subject: Subject, at_once: int, effort: Effort, numbers: itertools.count[int], *, busy: bool) -> Row:
    tries = max(at_once, effort.tries // 4 if at_once == 1 else effort.tries)
    with captured(subject.filter, hasty=effort is QUICK) as seen:
        ours, peer = asyncio.run(_in_turn(subject, at_once, tries, numbers, busy=busy))
    truth = _truth(subject, seen)
    our_errors, peer_errors = _errors(ours, truth), _errors(peer, truth)
    return below(
        f"{subject.name}, {at_once} at once{', the loop busy' if busy else ''}: p99 error",
        _p99(our_errors),
        subject.limit_us,
        unit="us",
        peer=_p99(peer_errors),
        peer_name=subject.peer_name,
        note=f"median {median(our_errors):.0f} us (peer {median(peer_errors):.0f}), {len(our_errors)} tries of each",
    )


async def _in_turn(
    subject: Subject, at_once: int, tries: int, numbers: itertools.count[int], *, busy: bool
) -> tuple[Times, Times]:
    """Batches of ours and of the peer's in turn, `at_once` at the same moment."""
    ours, peer = Times(), Times()
    hog = asyncio.create_task(_hog()) if busy else None
    try:
        for _ in range(-(-tries // at_once)):
            for one, times in ((subject.ours, ours), (subject.peer, peer)):
                keys = [subject.keys(next(numbers)) for _ in range(at_once)]
                took = await asyncio.gather(*map(one, keys))
                times |= {key: ms for key, ms in zip(keys, took, strict=True) if ms is not None}
    finally:
        if hog is not None:
            hog.cancel()
    return ours, peer


async def _hog() -> None:
    """Something else that keeps the event loop busy, 5 ms in every 10."""
    while True:
        ends = time.perf_counter() + 0.005
        while time.perf_counter() < ends:
            pass
        await asyncio.sleep(0.005)


def _truth(subject: Subject, seen: Capture) -> Times:
    first: dict[str, int] = {}
    found = Times()
    for packet in seen.packets:
        which = subject.packet(packet)
        if which is None:
            continue
        key, place = which
        if place == 0:
            first.setdefault(key, packet.at_ns)
        elif key in first:
            found.setdefault(key, (packet.at_ns - first[key]) / 1e6)
    return found


def _errors(times: Times, truth: Times) -> list[float]:
    """Microseconds. Raises RuntimeError when packets are missing: an error of what was not seen is no error."""
    both = times.keys() & truth.keys()
    if len(both) < 0.95 * len(times) or not both:
        raise RuntimeError(f"only {len(both)} of {len(times)} tries are in the capture")
    return [abs(times[key] - truth[key]) * 1000 for key in both]


def _p99(errors: Sequence[float]) -> float:
    return sorted(errors)[min(len(errors) - 1, int(len(errors) * 0.99))]


def _syn(packet: Packet) -> tuple[str, int] | None:
    flags = packet.payload[13]
    return (packet.source, 1) if flags & 0x10 else (packet.destination, 0)


def _query(packet: Packet) -> tuple[str, int] | None:
    message = packet.payload[8:]
    return dns_message.question_name(message), message[2] >> 7


def _echo(packet: Packet) -> tuple[str, int] | None:
    return (packet.destination, 0) if packet.payload[0] == 8 else (packet.source, 1)
