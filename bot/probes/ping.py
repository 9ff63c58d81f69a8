"""`ping`: ICMP echo where the system allows it, else how long a TCP connect takes."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, pstdev

from bot.domain.failure import Failure, Phase
from bot.domain.probe import Json, Outcome
from bot.probes import dial, tcp
from bot.probes.base import Probe, ProbeContext, failed
from bot.probes.classify import CAUGHT, LocalError, classify
from bot.probes.params import Reader
from bot.probes.tries import Try, spaced, summarise

_PAYLOAD = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Echo:
    """ICMP numbers of one address family (RFC 792, RFC 4443)."""

    request: int
    reply: int
    protocol: int


_ECHO = {socket.AF_INET: Echo(8, 0, socket.IPPROTO_ICMP), socket.AF_INET6: Echo(128, 129, socket.IPPROTO_ICMPV6)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters, read."""

    address: str
    port: int
    method: str
    tries: int
    spacing_s: float
    timeout_s: float


def prepare(params: Mapping[str, Json]) -> Probe:
    """Ping `tries` times. timings_ms: rtt (the median).

    detail: method (icmp, icmp_raw or tcp), tries, ok, loss, min_ms, avg_ms, max_ms, mdev_ms, failures, each.
    """
    read = Reader(params)
    wanted = Plan(
        address=read.address(),
        port=read.port(default=443),
        method=read.choice("method", ("auto", "icmp", "tcp"), "auto"),
        tries=read.integer("tries", 5, low=1, high=50),
        spacing_s=read.seconds("spacing_ms", 200, low=0),
        timeout_s=read.seconds("timeout_ms", 1500),
    )
    read.done()
    return partial(_run, wanted)


async def _run(wanted: Plan, ctx: ProbeContext) -> Outcome:
    address, port = wanted.address, wanted.port
    used = _method(wanted.method, address, ctx)
    if used is None:
        return failed(Failure.NOT_PERMITTED, reason="this agent may open neither a datagram nor a raw ICMP socket")

    async def one(_: int) -> Try:
        if used == "tcp":
            return _as_ping(await tcp.one("ping", address, port, ctx, wanted.timeout_s))
        return await _echo(address, used == "icmp_raw", ctx, wanted.timeout_s)

    results = await spaced(wanted.tries, wanted.spacing_s, one)
    extra = {"port": port} if used == "tcp" else {}
    return _with_times(summarise(results, address=address, method=used, **extra), results)


def _method(wanted: str, address: str, ctx: ProbeContext) -> str | None:
    if wanted == "tcp":
        return "tcp"
    for name, kind in (("icmp", socket.SOCK_DGRAM), ("icmp_raw", socket.SOCK_RAW)):
        try:
            dial.open_socket(
                address, replace(ctx, source="", pace=None), kind, _ECHO[dial.family_of(address)].protocol
            ).close()
        except LocalError:
            continue
        return name
    return "tcp" if wanted == "auto" else None


async def _echo(address: str, raw: bool, ctx: ProbeContext, timeout_s: float) -> Try:
    family = dial.family_of(address)
    echo, ident = _ECHO[family], secrets.randbelow(65536)
    token = secrets.token_bytes(8)
    body = struct.pack("!HH", ident, 1) + token + _PAYLOAD
    packet = struct.pack("!BBH", echo.request, 0, 0) + body
    packet = packet[:2] + struct.pack("!H", _checksum(packet)) + packet[4:]

    def accept(data: bytes) -> bool | None:
        if raw and family == socket.AF_INET:
            data = data[(data[0] & 0x0F) * 4 :]
        # A datagram socket's id is the kernel's; the random token tells our reply from any other.
        return True if data[:1] == bytes([echo.reply]) and data[8:16] == token else None

    try:
        ctx.guard.check("ping", address, 0)
        sock = dial.open_socket(address, ctx, socket.SOCK_RAW if raw else socket.SOCK_DGRAM, echo.protocol)
        with dial.attach(sock, address, 0) as sock:
            _, ms = await dial.ask(sock, packet, accept, timeout_s)
    except CAUGHT as exc:
        why = classify(exc, Phase.ICMP)
        return Try(failure=why.failure, fault=why.fault, row={"ms": None, "failure": why.failure.value})
    return Try(timings_ms={"rtt": ms}, row={"ms": round(ms, 3), "failure": None})


def _as_ping(tried: Try) -> Try:
    """A refused connection is an answer: the host is there."""
    if tried.failure is Failure.TCP_REFUSED:
        return Try(timings_ms={"rtt": tried.spent_ms["tcp"]}, row={**tried.row, "failure": None, "refused": True})
    timings = {"rtt": tried.timings_ms["tcp"]} if tried.ok else {}
    return replace(tried, timings_ms=timings, spent_ms={})


def _with_times(outcome: Outcome, results: list[Try]) -> Outcome:
    times = [t.timings_ms["rtt"] for t in results if "rtt" in t.timings_ms]
    stats: dict[str, Json] = {"loss": round(1.0 - (outcome.success_rate or 0.0), 4)}
    if times:
        stats |= {
            "min_ms": round(min(times), 3),
            "avg_ms": round(fmean(times), 3),
            "max_ms": round(max(times), 3),
            "mdev_ms": round(pstdev(times), 3),
        }
    return replace(outcome, detail={**outcome.detail, **stats})


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)
