"""DNS packets as they pass this machine: headers and the question, nothing else, for a few seconds.

The filter runs in the kernel (classic BPF, linux/filter.h), so other traffic is never copied.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import time
from collections.abc import Callable

from bot.probes.resolving import dns_message
from bot.probes.resolving.query_log import Line

SNAP = 330
"""Bytes kept of a packet: IPv6, UDP and DNS headers and the longest name."""
_ETH_P_ALL = 3
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/if_packet.h
_SAME_PACKET_S = 0.1
_BATCH = 200


def open_capture(port: int) -> socket.socket:
    """A packet socket for UDP from or to `port`. Raises OSError (EPERM without the right to capture)."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    try:
        sock.setblocking(False)
        program = b"".join(struct.pack("=HBBI", *step) for step in _filter(port))
        buffer = ctypes.create_string_buffer(program, len(program))
        sock.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
        )
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    except OSError:
        sock.close()
        raise
    return sock


def _filter(port: int) -> list[tuple[int, int, int, int]]:
    """(code, jump if true, jump if false, k) steps: keep SNAP bytes of unfragmented UDP from or to the port."""
    load_byte, load_half, load_half_x, ip_header = 0x30, 0x28, 0x48, 0xB1
    conjunct, equal, any_bit, give = 0x54, 0x15, 0x45, 0x06
    return [
        (load_byte, 0, 0, 0),
        (conjunct, 0, 0, 0xF0),
        (equal, 0, 9, 0x40),  # not IPv4: on to the IPv6 part
        (load_byte, 0, 0, 9),
        (equal, 0, 15, socket.IPPROTO_UDP),
        (load_half, 0, 0, 6),
        (any_bit, 13, 0, 0x1FFF),  # a later fragment has no ports
        (ip_header, 0, 0, 0),
        (load_half_x, 0, 0, 0),
        (equal, 9, 0, port),
        (load_half_x, 0, 0, 2),
        (equal, 7, 8, port),
        (equal, 0, 7, 0x60),
        (load_byte, 0, 0, 6),
        (equal, 0, 5, socket.IPPROTO_UDP),
        (load_half, 0, 0, 40),
        (equal, 2, 0, port),
        (load_half, 0, 0, 42),
        (equal, 0, 1, port),
        (give, 0, 0, SNAP),
        (give, 0, 0, 0),
    ]


def parse(packet: bytes, port: int) -> tuple[bytes, Line] | None:
    """(key of the packet, what it says), None for what is no DNS. The key is the same when it is seen twice."""
    try:
        if packet[0] >> 4 == 4:
            at, family, source, target = (packet[0] & 0xF) * 4, socket.AF_INET, packet[12:16], packet[16:20]
        else:
            at, family, source, target = 40, socket.AF_INET6, packet[8:24], packet[24:40]
        from_port, to_port, _, _, ident, flags = struct.unpack_from("!HHHHHH", packet, at)
        name = dns_message.question_name(packet, at + 20)
    except (struct.error, IndexError, dns_message.Malformed):
        return None
    reply = bool(flags & 0x8000)
    if (from_port if reply else to_port) != port:
        return None
    client = socket.inet_ntop(family, target if reply else source)
    key = source + target + packet[at : at + 4] + struct.pack("!HH", ident, flags)
    return key, Line(client, name, query=not reply, nxdomain=flags & 0xF == 3 if reply else None)


class _Once:
    """Tells a packet that passes two interfaces (or lo, which shows both directions) from a second packet."""

    def __init__(self) -> None:
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turned = time.monotonic()

    def first(self, key: bytes) -> bool:
        now = time.monotonic()
        if now - self._turned > _SAME_PACKET_S:
            self._old, self._young, self._turned = self._young, set(), now
        if key in self._young or key in self._old:
            return False
        self._young.add(key)
        return True


async def watch(port: int, seconds: float, take: Callable[[Line], None]) -> int:
    """Pass every DNS packet of the next `seconds` to `take`; how many the kernel had to drop. Raises OSError."""
    sock, once = open_capture(port), _Once()
    loop = asyncio.get_running_loop()

    def readable() -> None:
        # In small batches: a flood must not keep the loop from its other work.
        for _ in range(_BATCH):
            try:
                found = parse(sock.recv(SNAP), port)
            except OSError:
                return
            if found and once.first(found[0]):
                take(found[1])

    loop.add_reader(sock, readable)
    try:
        await asyncio.sleep(seconds)
        readable()
        _, dropped = struct.unpack("=II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return int(dropped)
    finally:
        loop.remove_reader(sock)
        sock.close()
