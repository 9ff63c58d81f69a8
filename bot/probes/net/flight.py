"""One packet out, and what came of it: the reply, or an ICMP error from the error queue, by the kernel's own stamps."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from bot.probes.net import icmp_errors, ready, stamps, tcp_info
from bot.probes.net.icmp_errors import Report
from bot.probes.net.ready import Socket

Mine = Callable[[bytes], bool | None]
SYN_AGAIN_S = 1.0
"""The kernel repeats a SYN after this long (RFC 6298 2.1); an answer that comes later cannot be timed."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What came back after `ms`: an ICMP error, or (`report` None) the reply of the very target."""

    ms: float
    report: Report | None


async def datagram(sock: Socket, wire: bytes, reply: Mine, quoted: Mine, timeout_s: float) -> Landed:
    """Send one datagram over a connected socket that has stamps, never again, and wait for what comes of it.

    `reply` and `quoted` say whether a packet, or the packet that an error quotes, is ours. A socket that may not send
    this much lands at once with "too_big" of its own machine. Raises TimeoutError, or OSError of the machine itself.
    """
    icmp_errors.listen(sock)
    flight = _Flight(sock, quoted, timeout_s)
    try:
        with contextlib.suppress(PermissionError, BlockingIOError):
            sock.send(wire)
    except OSError as exc:
        refused = flight.error() if exc.errno == errno.EMSGSIZE else None
        if refused is None:
            raise
        return refused
    while True:
        landed = flight.error()
        if landed:
            return landed
        try:
            data, got = stamps.receive(sock)
        except BlockingIOError:
            await flight.change()
            continue
        except OSError:
            # The error came between the two calls; the queue has the whole of it.
            landed = flight.error()
            if landed is None:
                raise
            return landed
        if reply(data):
            return flight.landed(got, None)
        await flight.breathe()


async def syn(sock: Socket, address: str, port: int, timeout_s: float) -> Landed:
    """Send a SYN, and wait for SYN-ACK or RST (both are replies of the target) or an ICMP error.

    Raises TimeoutError, or OSError of the machine itself.
    """
    icmp_errors.listen(sock)
    stamps.enable_received(sock)
    flight = _Flight(sock, lambda _: True, min(timeout_s, SYN_AGAIN_S))
    code = sock.connect_ex((address, port))
    while code == errno.EINPROGRESS:
        await flight.change()
        landed = flight.error()
        if landed:
            return landed
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0 and not _established(sock):
            code = errno.EINPROGRESS
    if code not in (0, errno.ECONNREFUSED, errno.ECONNRESET):
        raise OSError(code, errno.errorcode.get(code, ""))
    info = tcp_info.read(sock) if code == 0 else None
    return Landed(info.rtt_ms, None) if info and info.rtt_ms else flight.landed(None, None)


def _established(sock: Socket) -> bool:
    with contextlib.suppress(OSError):
        sock.getpeername()
        return True
    return False


class _Flight:
    """The clock of one packet, and its socket's error queue."""

    def __init__(self, sock: Socket, quoted: Mine, timeout_s: float) -> None:
        self._sock, self._quoted = sock, quoted
        self._began, self._clock = time.perf_counter(), time.time_ns()
        self._ends = self._began + timeout_s
        self._sent: int | None = None

    def landed(self, got: int | None, report: Report | None) -> Landed:
        """How long it took: by the kernel's stamps, unless a stepped clock shows in them."""
        wall_ms = (time.perf_counter() - self._began) * 1000
        return Landed(stamps.elapsed_ms(wall_ms, self._sent or self._clock, got), report)

    def error(self) -> Landed | None:
        """What the error queue says; read before anything else, which would only raise a pending error."""
        while report := icmp_errors.read(self._sock):
            if report.sent:
                self._sent = report.stamp or self._sent
            elif not report.offender or self._quoted(report.quoted):  # our own machine quotes nothing
                return self.landed(report.stamp, report)
        return None

    async def change(self) -> None:
        """Wait until something happens. Raises TimeoutError."""
        await ready.change(self._sock, self._ends - time.perf_counter())

    async def breathe(self) -> None:
        """A flood of strangers' packets must leave others their turn. Raises TimeoutError."""
        if time.perf_counter() > self._ends:
            raise TimeoutError
        await asyncio.sleep(0)
