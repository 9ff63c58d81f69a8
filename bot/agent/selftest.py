"""What an agent finds out about its own place before it reports ready: what it can measure, and what it lacks.

Each finding is a sentence for an operator: what does not work here, why, and what is done instead.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections.abc import Sequence

from bot.probes.base import ProbeContext
from bot.probes.net import echo, stamps

FILES_ENOUGH = 1024
LAG_S = 0.1
LAG_MUCH_MS = 50.0
STAMP_TRIES = 10
LOOPBACK = "127.0.0.1"
MEND_ICMP = "; sysctl net.ipv4.ping_group_range='0 2147483647' mends it, or CAP_NET_RAW"


async def self_test(ctx: ProbeContext) -> tuple[str, ...]:
    """What is lacking, in a stable order; empty when nothing is. Takes about 0.1 s and sends nothing out."""
    stamps.keep_on()
    lag_ms = await _lag_ms()
    found = [*await _stamps(), *_icmp(ctx), *_capture(ctx), *_query_log(ctx), *_resolvers(ctx), *_files()]
    if lag_ms > LAG_MUCH_MS:
        found.append(f"the machine is busy: a timer of {LAG_S * 1000:.0f} ms came {lag_ms:.0f} ms late")
    return tuple(found)


async def _lag_ms() -> float:
    before = time.monotonic()
    await asyncio.sleep(LAG_S)
    return max(0.0, (time.monotonic() - before - LAG_S) * 1000)


async def _stamps() -> Sequence[str]:
    """A datagram to ourselves: does the kernel say when it came?

    Where nobody else on the machine asks for stamps, the kernel starts with them a moment later.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind((LOOPBACK, 0))
            one.settimeout(0.2)
            one.connect(one.getsockname())
            stamps.enable(one)
            for _ in range(STAMP_TRIES):
                one.send(b"self-test")
                _, at = stamps.receive(one)
                if at:
                    return ()
                await asyncio.sleep(0.01)
    except OSError as exc:
        return (f"datagrams cannot be sent to ourselves ({exc.strerror or exc}); dns and ping may not work",)
    return ("the kernel gives no time stamps; timings are taken in user space and err under load",)


def _icmp(ctx: ProbeContext) -> Sequence[str]:
    if ctx.kinds is not None and "ping" not in ctx.kinds:
        return ()
    leave = echo.leave(LOOPBACK, ctx)
    return () if leave.method else (f"ping: {', '.join(leave.lacking)}; TCP is used instead{MEND_ICMP}",)


def _capture(ctx: ProbeContext) -> Sequence[str]:
    if not ctx.capture:
        return ()
    family = getattr(socket, "AF_PACKET", None)
    if family is None:
        return ("dns_top: this system has no packet sockets",)
    try:
        socket.socket(family, socket.SOCK_RAW, 0).close()
    except OSError:
        return ("dns_top: the policy allows capture, and CAP_NET_RAW is missing",)
    return ()


def _query_log(ctx: ProbeContext) -> Sequence[str]:
    if ctx.query_log is None or os.access(ctx.query_log.path, os.R_OK):
        return ()
    return (f"dns_top: the query log {ctx.query_log.path} cannot be read by this user",)


def _resolvers(ctx: ProbeContext) -> Sequence[str]:
    if ctx.resolvers.get("host") or ctx.resolvers.get("vpc"):
        return ()
    return ("dns: neither resolv.conf nor the policy names a resolver",)


def _files() -> Sequence[str]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FILES_ENOUGH:
        return ()
    return (f"only {soft} files may be open at once (RLIMIT_NOFILE); {FILES_ENOUGH} are needed under load",)
