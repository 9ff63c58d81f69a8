"""As much of HTTP/1.1 as a stand-in needs: one request or answer with a Content-Length, then the connection ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Heard:
    """A request or an answer: its first line, headers with small names, body, and all of it as it came."""

    first: str
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def status(self) -> int:
        return int(self.first.split()[1])


async def hear(reader: asyncio.StreamReader) -> Heard:
    """Raises asyncio.IncompleteReadError when the other side ends first."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Heard(lines[0], headers, body, head + body)


def answer(status: int, body: bytes = b"{}", *, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{more}\r\n"
    return head.encode() + body
