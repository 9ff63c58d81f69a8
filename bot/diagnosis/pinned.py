"""Which address works from where: addresses that only the inside of a scope is told, against those told elsewhere.

A service with an address for each region, a hijacked name and a stale record look alike from one place. Tried from
everywhere, each address shows whether it is the address or the way to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.diagnosis.cells import service_of
from bot.domain.failure import Failure, FaultOf
from bot.domain.failure_words import failure_words
from bot.domain.probe import UP_RATE, Observation


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinned:
    """Tries of one agent at one address of a service, with DNS out of the path."""

    agent: str
    service: str
    address: str
    tries: int
    ok: int
    failure: str


def pinned(observations: Sequence[Observation]) -> tuple[Pinned, ...]:
    """Every pinned HTTP probe that could run."""
    found = []
    for seen in observations:
        address = seen.detail.get("address")
        if seen.layer != "http" or not isinstance(address, str) or not address:
            continue
        if not seen.ok and seen.fault_of in (FaultOf.AGENT, FaultOf.POLICY):
            continue
        ok = round((seen.success_rate if seen.success_rate is not None else float(seen.ok)) * seen.tries)
        failure = seen.failure.value if isinstance(seen.failure, Failure) else ""
        found.append(
            Pinned(
                agent=seen.agent, service=service_of(seen), address=address, tries=seen.tries, ok=ok, failure=failure
            )
        )
    return tuple(found)


def compare(
    tried: Sequence[Pinned], inside: frozenset[str], own: frozenset[str], others: frozenset[str]
) -> dict[str, dict[str, Any]]:
    """{"own": the inside's own addresses from everywhere, "own_far": from outside only, "other": others from inside}.

    Each {up, down, rate, failure}; left out where nobody tried.
    """
    groups: Mapping[str, Callable[[Pinned], bool]] = {
        "own": lambda p: p.address in own,
        "own_far": lambda p: p.address in own and p.agent not in inside,
        "other": lambda p: p.address in others and p.agent in inside,
    }
    found = {}
    for name, holds in groups.items():
        mine = [p for p in tried if holds(p)]
        tries, ok = sum(p.tries for p in mine), sum(p.ok for p in mine)
        if tries:
            failures = [p.failure for p in mine if p.failure]
            worst = max(sorted(set(failures)), key=failures.count) if failures else ""
            found[name] = {
                "up": all(p.ok >= UP_RATE * p.tries for p in mine),
                "down": ok == 0,
                "rate": ok / tries,
                "failure": worst,
                "failure_zh": failure_words(worst).zh,
                "failure_en": failure_words(worst).en,
            }
    return found


ADDRESS_FIELDS: Mapping[str, type] = {
    "up": bool,
    "down": bool,
    "rate": float,
    "failure": str,
    "failure_zh": str,
    "failure_en": str,
}
ADDRESS_GROUPS = ("own", "own_far", "other")
"""The vocabulary rules may use, for `playbook check`."""
