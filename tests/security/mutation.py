"""Valid inputs bent a little: by tree where they are JSON, by byte in any case. The same seed gives the same input."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**400, 1e308, -1e308, 1e-320, "", "a", "0", "\0", "\n",
    "\u202e", "\ud800", "\ufffd" * 3, "a" * 300, "9" * 5000, "../../etc/passwd", "127.0.0.1", "::1", "@host", "https://",
    [], {}, [[]], [None] * 5, {"": None}, {"a": {"b": [1]}}, "NaN", [1e308, -1e308],
)  # fmt: skip
PIECES = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"NaN", b"Infinity", b"-", b"e999", b"9" * 400, b"\0",
    b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"[" * 2000, b'{"a":' * 500, b"\r\n", b" " * 200,
)  # fmt: skip


def bent(row: Any, random: Random) -> Any:
    """A copy of a JSON value with one to three of its places changed, renamed, dropped or repeated."""
    value = json.loads(json.dumps(row))
    for _ in range(random.randint(1, 3)):
        value = _one(value, random)
    return value


def _one(value: Any, random: Random) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.8:
        key = random.choice(list(value))
        choice = random.random()
        if choice < 0.5:
            value[key] = _one(value[key], random)
        elif choice < 0.7:
            value[key] = _odd(random)
        elif choice < 0.8:
            del value[key]
        elif choice < 0.9:
            value[str(random.choice(ODD))[:50]] = value.pop(key)
        else:
            value[key] = {key: value[key]} if random.random() < 0.5 else [value[key]] * random.randint(0, 3)
        return value
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        value[at] = _one(value[at], random)
        return value * random.randint(1, 3)
    if isinstance(value, str) and random.random() < 0.5:
        return scrambled([value.encode("utf-8", "surrogatepass")], random).decode("utf-8", "replace")
    return _odd(random)


def _odd(random: Random) -> Any:
    return copy.deepcopy(random.choice(ODD))


def scrambled(samples: Sequence[bytes], random: Random) -> bytes:
    """One of the samples with one to four cuts, flips, insertions, repetitions or splices."""
    data = bytearray(random.choice(samples))
    for _ in range(random.randint(1, 4)):
        at, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
        choice = random.randrange(7)
        if choice == 0 and data:
            data[random.randrange(len(data))] = random.randrange(256)
        elif choice == 1:
            del data[at:end]
        elif choice == 2:
            data[at:at] = random.choice(PIECES)
        elif choice == 3:
            data[at:at] = data[at:end]
        elif choice == 4:
            data[at:end] = random.randbytes(random.randint(0, 12))
        elif choice == 5:
            other = random.choice(samples)
            data[at:] = other[random.randint(0, len(other)) :]
        else:
            del data[at:]
    return bytes(data[:300_000])
