"""Kernel time stamps of datagrams: a busy event loop lies by milliseconds, the kernel does not.

Linux Documentation/networking/timestamping.rst. Where the kernel gives none, callers use their own clock.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from functools import lru_cache

_SO_TIMESTAMPING = 37  # asm-generic/socket.h; not exported by Python 3.11
_TX_SOFTWARE, _RX_SOFTWARE, _SOFTWARE, _OPT_TSONLY = 1 << 1, 1 << 3, 1 << 4, 1 << 11
_TIMESPEC = struct.Struct("@qq")
_ROOM = 512


@lru_cache(maxsize=1)
def keep_on() -> socket.socket:
    """Have the kernel stamp what comes in for as long as this process lives.

    It stamps only while some socket asks for it, and begins a moment after the first one did
    (net_enable_timestamp): on a machine where nobody else asks, a probe's only datagram would come too early.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE | _SOFTWARE)
    return sock


def enable(sock: socket.socket) -> None:
    """Ask for software stamps in both directions."""
    _ask(sock, _TX_SOFTWARE | _RX_SOFTWARE | _SOFTWARE | _OPT_TSONLY)


def enable_received(sock: socket.socket) -> None:
    """Ask for software stamps of what comes in only."""
    _ask(sock, _RX_SOFTWARE | _SOFTWARE)


def _ask(sock: socket.socket, flags: int) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, flags)


def receive(sock: socket.socket, size: int = 4096) -> tuple[bytes, int | None]:
    """One datagram and when the kernel got it (ns since the epoch). Raises BlockingIOError or OSError."""
    data, ancillary, _, _ = sock.recvmsg(size, _ROOM)
    return data, stamp_of(ancillary)


def sent(sock: socket.socket) -> int | None:
    """When the kernel handed the last datagram to the device (ns since the epoch), if it has said so yet."""
    try:
        _, ancillary, _, _ = sock.recvmsg(1, _ROOM, socket.MSG_ERRQUEUE)
    except OSError:
        return None
    return stamp_of(ancillary)


def stamp_of(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """The stamp among ancillary data, in ns since the epoch."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING and len(data) >= _TIMESPEC.size:
            seconds, nanos = _TIMESPEC.unpack_from(data)
            return int(seconds * 1_000_000_000 + nanos) or None
    return None


def elapsed_ms(wall_ms: float, sent: int, received: int | None) -> float:
    """From one stamp to the other, in ms; `wall_ms`, our own measure, where there is none or the clock was stepped.

    A step shows as a time before the start or after the end.
    """
    kernel_ms = (received - sent) / 1e6 if received else -1.0
    return kernel_ms if 0 <= kernel_ms <= wall_ms + 1 else wall_ms
