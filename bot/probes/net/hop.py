"""One packet that dies after so many hops, by ICMP, UDP or TCP, and who said so; none of it needs a privilege.

Each packet has a socket of its own, so nothing that comes back can be taken for the answer to another one.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from dataclasses import dataclass

from bot.probes.base import ProbeContext
from bot.probes.net import dial, echo, flight, icmp_errors
from bot.probes.net.flight import Landed


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How to go. `method` is "icmp", "icmp_raw", "udp" or "tcp"; `port` is 0 where there are no ports."""

    address: str
    method: str
    port: int = 0

    @property
    def proto(self) -> str:
        """The protocol, whatever socket speaks it."""
        return "icmp" if self.method in (echo.DATAGRAM, echo.RAW) else self.method


async def send(way: Way, hops: int, ctx: ProbeContext, timeout_s: float) -> Landed:
    """Send one packet that lives for `hops`. Raises TimeoutError, Denied, LocalError and OSError."""
    if way.method == "tcp":
        return await _syn(way, hops, ctx, timeout_s)
    if way.method == "udp":
        with contextlib.closing(dial.datagrams("trace", way.address, way.port, ctx)) as sock:
            icmp_errors.hop_limit(sock, hops)
            # Whatever comes is from the target's own port, for the socket is connected.
            return await flight.datagram(sock, secrets.token_bytes(32), lambda _: True, lambda _: True, timeout_s)
    ctx.guard.check("trace", way.address, 0)
    with dial.attach(echo.open_socket(way.method, way.address, ctx), way.address, 0) as sock:
        icmp_errors.hop_limit(sock, hops)
        ask = echo.Echo(way.address, way.method)
        return await flight.datagram(sock, ask.wire, ask.answered, ask.quoted, timeout_s)


async def _syn(way: Way, hops: int, ctx: ProbeContext, timeout_s: float) -> Landed:
    ctx.guard.check("trace", way.address, way.port)
    with dial.open_socket(way.address, ctx, socket.SOCK_STREAM) as sock:
        icmp_errors.hop_limit(sock, hops)
        return await flight.syn(sock, way.address, way.port, timeout_s)
