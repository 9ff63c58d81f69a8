"""The fingerprint of a failure: which cells of the matrix failed how, in words that another night can share.

Names of machines and regions differ from night to night. What stays is the layer, the kind of vantage point, whether it
stands where the trouble is or elsewhere, and how it failed. Causes are left out on purpose: what a verdict says is an
opinion, and what was seen is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bot.diagnosis.cells import Cell
from bot.diagnosis.facts import Picture

SEEN = 0.12
"""What it counts that a thing is as it should be in both: much is, on every night."""
HOW = 1.5
SLOW_MS, SKEW_MS = 800.0, 60_000.0
DOMINATES = 0.5
"""What it counts that a layer failed in the same way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """`failed` is how much of what was asked failed, 0..1, by "layer/vantage/here|near|far"; `how` the ways of it.

    Places are kept beside it: the same region or VPC again is worth telling, and says nothing about the cause.
    """

    failed: Mapping[str, float]
    how: Mapping[str, float]
    places: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.how) or any(self.failed.values())

    def to_json(self) -> dict[str, object]:
        """{"failed", "how", "places"}"""
        return {"failed": dict(self.failed), "how": dict(self.how), "places": list(self.places)}

    @staticmethod
    def from_json(row: Mapping[str, object]) -> Fingerprint:
        """The inverse; what is not there is empty."""
        failed, how = row.get("failed"), row.get("how")
        places = row.get("places")
        return Fingerprint(
            failed={str(k): float(v) for k, v in failed.items()} if isinstance(failed, Mapping) else {},
            how={str(k): float(v) for k, v in how.items()} if isinstance(how, Mapping) else {},
            places=tuple(str(one) for one in places) if isinstance(places, list) else (),
        )


def fingerprint(seen: Picture) -> Fingerprint:
    """What a run saw, without the names of the night."""
    cells = [cell for cell in seen.parts if cell.tries]
    red = [cell for cell in cells if cell.red]
    here = {cell.vpc or cell.region for cell in red}
    regions = {cell.region for cell in red}
    failed: dict[str, list[float]] = {}
    how: dict[str, list[float]] = {}
    for cell in cells:
        near = "here" if (cell.vpc or cell.region) in here else "near" if cell.region in regions else "far"
        lost = 1.0 - cell.rate if cell.red else 0.0
        failed.setdefault(f"{cell.layer}/{cell.vantage}/{near}", []).append(lost)
        total = sum(cell.failures.values()) if cell.red else 0
        for failure, count in cell.failures.items() if total else ():
            how.setdefault(f"{cell.layer}!{failure}", []).append(lost * count / total)
        for mark in _marks(cell):
            how.setdefault(mark, []).append(1.0)
    for mark in (*_disagreeing(cells), *_extras(seen)):
        how.setdefault(mark, []).append(1.0)
    extent = len({cell.agent for cell in red}) / max(1, len({cell.agent for cell in cells}))
    shares = {key: round(sum(values) / len(values), 3) for key, values in sorted(failed.items())}
    return Fingerprint(
        failed={**shares, "extent": round(extent, 3)} if red else shares,
        how={key: round(max(values), 3) for key, values in sorted(how.items())},
        places=tuple(sorted(here)),
    )


def _marks(cell: Cell) -> Iterator[str]:
    """What is odd about a cell even where it works: it is slow, or the clocks disagree."""
    if cell.ok and cell.ms is not None and cell.ms > SLOW_MS and not cell.layer.startswith("dns"):
        yield f"{cell.layer}!slow"
    if cell.skew_ms is not None and abs(cell.skew_ms) > SKEW_MS:
        yield "clock!skew"


def _disagreeing(cells: Iterable[Cell]) -> Iterator[str]:
    """Layers of DNS on which vantage points are told addresses that have nothing in common with the others'."""
    told: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for cell in cells:
        if cell.answers and cell.layer.startswith("dns"):
            told.setdefault((cell.service, ""), set()).add(tuple(sorted(cell.answers)))
    if any(not set(a) & set(b) for each in told.values() for a in each for b in each):
        yield "dns!answers_differ"


def _extras(seen: Picture) -> Iterator[str]:
    """What deeper probes have told: one client that asks most of it, a path that takes only small packets."""
    for one in seen.extras:
        clients = one.detail.get("clients") if one.kind == "dns_top" else None
        if isinstance(clients, list) and clients and float(clients[0].get("share") or 0) >= DOMINATES:
            yield "dns_top!one_client"
        if one.kind == "mtu" and one.detail.get("black_hole"):
            yield "mtu!black_hole"
        if one.kind == "coredns" and not one.ok and one.failure is not None:
            yield "coredns!failing"


def likeness(one: Fingerprint, other: Fingerprint, rarity: Mapping[str, float]) -> float:
    """How alike two nights failed, 0..1. `rarity` weighs a thing by how few nights have it (see `rarities`).

    Of the matrix only what both have asked is compared. Where nothing failed in either there is nothing to compare.
    """
    if not one or not other:
        return 0.0
    agreed = total = 0.0
    for key in one.failed.keys() & other.failed.keys():
        a, b = one.failed[key], other.failed[key]
        weight = rarity.get(key, 1.0) * max(a, b, SEEN)
        agreed += weight * (1.0 - abs(a - b))
        total += weight
    for key in one.how.keys() | other.how.keys():
        a, b = one.how.get(key, 0.0), other.how.get(key, 0.0)
        weight = HOW * rarity.get(key, 1.0) * (0.5 + max(a, b) / 2)
        # That it failed this way is what counts; how often is the lesser part.
        agreed += weight * (0.7 + 0.3 * (1.0 - abs(a - b))) if a and b else 0.0
        total += weight
    return agreed / total if total else 0.0


def rarities(nights: Iterable[Fingerprint]) -> Mapping[str, float]:
    """1 for what every night has, up to 2.5 for what hardly any has."""
    known = [night for night in nights if night]
    counts: dict[str, int] = {}
    for night in known:
        for key in {*(k for k, v in night.failed.items() if v), *night.how}:
            counts[key] = counts.get(key, 0) + 1
    return {key: 1.0 + 1.5 * (1.0 - count / len(known)) for key, count in counts.items()}
