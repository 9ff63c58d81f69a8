"""The crawler's load test: distinct external names at high speed, answers ignored.

`python -m bot.lab.loopback.crawler SOURCE RESOLVER PORT QPS PARENT` runs until its parent ends.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
import time

from bot.lab.loopback.leash import hold
from bot.lab.loopback.world import CRAWL_ZONE

TICK_S = 0.001
"""Short, or the queries of others would slip through a limit between two gusts of ours."""
CATCH_UP_S = 0.02
"""A crawler that was descheduled does not send more than this much at once."""


def query(number: int) -> bytes:
    """An A query for a name nobody asked for before."""
    labels = (f"p{number}", f"shop{number % 97}", CRAWL_ZONE)
    name = b"".join(bytes((len(label),)) + label.encode() for label in labels)
    return struct.pack("!6H", random.randrange(65536), 0x0100, 1, 0, 0, 0) + name + b"\0\0\1\0\1"


def crawl(source: str, resolver: tuple[str, int], qps: float) -> None:
    """Send for ever, `qps` queries a second on average."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # the answers are never read: let the kernel drop them early
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sock.bind((source, 0))
    sock.connect(resolver)
    number = random.randrange(10**6, 10**7)
    due = time.monotonic()
    while True:
        now = time.monotonic()
        due = max(due, now - CATCH_UP_S)
        while due <= now:
            number += 1
            # as independent users would: only then do all clients of a limit have the same odds
            due += random.expovariate(qps)
            try:
                sock.send(query(number))
            except OSError:
                continue
        time.sleep(TICK_S)


if __name__ == "__main__":
    hold(int(sys.argv[5]))
    crawl(sys.argv[1], (sys.argv[2], int(sys.argv[3])), float(sys.argv[4]))
