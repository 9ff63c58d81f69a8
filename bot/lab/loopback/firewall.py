"""A firewall without root: connection attempts from some sources vanish, all others are served.

Two listening sockets share one address and port (SO_REUSEPORT, socket(7)); a classic BPF program picks the
socket by the client's address. Blocked clients get the second one, whose accept queue is full and never
emptied, so Linux drops their SYN: exactly what a DROP rule looks like from outside.
"""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import struct

SO_ATTACH_REUSEPORT_CBPF = 51
_LOAD_SOURCE = (0x20, 0, 0, 0xFFF0000C)
"""ld [SKF_NET_OFF + 12]: the IPv4 source address."""
_SERVE, _BLOCK = 0, 1
"""Indices in the group, in the order in which the sockets began to listen."""


class Firewall:
    """`listener` is the socket to serve on; it is listening already."""

    def __init__(self, address: str, port: int, network: str) -> None:
        self._network = ipaddress.IPv4Network(network)
        self.listener = _listen(address, port, 256)
        self._sink = _listen(address, port, 0)
        self.block()
        self._stuffing = self._stuff((address, port))
        self.lift()

    def block(self) -> None:
        """From now on SYNs from the network vanish."""
        self._attach(
            _LOAD_SOURCE,
            (0x54, 0, 0, int(self._network.netmask)),
            (0x15, 0, 1, int(self._network.network_address)),
            (0x06, 0, 0, _BLOCK),
            (0x06, 0, 0, _SERVE),
        )

    def lift(self) -> None:
        """Serve everybody."""
        self._attach((0x06, 0, 0, _SERVE))

    def close(self) -> None:
        """Close the sockets that only exist for the blocking."""
        self._stuffing.close()
        self._sink.close()

    def _stuff(self, place: tuple[str, int]) -> socket.socket:
        # listen(0) still takes one connection; with it inside, the queue is full for good
        sock = socket.socket()
        sock.settimeout(5)
        sock.bind((str(self._network.broadcast_address - 1), 0))
        sock.connect(place)
        return sock

    def _attach(self, *program: tuple[int, int, int, int]) -> None:
        code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
        buffer = ctypes.create_string_buffer(code, len(code))
        fprog = struct.pack("HL", len(program), ctypes.addressof(buffer))
        self.listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, fprog)


def _listen(address: str, port: int, backlog: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((address, port))
    sock.listen(backlog)
    return sock
