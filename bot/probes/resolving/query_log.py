"""Reading a resolver's query log while it grows: who asked what, and who was told that it does not exist."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

POLL_S = 0.1
BREATH = 500
"""Lines that are read before other work gets its turn."""
MAX_LINE = 4096
"""Bytes; a longer line is no query, and what never ends is not waited for."""
MAX_BYTES_S = 8 * 1024 * 1024
"""How much of a log is read at once; a faster one is sampled, never a reason to fill memory."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of interest. `query` is False for a reply; `nxdomain` is None where the line does not say."""

    client: str
    name: str
    query: bool
    nxdomain: bool | None = None


_COREDNS = re.compile(rb'(?:^|\s)\[?([0-9A-Fa-f.:]+)\]?:\d+ - \d+ "\S+ \S+ (\S+) [^"]*" (\S+)')
_UNBOUND = re.compile(rb"(?:info|query|reply): ([0-9A-Fa-f.:]+)(?:@\d+)? (\S+) \S+ [A-Z]+(?: ([A-Z]+) \d)?")
_DNSMASQ = re.compile(rb"query\[[^\]]+\] (\S+) from ([0-9A-Fa-f.:]+)")
_DNSMASQ_NX = re.compile(rb" ([0-9A-Fa-f.:]+)/\d+ \S+ (\S+) is (?:NXDOMAIN|NODATA-?\S*)")


def _name(raw: bytes) -> str:
    return raw.rstrip(b".").lower().decode("ascii", "replace")


def coredns(line: bytes) -> Line | None:
    """The `log` plugin's default format: one line is both the query and its rcode."""
    found = _COREDNS.search(line)
    if not found:
        return None
    client, name, rcode = found.groups()
    return Line(client.decode(), _name(name), query=True, nxdomain=rcode == b"NXDOMAIN")


def unbound(line: bytes) -> Line | None:
    """`log-queries` and `log-replies` lines, tagged or not."""
    found = _UNBOUND.search(line)
    if not found:
        return None
    client, name, rcode = found.groups()
    return Line(client.decode(), _name(name), query=rcode is None, nxdomain=rcode == b"NXDOMAIN" if rcode else None)


def dnsmasq(line: bytes) -> Line | None:
    """`log-queries` lines; only `log-queries=extra` says to whom a reply went."""
    found = _DNSMASQ.search(line)
    if found:
        return Line(found.group(2).decode(), _name(found.group(1)), query=True)
    found = _DNSMASQ_NX.search(line)
    if found:
        return Line(found.group(1).decode(), _name(found.group(2)), query=False, nxdomain=b"is NXDOMAIN" in line)
    return None


FORMATS: Mapping[str, Callable[[bytes], Line | None]] = {"coredns": coredns, "unbound": unbound, "dnsmasq": dnsmasq}


class Tail:
    """A growing file from its end on; survives truncation and rotation. Raises OSError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("rb")
        self._file.seek(0, os.SEEK_END)
        self._rest = b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def lines(self) -> list[bytes]:
        """The whole lines written since the last call."""
        data = self._grown()
        if self._rotated():
            with_rest = data + self._file.read(MAX_BYTES_S)
            self._file.close()
            self._file = self._path.open("rb")
            data = with_rest + self._file.read(MAX_BYTES_S)
        *whole, rest = (self._rest + data).split(b"\n")
        # One byte more than a line may have, so that the end of a line that is too long does not pass for a line.
        self._rest = rest[: MAX_LINE + 1]
        return [line for line in whole if len(line) <= MAX_LINE]

    def _grown(self) -> bytes:
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
            self._rest = b""
        return self._file.read(MAX_BYTES_S)

    def _rotated(self) -> bool:
        try:
            now = self._path.stat()
        except OSError:
            return False  # between the rename and the new file; look again at the next call
        mine = os.fstat(self._file.fileno())
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino)


async def follow(path: Path, form: str, seconds: float, take: Callable[[Line], None]) -> None:
    """Pass every line of interest written in the next `seconds` to `take`. Raises OSError."""
    read = FORMATS[form]
    tail = Tail(path)
    try:
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            await asyncio.sleep(max(0.0, min(POLL_S, left)))
            for number, raw in enumerate(tail.lines()):
                if number % BREATH == 0:
                    await asyncio.sleep(0)
                line = read(raw)
                if line is not None:
                    take(line)
            if left <= 0:
                return
    finally:
        tail.close()
