"""Where echoes are filtered: does a full-size TCP segment arrive, and if not, how small must segments be?

The payload is a TLS ClientHello made long by its ALPN list (RFC 7301), so that a TLS server takes it for what it is.
A size has passed when the peer's TCP acknowledges a segment of it; what the server makes of it does not matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from dataclasses import dataclass

from bot.domain.failure import Failure, Phase
from bot.probes.base import ProbeContext
from bot.probes.classify import CAUGHT, Diagnosis, classify
from bot.probes.net import dial, tcp_info
from bot.probes.net.mtu_found import Bounds, Found
from bot.probes.net.tcp_info import TcpInfo
from bot.probes.tries import spaced

SIZES = (9000, 4352, 2002, 1480, 1450, 1420, 1400, 1360, 1280, 1024)
"""Tried at once when full-size segments stall; RFC 1191 7.1 and common tunnels."""
STALL_S = 1.6
"""Three retransmissions at the least RTO of 200 ms (200, 600, 1400 ms): random loss rarely takes all four."""
_POLL_S = 0.02
_GAP_S = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class _Push:
    """One connection. `size`: bytes of the packets it sends; `passed`: None when the peer reset before it said so."""

    size: int
    passed: bool | None
    rtt_ms: float | None = None
    why: Diagnosis | None = None


async def search(address: str, port: int, bounds: Bounds, ctx: ProbeContext, timeout_s: float) -> Found:
    """Full-size segments first; smaller ones only if those stall. Raises Denied."""
    first = await _push(address, port, bounds.high, bounds, ctx, timeout_s)
    if first.why:
        return Found(failure=first.why.failure, fault=first.why.fault, tries=1, reason=first.why.reason)
    if first.passed is None:
        return Found(tries=1, rtt_ms=first.rtt_ms, reason="the server reset before it acknowledged anything")
    if first.passed:
        return Found(path_mtu=first.size, black_hole=False, tries=1, rtt_ms=first.rtt_ms)
    # The first size once more, for loss may have had all its retransmissions.
    sizes = [bounds.high, *(size for size in SIZES if bounds.low < size < first.size), bounds.low]

    async def smaller(index: int) -> _Push:
        return await _push(address, port, sizes[index], bounds, ctx, timeout_s)

    pushed = await spaced(len(sizes), _GAP_S, smaller)
    passed, tries = [one.size for one in pushed if one.passed], 1 + len(pushed)
    if not passed:
        reason = "connected, but no segment of any size was acknowledged"
        return Found(failure=Failure.TCP_TIMEOUT, tries=tries, reason=reason)
    vanish = not pushed[0].passed
    return Found(path_mtu=max(passed), black_hole=vanish, tries=tries, rtt_ms=first.rtt_ms)


async def _push(address: str, port: int, size: int, bounds: Bounds, ctx: ProbeContext, timeout_s: float) -> _Push:
    """Connect with segments that make packets of at most `size` bytes, send several of them, watch for the first."""
    headers = 60 if ":" in address else 40
    try:
        async with asyncio.timeout(timeout_s):
            connected = await dial.connect("mtu", address, port, ctx, max_segment=size - headers)
    except CAUGHT as exc:
        return _Push(size=size, passed=False, why=classify(exc, Phase.TCP))
    with contextlib.closing(connected.sock) as sock:
        before = tcp_info.read(sock)
        with contextlib.suppress(OSError):
            sock.send(_hello(3 * bounds.high))
        passed = await _acknowledged(sock, before, STALL_S + 4 * connected.ms / 1000)
        after = tcp_info.read(sock)
    if after is None:
        return _Push(size=size, passed=None, rtt_ms=connected.ms)
    return _Push(size=after.snd_mss + after.options + headers, passed=passed, rtt_ms=connected.ms)


async def _acknowledged(sock: socket.socket, before: TcpInfo | None, seconds: float) -> bool | None:
    """Whether one whole segment arrived; None when the connection broke first."""
    end = time.monotonic() + seconds
    while before is not None:
        now = tcp_info.read(sock)
        if now is None:
            return None
        if now.bytes_acked - before.bytes_acked >= now.snd_mss:
            return True
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return None
        if time.monotonic() > end:
            return False
        await asyncio.sleep(_POLL_S)
    return None


def _hello(size: int) -> bytes:
    """A ClientHello of at least `size` bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["http/1.1", *(f"{i:04d}".ljust(200, "x") for i in range(size // 200 + 1))])
    sent = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), sent)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()
