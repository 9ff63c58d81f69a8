"""Prometheus' part, as quick as can be: asks blackbox_exporter for probes over connections that stay open.

    python -m tests.bench.scrape PORT 'module=tcp&target={target}:80' SECONDS AT_ONCE

prints {"tries", "ok", "seconds"}; a probe is ok when the answer says probe_success 1.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from typing import cast

import uvloop

from tests.bench.servers import LOOPBACK, target

_SEAM = re.compile(rb"\r\n[0-9a-f]+\r\n")
"""Between two chunks (RFC 9112 7.1)."""
Counts = dict[str, float]


class Scraper(asyncio.Protocol):
    """One connection: ask, read to the end, ask again."""

    def __init__(self, query: str, numbers: itertools.count[int], counts: Counts, ends: float) -> None:
        self.query, self.numbers, self.counts, self.ends = query, numbers, counts, ends
        self.done = asyncio.get_running_loop().create_future()
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def ask(self) -> None:
        query = self.query.replace("{target}", target(next(self.numbers)))
        self.transport.write(f"GET /probe?{query} HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        _, sized, rest = head.partition(b"Content-Length: ")
        if len(body) < int(rest.split(b"\r\n")[0]) if sized else not body.endswith(b"0\r\n\r\n"):
            return
        self.counts["tries"] += 1
        self.counts["ok"] += b"\nprobe_success 1\n" in _SEAM.sub(b"", body)
        self.data = b""
        if time.perf_counter() < self.ends:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def work(port: int, query: str, seconds: float, at_once: int) -> Counts:
    """Keep `at_once` probes going for so long."""
    counts: Counts = {"tries": 0, "ok": 0}
    numbers = itertools.count()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        await loop.create_connection(lambda: Scraper(query, numbers, counts, began + seconds), LOOPBACK, port)
        for _ in range(at_once)
    ]
    await asyncio.gather(*(scraper.done for _, scraper in made))
    return {**counts, "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    _, port, query, seconds, at_once = sys.argv
    print(json.dumps(uvloop.run(work(int(port), query, float(seconds), int(at_once)))))
