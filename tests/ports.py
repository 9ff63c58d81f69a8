"""Ports for servers that must be told theirs.

A port that the kernel gives (bind to 0) and takes back may be given to the next connection of anybody before the server
is up. So these lie below the kernel's range (ip_local_port_range, 32768 and up), where only who asks for them gets in.
"""

from __future__ import annotations

import random
import socket

_GIVEN: set[int] = set()
_DICE = random.SystemRandom()


def free_port(host: str = "127.0.0.1") -> int:
    """A port of this address at which nobody listens, neither TCP nor UDP; never the same twice in one process."""
    for _ in range(1000):
        port = _DICE.randrange(10_000, 32_000)
        if port not in _GIVEN and _free(host, port):
            _GIVEN.add(port)
            return port
    raise OSError(f"no free port of {host} below 32000")


def _free(host: str, port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                return False
    return True
