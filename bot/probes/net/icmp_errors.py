"""A socket's error queue: which router said what about a packet of ours, without any privilege.

ip(7), IP_RECVERR; linux/errqueue.h. The queue also carries the transmit stamps of `bot.probes.net.stamps`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass

from bot.probes.net import stamps

_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h; not exported by Python 3.11
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_DONTFRAG = 10, 23, 62
_PMTUDISC_PROBE = 3  # DF is set and what the kernel remembers of the path is not believed
_EXTENDED = struct.Struct("@IBBBBII")  # sock_extended_err: errno, origin, type, code, pad, info, data
_LOCAL, _ICMP, _ICMP6 = 1, 2, 3  # SO_EE_ORIGIN_*
_ROOM = 512
_QUOTED = 128

TIME_EXCEEDED, TOO_BIG = "time_exceeded", "too_big"
_WORDS = {
    (_ICMP, 11, 0): TIME_EXCEEDED,
    (_ICMP, 3, 0): "network_unreachable",
    (_ICMP, 3, 1): "host_unreachable",
    (_ICMP, 3, 2): "protocol_unreachable",
    (_ICMP, 3, 3): "port_unreachable",
    (_ICMP, 3, 4): TOO_BIG,
    (_ICMP, 3, 9): "prohibited",
    (_ICMP, 3, 10): "prohibited",
    (_ICMP, 3, 13): "prohibited",
    (_ICMP6, 3, 0): TIME_EXCEEDED,
    (_ICMP6, 2, 0): TOO_BIG,
    (_ICMP6, 1, 0): "network_unreachable",
    (_ICMP6, 1, 1): "prohibited",
    (_ICMP6, 1, 3): "host_unreachable",
    (_ICMP6, 1, 4): "port_unreachable",
}
"""RFC 792, RFC 1812 5.2.7.1, RFC 4443 by origin, type and code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One entry of the queue.

    `said` is what happened ("time_exceeded", "too_big", "host_unreachable", "prohibited", ...), "" for a transmit
    stamp. `offender` is the router or host that said it, "" when it was this machine. `mtu` is the next hop's for
    "too_big" (0: a router older than RFC 1191). `quoted` is our own packet from its transport header on (UDP: from
    its payload on). `stamp`: when the kernel got it, or sent it, in ns since the epoch.
    """

    said: str
    offender: str = ""
    mtu: int = 0
    quoted: bytes = b""
    stamp: int | None = None

    @property
    def sent(self) -> bool:
        """Whether it is a transmit stamp."""
        return not self.said


def listen(sock: socket.socket) -> None:
    """Have ICMP errors queued instead of only counted."""
    level, option = _option(sock, _IP_RECVERR, _IPV6_RECVERR)
    sock.setsockopt(level, option, 1)


def dont_fragment(sock: socket.socket) -> None:
    """Set DF on what is sent and send it whatever path MTU the kernel remembers (RFC 4821, ip(7))."""
    level, option = _option(sock, _IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER)
    sock.setsockopt(level, option, _PMTUDISC_PROBE)
    if level == socket.IPPROTO_IPV6:
        sock.setsockopt(level, _IPV6_DONTFRAG, 1)


def hop_limit(sock: socket.socket, hops: int) -> None:
    """Let what is sent live for so many hops."""
    level, option = _option(sock, socket.IP_TTL, socket.IPV6_UNICAST_HOPS)
    sock.setsockopt(level, option, hops)


def read(sock: socket.socket) -> Report | None:
    """The next entry of the queue, None when it is empty."""
    try:
        quoted, ancillary, _, _ = sock.recvmsg(_QUOTED, _ROOM, socket.MSG_ERRQUEUE)
    except OSError:
        return None
    stamp = stamps.stamp_of(ancillary)
    for level, kind, data in ancillary:
        if (level, kind) in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
            found = _extended(data, quoted, stamp)
            if found:
                return found
    return Report(said="", stamp=stamp)


def _extended(data: bytes, quoted: bytes, stamp: int | None) -> Report | None:
    _, origin, kind, code, _, info, _ = _EXTENDED.unpack_from(data)
    if origin == _LOCAL:
        return Report(said=TOO_BIG, mtu=info, quoted=quoted, stamp=stamp)
    if origin not in (_ICMP, _ICMP6):
        return None
    said = _WORDS.get((origin, kind, code), f"icmp_{kind}_{code}")
    mtu = info if said == TOO_BIG else 0
    return Report(said=said, offender=_address(data[_EXTENDED.size :]), mtu=mtu, quoted=quoted, stamp=stamp)


def _address(sockaddr: bytes) -> str:
    """The address in a sockaddr_in or sockaddr_in6."""
    with contextlib.suppress(struct.error, ValueError):
        family = struct.unpack_from("=H", sockaddr)[0]
        if family == socket.AF_INET:
            return socket.inet_ntop(socket.AF_INET, sockaddr[4:8])
        if family == socket.AF_INET6:
            return socket.inet_ntop(socket.AF_INET6, sockaddr[8:24])
    return ""


def _option(sock: socket.socket, v4: int, v6: int) -> tuple[int, int]:
    return (socket.IPPROTO_IPV6, v6) if sock.family == socket.AF_INET6 else (socket.IPPROTO_IP, v4)
