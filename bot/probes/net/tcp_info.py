"""What the kernel knows of a TCP connection: struct tcp_info of linux/tcp.h."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_FIELDS = struct.Struct("=5xB10xI4xI32xI4xI28xI16xQ")
"""tcpi_options, tcpi_snd_mss, tcpi_unacked, tcpi_pmtu, tcpi_rtt, tcpi_total_retrans, tcpi_bytes_acked (Linux 4.1)."""
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
    try:
        info = _FIELDS.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _FIELDS.size))
    except (OSError, struct.error, AttributeError):
        return None
    options, snd_mss, unacked, pmtu, rtt_us, retransmits, acked = info
    return TcpInfo(
        rtt_ms=rtt_us / 1000,
        pmtu=pmtu,
        snd_mss=snd_mss,
        unacked=unacked,
        retransmits=retransmits,
        bytes_acked=acked,
        options=12 if options & _TIMESTAMPS else 0,
    )
