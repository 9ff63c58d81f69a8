"""What the kernel knows of a TCP connection: struct tcp_info of linux/tcp.h."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass

_SIZE = 160
_TIMESTAMPS = 1  # TCPI_OPT_TIMESTAMPS


@dataclass(frozen=True, kw_only=True, slots=True)
class TcpInfo:
    """`pmtu` in bytes of IP packet, `snd_mss` in bytes of payload beside TCP's options of `options` bytes."""

    rtt_ms: float
    pmtu: int
    snd_mss: int
    unacked: int
    retransmits: int
    bytes_acked: int
    options: int


def read(sock: socket.socket) -> TcpInfo | None:
    """None where there is no such thing."""
    with contextlib.suppress(OSError, struct.error, AttributeError):
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
        (snd_mss,) = struct.unpack_from("=I", info, 16)
        (unacked,) = struct.unpack_from("=I", info, 24)
        (pmtu,) = struct.unpack_from("=I", info, 60)
        (rtt_us,) = struct.unpack_from("=I", info, 68)
        (retransmits,) = struct.unpack_from("=I", info, 100)
        (acked,) = struct.unpack_from("=Q", info, 120)
        return TcpInfo(
            rtt_ms=rtt_us / 1000,
            pmtu=pmtu,
            snd_mss=snd_mss,
            unacked=unacked,
            retransmits=retransmits,
            bytes_acked=acked,
            options=12 if info[5] & _TIMESTAMPS else 0,
        )
    return None
