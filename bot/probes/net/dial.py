"""The only place where a probe opens a socket: the policy is asked about the very literal that is dialled."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bot.domain.failure import Failure, FaultOf
from bot.probes.base import ProbeContext
from bot.probes.classify import Classified, LocalError
from bot.probes.net import ready, stamps, tcp_info
from bot.probes.net.ready import Socket

_BIND_ADDRESS_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT, linux/in.h: choose the port at connect, so ports can be shared
_SAYS_PEER = {errno.ECONNREFUSED, errno.ECONNRESET}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connected:
    """A TCP connection. `ms` is the SYN's round trip by the kernel's own measure (tcp_info), else by the clock.

    `lost` is set when the peer has reset it already: TCP did connect, whatever comes next has failed.
    """

    sock: Socket
    ms: float
    retransmits: int
    lost: OSError | None = None

    def held(self) -> Socket:
        """The socket. Raises ConnectionResetError where the peer has reset it already."""
        if self.lost is not None:
            raise self.lost
        return self.sock


def family_of(address: str) -> socket.AddressFamily:
    """The address family of a literal."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def connect(
    kind: str, address: str, port: int, ctx: ProbeContext, *, timeout_s: float | None = None, max_segment: int = 0
) -> Connected:
    """Connect. Raises Denied, LocalError (nothing was sent), TimeoutError or OSError (the network or the peer said so).

    Where the connection is all there is to wait for, `timeout_s` is cheaper than `asyncio.timeout`.
    `max_segment`: bytes of TCP segment that either side may send, 0 for what the interface takes (tcp(7), TCP_MAXSEG).
    """
    ctx.guard.check(kind, address, port)
    sock = open_socket(address, ctx, socket.SOCK_STREAM)
    try:
        if max_segment:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, max_segment)
        began = time.perf_counter()
        lost = await _shake(sock, address, port, timeout_s)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        info = tcp_info.read(sock)
        wall = (time.perf_counter() - began) * 1000
        rtt_ms, retransmits = (info.rtt_ms, info.retransmits) if info else (0.0, 0)
        return Connected(sock, rtt_ms if rtt_ms and not retransmits else wall, retransmits, lost)
    except BaseException:
        sock.close()
        raise


def datagrams(kind: str, address: str, port: int, ctx: ProbeContext) -> Socket:
    """A UDP socket of its own port, connected so that the kernel drops strangers. Raises Denied or LocalError."""
    ctx.guard.check(kind, address, port)
    sock = open_socket(address, ctx, socket.SOCK_DGRAM)
    return attach(sock, address, port)


def attach(sock: Socket, address: str, port: int) -> Socket:
    """Connect a datagram socket and ask for kernel stamps; closes it on failure. Raises LocalError."""
    code = sock.connect_ex((address, port))
    if code:
        sock.close()
        raise LocalError(code)
    stamps.enable(sock)
    return sock


def open_socket(address: str, ctx: ProbeContext, kind: socket.SocketKind, proto: int = 0) -> Socket:
    """A non-blocking socket bound to the context's source. The caller asks the policy.

    Raises LocalError, or Classified where the agent's budget of sockets is used up.
    """
    family = family_of(address)
    try:
        sock = Socket(family, kind | socket.SOCK_NONBLOCK, proto)
    except OSError as exc:
        raise LocalError(exc.errno or 0) from exc
    try:
        if ctx.source and family_of(ctx.source) == family:
            if kind is socket.SOCK_STREAM and family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((ctx.source, 0))
    except OSError as exc:
        sock.close()
        raise LocalError(exc.errno or 0) from exc
    if ctx.pace is not None and not ctx.pace.admits(sock):
        sock.close()
        reason = "the agent's budget of sockets is used up"
        raise Classified(Failure.AGENT_OVERLOADED, fault=FaultOf.AGENT, reason=reason)
    return sock


async def _shake(sock: Socket, address: str, port: int, timeout_s: float | None) -> OSError | None:
    code = sock.connect_ex((address, port))
    if code in (errno.EINPROGRESS, errno.EAGAIN):
        await ready.change(sock, timeout_s)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    elif code and code not in _SAYS_PEER:
        # Refused at once, without a packet: the agent's own routes, addresses or limits.
        raise LocalError(code)
    if code == errno.ECONNRESET:
        # A reset in answer to the SYN reads ECONNREFUSED; this one came after the connection stood.
        return ConnectionResetError(code, "ECONNRESET")
    if code:
        raise OSError(code, errno.errorcode.get(code, ""))
    return None


async def ask(sock: Socket, payload: bytes, accept: Callable[[bytes], T | None], timeout_s: float) -> tuple[T, float]:
    """Send one datagram, never again, and wait for the one that `accept` takes; (its value, ms).

    Raises TimeoutError, or OSError where an ICMP error came back. A datagram that the machine's own firewall
    drops (EPERM) is a lost one: TCP would not tell the two apart either.
    """
    began, clock = time.perf_counter(), time.time_ns()
    ends = began + timeout_s
    with contextlib.suppress(PermissionError, BlockingIOError):
        sock.send(payload)
    sent = stamps.sent(sock)
    await ready.change(sock, timeout_s)
    while True:
        # What was sent may be stamped late; the stamp wakes us as an answer does.
        sent = sent or stamps.sent(sock)
        try:
            data, got = stamps.receive(sock)
        except BlockingIOError:
            await ready.change(sock, ends - time.perf_counter())
            continue
        value = accept(data)
        if value is not None:
            break
        if time.perf_counter() > ends:
            raise TimeoutError
        await asyncio.sleep(0)  # a flood of strangers' datagrams must leave others their turn
    wall_ms = (time.perf_counter() - began) * 1000
    return value, stamps.elapsed_ms(wall_ms, sent or clock, got)
