"""ICMP echo: which kind of socket may send it, the packet, and which packet is the reply to it."""

from __future__ import annotations

import errno
import secrets
import socket
import struct
from dataclasses import dataclass, replace

from bot.probes.base import ProbeContext
from bot.probes.classify import LocalError
from bot.probes.net import dial
from bot.probes.net.ready import Socket

MAX_PAYLOAD = 8972
"""What fits a 9000-byte frame beside the headers of IPv4 and ICMP."""
DATAGRAM, RAW = "icmp", "icmp_raw"
_LACKING = {
    DATAGRAM: "net.ipv4.ping_group_range does not include this group",
    RAW: "CAP_NET_RAW missing",
}
_SOCKETS = {DATAGRAM: socket.SOCK_DGRAM, RAW: socket.SOCK_RAW}


@dataclass(frozen=True, slots=True)
class Numbers:
    """ICMP numbers of one address family (RFC 792, RFC 4443) and the bytes of the IP and ICMP headers."""

    request: int
    reply: int
    protocol: int
    headers: int


_BY_FAMILY = {
    socket.AF_INET: Numbers(8, 0, socket.IPPROTO_ICMP, 28),
    socket.AF_INET6: Numbers(128, 129, socket.IPPROTO_ICMPV6, 48),
}


def numbers(address: str) -> Numbers:
    """The numbers of the address's family."""
    return _BY_FAMILY[dial.family_of(address)]


@dataclass(frozen=True, slots=True)
class Leave:
    """`method` is the socket this agent may open ("icmp", "icmp_raw", None for neither), `lacking` why not a better."""

    method: str | None
    lacking: tuple[str, ...]


def leave(address: str, ctx: ProbeContext) -> Leave:
    """Try the kinds of socket in a fixed order, the one that needs no privilege first (icmp(7))."""
    lacking: list[str] = []
    for method in (DATAGRAM, RAW):
        try:
            open_socket(method, address, replace(ctx, source="", pace=None)).close()
        except LocalError as exc:
            forbidden = exc.code in (errno.EACCES, errno.EPERM)
            lacking.append(_LACKING[method] if forbidden else f"{method}: {exc}")
            continue
        return Leave(method, tuple(lacking))
    return Leave(None, tuple(lacking))


def open_socket(method: str, address: str, ctx: ProbeContext) -> Socket:
    """A socket for echoes, not connected. Raises LocalError. The caller asks the policy."""
    return dial.open_socket(address, ctx, _SOCKETS[method], numbers(address).protocol)


class Echo:
    """One echo request and how to know what belongs to it. `wire` begins at the ICMP header.

    A datagram socket's id is the kernel's, so the random token tells our reply; an error quotes at least our header.
    """

    def __init__(self, address: str, method: str, *, size: int = 40) -> None:
        """`size`: payload bytes; a payload too short for the token is told by id and sequence."""
        self._numbers = numbers(address)
        self._raw4 = method == RAW and ":" not in address
        self._raw = method == RAW
        self._key = secrets.token_bytes(4)
        self._token = secrets.token_bytes(8)[:size]
        body = self._key + self._token + bytes(i & 0xFF for i in range(size - len(self._token)))
        packet = struct.pack("!BBH", self._numbers.request, 0, 0) + body
        self.wire = packet[:2] + struct.pack("!H", _checksum(packet)) + packet[4:]

    def answered(self, data: bytes) -> bool | None:
        """True for our reply, None for any other packet."""
        if self._raw4:
            data = data[(data[0] & 0x0F) * 4 :] if data else b""
        ours = data[:1] == bytes([self._numbers.reply]) and data[6:8] == self._key[2:]
        mine = not self._raw or data[4:6] == self._key[:2]
        return True if ours and mine and data[8 : 8 + len(self._token)] == self._token else None

    def quoted(self, packet: bytes) -> bool:
        """Whether an ICMP error is about this request: id (the kernel's own for a datagram socket) and sequence."""
        mine = not self._raw or packet[4:6] == self._key[:2]
        return mine and packet[:1] == self.wire[:1] and packet[6:8] == self._key[2:]


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)
