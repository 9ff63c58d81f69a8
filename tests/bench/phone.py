"""A phone provider that notes when each page arrived, as a process of its own: python -m tests.bench.phone PORT.

POST /call is answered 202 at once, or never between /hold and /release. GET /seen is {key: [epoch seconds, ...]}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import httpx

LOOPBACK = "127.0.0.1"


class _Desk:
    def __init__(self) -> None:
        self._seen: dict[str, list[float]] = {}
        self._free = asyncio.Event()
        self._free.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                now = time.time()
                lines = head.split("\r\n")
                fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
                await reader.readexactly(int(fields.get("content-length", 0)))
                body = await self._answer(lines[0].split()[1], fields, now)
                writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async def _answer(self, path: str, fields: dict[str, str], now: float) -> bytes:
        if path == "/seen":
            return json.dumps(self._seen).encode()
        if path == "/forget":
            self._seen.clear()
        elif path == "/hold":
            self._free.clear()
        elif path == "/release":
            self._free.set()
        else:
            self._seen.setdefault(fields["idempotency-key"], []).append(now)
            await self._free.wait()
        return b"{}"


@dataclass(frozen=True, kw_only=True)
class Phone:
    """The provider, as the benchmark asks it."""

    url: str

    def seen(self) -> dict[str, list[float]]:
        """When each key arrived."""
        found: dict[str, list[float]] = httpx.get(f"{self.url}/seen", trust_env=False, timeout=30).json()
        return found

    def tell(self, word: str) -> None:
        """forget, hold or release."""
        httpx.post(f"{self.url}/{word}", trust_env=False, timeout=30)

    def until(self, keys: Collection[str], within_s: float) -> dict[str, list[float]]:
        """Wait for these keys."""
        deadline = time.monotonic() + within_s
        while missing := set(keys) - set(found := self.seen()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(missing)} of {len(keys)} pages did not arrive within {within_s:g} s")
            time.sleep(0.2)
        return found


@contextlib.contextmanager
def phone(port: int) -> Iterator[Phone]:
    """The provider, running."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.phone", str(port)])
    there = Phone(url=f"http://{LOOPBACK}:{port}")
    try:
        for _ in range(200):
            with contextlib.suppress(httpx.TransportError):
                there.seen()
                break
            time.sleep(0.05)
        yield there
    finally:
        process.kill()
        process.wait()


async def _main(port: int) -> None:
    server = await asyncio.start_server(_Desk().serve, LOOPBACK, port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
