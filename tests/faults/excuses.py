"""Which POSTs may come once more, and why: every excuse is something that was measured or done on purpose."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.ledger import Ledger, Rows

SLOW = 0.6
"""Of the lease: what a claim may take before its request or its record can be too late. No stand-in takes so long."""


@dataclass
class Attempt:
    """One POST as its process saw it. `excuse` says why it may come once more, "" when it may not."""

    key: str
    pid: int
    at: float
    facts: dict[str, Any]
    excuse: str = ""


def attempts_of(ledger: Ledger) -> Iterator[Attempt]:
    ends = {(pid, began): (ended, how, stops) for pid, began, ended, how, stops in ledger.lives}
    births: dict[int, list[float]] = defaultdict(list)
    for pid, began, *_ in sorted(ledger.lives):
        births[pid].append(began)
    faults: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for key, fault, at, _took in ledger.injected:
        faults[key].append((at, fault))
    later: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for event in ledger.events:
        if event["e"] in ("answer", "record"):
            later[event["pid"], event["key"]].append(event)
    claims: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for event in ledger.events:
        if event["e"] == "claim":
            for key, _generation in event["keys"]:
                claims[event["pid"], key].append(event)
        if event["e"] == "record":
            del claims[event["pid"], event["key"]][:1]
        if event["e"] != "post":
            continue
        pid, at, key = event["pid"], event["at"], event["key"]
        began = births[pid][bisect_left(births[pid], at) - 1] if births[pid] else 0.0
        ended, how, stops = ends.get((pid, began), (float("inf"), "", []))
        mine = [e for e in later[pid, key] if at <= e["at"] <= (ended or float("inf"))]
        attempt = Attempt(key, pid, at, {**event, "stops": stops})
        # A process that stood still may hold two claims of a row: the older one is what it was late with.
        claim = min((*claims[pid, key], {**event, "since": at}), key=lambda e: e["since"])
        attempt.excuse = _excuse(ledger, mine, attempt, claim, _End(ended or float("inf"), how, stops), faults[key])
        yield attempt


@dataclass
class _End:
    """Of the life in which something happened, and when it stood still."""

    at: float
    how: str
    stops: Sequence[tuple[float, float]]


def _excuse(
    ledger: Ledger,
    mine: Rows,
    attempt: Attempt,
    claim: Mapping[str, Any],
    end: _End,
    faults: Sequence[tuple[float, str]],
) -> str:
    answer = next((e for e in mine if e["e"] == "answer"), None)
    record = next((e for e in mine if e["e"] == "record"), None)
    at, until = attempt.at, record["at"] if record else end.at
    if any(overlap(claim["since"], until, one) for one in end.stops):
        return "stopped"
    killed = "killed" if end.how.startswith(("kill", "point")) else ""
    if answer is None:
        return killed
    if not 200 <= answer.get("status", 0) < 300:
        if any(fault and at - 0.5 <= moment <= answer["at"] + 0.5 for moment, fault in faults):
            return "injected"
        if "cannot be reached" in answer.get("error", ""):
            return "refused"
        return _slow(ledger, claim, answer)
    if record is not None and record["done"]:
        # It had its answer and its record in time: only one whose lease ran out meanwhile is sent by somebody else.
        return _slow(ledger, claim, record)
    if any(overlap(at, min(until, at + 2 * ledger.lease_s), one) for one in ledger.crashes):
        return "database away"
    if record is None:
        return killed
    return _slow(ledger, claim, record)


def _slow(ledger: Ledger, claim: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    """Whether it took longer than a claim allows for reasons that were measured, and for no other.

    Measured are: what the process ran or waited for a processor, its transactions about this page, and when the
    provider and the proxy themselves came too late.
    """
    allowed = SLOW * ledger.lease_s
    took = last["at"] - claim["since"]
    if took <= allowed:
        return ""
    ran = last.get("ran", 0.0) - claim.get("ran", 0.0)
    lagged = sum(
        min(b, last["at"]) - max(a, claim["since"])
        for a, b in ledger.lags
        if overlap(claim["since"], last["at"], (a, b))
    )
    return "slow" if took - ran - last.get("database", 0.0) - lagged <= allowed else ""


def overlap(since: float, until: float, other: tuple[float, float]) -> bool:
    return since < other[1] and other[0] < until
