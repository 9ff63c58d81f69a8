"""HTTP/1.1 messages the quick way: our own requests, and replies that came whole and plain (RFC 9112). No I/O.

Whatever is not plain is left to h11, which is right about everything and costs more than the rest of the probe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

_REQUEST_LINE = re.compile(r"[A-Z]+ [!-~]+ HTTP/1\.1")
_FIELD_LINE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~]*")
_TEXT = rb"[\t -~\x80-\xff]*"
_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) " + _TEXT + rb"\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:" + _TEXT + rb"\r\n){1,100})\r\n"
)
_BODILESS = (204, 304)
_LONGEST = 16 * 1024
"""Bytes of a head that are looked at here; h11 has a limit of its own."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A complete reply; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def written(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """The bytes of a request. Raises ValueError for anything that would not stay on its own line."""
    first, *fields = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if not _REQUEST_LINE.fullmatch(first) or not all(map(_FIELD_LINE.fullmatch, fields)):
        raise ValueError("the request has characters that HTTP does not allow")
    return "\r\n".join([first, *fields, "", ""]).encode("ascii") + body


def whole(data: bytes, method: str) -> Whole | None:
    """The reply in `data` if all of it is there and its length is beyond doubt, else None."""
    head = _HEAD.match(data, 0, _LONGEST)
    if head is None:
        return None
    status, headers = int(head[1]), _fields(head[2])
    if headers is None:
        return None
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or "upgrade" in headers:
        return None
    if method == "HEAD" or status in _BODILESS:
        return Whole(status, headers, b"")
    start = head.end()
    if not (length.isascii() and length.isdigit() and len(length) < 10) or len(data) - start < int(length):
        return None
    return Whole(status, headers, data[start : start + int(length)])


@lru_cache(maxsize=64)
def _fields(block: bytes) -> Mapping[str, str] | None:
    """The header fields; None where the length is said twice. The tries of one probe get the same ones again."""
    fields: dict[str, str] = {}
    for line in block.decode("latin-1").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name = name.lower()
        if name == "content-length" and name in fields:
            return None
        fields[name] = value.strip(" \t")
    return MappingProxyType(fields)
