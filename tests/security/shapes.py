"""Which parameters a kind of probe takes a target in, found by asking it: a new kind joins by being in the table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bot.probes.base import BadParams
from bot.probes.table import KINDS, check

NO_TARGET = frozenset({"dns_top", "coredns", "changes"})
"""Kinds without one target: dns_top watches what passes the agent's own machine; coredns and changes ask several
places at once, and what the policy refuses of them is named under `lacking` (their own tests show it)."""
PUBLIC = "203.0.113.80"
NAMESERVER = "198.51.100.53"
_SLOTS = {"address": PUBLIC, "host": "public.test", "url": "http://public.test/", "server": NAMESERVER}
_POOL: dict[str, Any] = {
    **_SLOTS, "name": "public.test", "port": 443, "service": "sms", "action": "DescribeThing", "version": "2021-01-11",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """Parameters that a kind accepts, with the target in `slot`."""

    kind: str
    slot: str
    params: dict[str, Any]

    def aimed(self, value: str) -> dict[str, Any]:
        """The parameters with another target."""
        return {**self.params, self.slot: value}


def accepted(kind: str, params: dict[str, Any]) -> bool:
    """Whether the kind takes these."""
    try:
        check(kind, params)
    except BadParams:
        return False
    return True


def shapes() -> list[Shape]:
    """Every kind with every parameter that may carry its target. Raises AssertionError for a kind that has none."""
    return [shape for kind in KINDS if kind not in NO_TARGET for shape in _of(kind)]


def _pinned(slot: str, params: dict[str, Any]) -> bool:
    """A pinned address takes the name out of the path."""
    return slot in ("host", "url") and "address" in params


def _of(kind: str) -> Iterator[Shape]:
    found: set[str] = set()
    for first in ({}, {"host": _SLOTS["host"]}, {"address": _SLOTS["address"]}, {"url": _SLOTS["url"]}):
        base = _completed(kind, dict(first))
        if base is None:
            continue
        for slot, value in _SLOTS.items():
            params = {**base, slot: base.get(slot, value)}
            if slot not in found and not _pinned(slot, params) and accepted(kind, params):
                found.add(slot)
                yield Shape(kind, slot, params)
    assert found, (
        f"kind {kind} shows no parameter that carries its target; teach tests/security/shapes.py, or NO_TARGET"
    )


def _completed(kind: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """Parameters that the kind accepts, made by doing what it complains of; None when that leads nowhere."""
    for _ in range(20):
        try:
            check(kind, params)
            return params
        except BadParams as exc:
            said = str(exc)
        if missing := re.match(r"(\w+) is missing", said):
            params[missing[1]] = _POOL.get(missing[1], "x")
        elif choice := re.match(r"(\w+) must be one of (\w+)", said):
            params[choice[1]] = choice[2]
        elif number := re.match(r"(\w+) must be a whole number from (-?\d+)", said):
            params[number[1]] = int(number[2])
        elif "https" in said and "url" in params:
            params["url"] = params["url"].replace("http:", "https:")
        else:
            return None
    return None
