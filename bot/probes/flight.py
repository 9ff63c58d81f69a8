"""One packet out, and what came of it: the reply, or an ICMP error from the error queue, by the kernel's own stamps."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from bot.probes import icmp_errors, stamps, tcp_info
from bot.probes.icmp_errors import Report

Mine = Callable[[bytes], bool | None]
SYN_AGAIN_S = 1.0
"""The kernel repeats a SYN after this long (RFC 6298 2.1); an answer that comes later cannot be timed."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What came back after `ms`: an ICMP error, or (`report` None) the reply of the very target."""

    ms: float
    report: Report | None


async def datagram(sock: socket.socket, wire: bytes, reply: Mine, quoted: Mine, timeout_s: float) -> Landed:
    """Send one datagram over a connected socket that has stamps, never again, and wait for what comes of it.

    `reply` and `quoted` say whether a packet, or the packet that an error quotes, is ours. A socket that may not send
    this much lands at once with "too_big" of its own machine. Raises TimeoutError, or OSError of the machine itself.
    """
    icmp_errors.listen(sock)
    flight = _Flight(sock, quoted)

    def look() -> Landed | None:
        data, got = stamps.receive(sock)
        return flight.landed(got, None) if reply(data) else None

    began = time.perf_counter()
    try:
        with contextlib.suppress(PermissionError, BlockingIOError):
            sock.send(wire)
    except OSError as exc:
        report = icmp_errors.read(sock)
        if exc.errno != errno.EMSGSIZE or report is None or report.sent:
            raise
        return Landed((time.perf_counter() - began) * 1000, report)
    return await flight.over(look, timeout_s)


async def syn(sock: socket.socket, address: str, port: int, timeout_s: float) -> Landed:
    """Send a SYN, and wait for SYN-ACK or RST (both are replies of the target) or an ICMP error.

    Raises TimeoutError, or OSError of the machine itself.
    """
    icmp_errors.listen(sock)
    stamps.enable_received(sock)
    flight = _Flight(sock, lambda _: True)

    def look() -> Landed | None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code not in (0, errno.ECONNREFUSED, errno.ECONNRESET):
            raise OSError(code, errno.errorcode.get(code, ""))
        if code == 0 and not _established(sock):
            return None
        info = tcp_info.read(sock) if code == 0 else None
        return Landed(info.rtt_ms, None) if info and info.rtt_ms else flight.landed(None, None)

    code = sock.connect_ex((address, port))
    if code == errno.ECONNREFUSED:
        return flight.landed(None, None)
    if code not in (0, errno.EINPROGRESS):
        raise OSError(code, errno.errorcode.get(code, ""))
    return await flight.over(look, min(timeout_s, SYN_AGAIN_S), writable=True)


def _established(sock: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        sock.getpeername()
        return True
    return False


class _Flight:
    """Waits on a socket: the error queue is read first, for a pending error would be raised by anything else."""

    def __init__(self, sock: socket.socket, quoted: Mine) -> None:
        self._sock, self._quoted = sock, quoted
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[Landed] = self._loop.create_future()
        self._began, self._clock = time.perf_counter(), time.time_ns()
        self._sent: int | None = None

    def landed(self, got: int | None, report: Report | None) -> Landed:
        """How long it took: by the kernel's stamps, unless a stepped clock shows in them."""
        wall_ms = (time.perf_counter() - self._began) * 1000
        kernel_ms = (got - (self._sent or self._clock)) / 1e6 if got else -1.0
        return Landed(kernel_ms if 0 <= kernel_ms <= wall_ms + 1 else wall_ms, report)

    async def over(self, look: Callable[[], Landed | None], timeout_s: float, *, writable: bool = False) -> Landed:
        """Wait until `look` or the error queue has something."""

        def ready() -> None:
            if self._done.done():
                return
            try:
                found = self._errors() or look()
                while found is None and not writable:
                    found = self._errors() or look()
            except BlockingIOError:
                found = None
            except OSError as exc:
                self._done.set_exception(exc)
                return
            if found:
                self._done.set_result(found)
            else:
                # Woken by a stamp alone. libuv has stopped watching by now, so watch anew.
                self._loop.remove_reader(self._sock)
                self._loop.add_reader(self._sock, ready)

        self._loop.add_reader(self._sock, ready)
        if writable:
            self._loop.add_writer(self._sock, ready)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._done
        finally:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)

    def _errors(self) -> Landed | None:
        while report := icmp_errors.read(self._sock):
            if report.sent:
                self._sent = report.stamp or self._sent
            elif self._quoted(report.quoted):
                return self.landed(report.stamp, report)
        return None
