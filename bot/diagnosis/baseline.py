"""What is normal, and since when it is not: samples of patrols in, baselines and the onset of trouble out.

Both must bear what patrols really see: an outage within the week, a spike, a try that works by luck. Nothing here
knows more than the rounds tell, so the beginning of trouble is an interval between two of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median, median_low
from typing import TypeVar

from bot.diagnosis.cells import Cell, together
from bot.domain.patrol import Sample

T = TypeVar("T")
Key = tuple[str, str]
"""(agent, layer)"""

WINDOW = timedelta(days=7)
"""How far back a baseline looks..."""
SETTLING = timedelta(minutes=30)
"""... and how long before now it ends: what is wrong now must not become what is normal."""
FEWEST = 20
"""Fewer samples make no baseline."""
BLOCKS = 9
"""A quantile is the median over so many stretches of time, so trouble in fewer than half of them moves nothing."""
CALM = 5
"""So many good rounds in a row end a streak: of two tries through a limit that lets half pass, a quarter of the rounds
are good by luck."""
TOGETHER = timedelta(minutes=10)
"""Cells that went bad within this time of one another went bad together."""
SLOW_TIMES, SLOW_BY_MS = 3.0, 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """What is normal for one cell: share of tries that work, typical and slow times, and from how much is known.

    The times are those of rounds without a failure; None where none had any.
    """

    rate: float
    ms_p50: float | None
    ms_p95: float | None
    n: int
    since: datetime

    def slow(self, ms: float) -> bool | None:
        """Whether a time is far above what is normal: over 3 x p95 and over p50 + 100 ms; None if nobody knows."""
        if self.ms_p50 is None or self.ms_p95 is None:
            return None
        return ms > max(SLOW_TIMES * self.ms_p95, self.ms_p50 + SLOW_BY_MS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Onset:
    """When trouble began: after `after`, when all was still well (None: nobody saw that), and no later than `by`."""

    after: datetime | None
    by: datetime

    def near(self, at: datetime, within: timedelta) -> bool:
        """Whether a moment lies within that time before the trouble, or before the end of its uncertain beginning."""
        return (self.after or self.by) - within <= at <= self.by


@dataclass(frozen=True, kw_only=True, slots=True)
class Onsets:
    """Per cell, and of the whole: when most of what is red now went red."""

    cells: Mapping[Key, Onset] = field(default_factory=dict)
    overall: Onset | None = None


def samples_of(parts: Sequence[Cell], at: datetime) -> tuple[Sample, ...]:
    """What one round keeps: every cell of the matrix, and of several services each by itself."""
    services = {c.service for c in parts if c.service}
    kept = [replace(c, service="") for c in together(parts)] + (list(parts) if len(services) > 1 else [])
    rows = {(c.agent, c.row): c for c in kept if c.tries}
    return tuple(
        Sample(at=at, agent=agent, layer=row, tries=c.tries, ok=c.ok, ms=c.ms) for (agent, row), c in rows.items()
    )


def baselines(samples: Sequence[Sample], *, until: datetime) -> dict[Key, Baseline]:
    """Baselines of every cell with enough samples within the window that ends at `until`."""
    wanted = [s for s in samples if until - WINDOW <= s.at <= until]
    return {key: _baseline(mine) for key, mine in by_cell(wanted).items() if len(mine) >= FEWEST}


def by_cell(samples: Sequence[Sample]) -> dict[Key, list[Sample]]:
    """Samples by cell, oldest first."""
    found: dict[Key, list[Sample]] = {}
    for sample in sorted(samples, key=lambda s: s.at):
        found.setdefault((sample.agent, sample.layer), []).append(sample)
    return found


def _baseline(samples: Sequence[Sample]) -> Baseline:
    times = [s.ms for s in samples if not s.bad and s.ms is not None]
    parts = _blocks(samples)
    return Baseline(
        rate=median(sum(s.ok for s in part) / sum(s.tries for s in part) for part in parts),
        ms_p50=median(median(part) for part in _blocks(times)) if times else None,
        ms_p95=median_low([_p95(part) for part in _blocks(times)]) if times else None,
        n=len(samples),
        since=samples[0].at,
    )


def _blocks(values: Sequence[T]) -> list[Sequence[T]]:
    """Values in order of time as an odd number of stretches of like length, none empty."""
    count = max(1, min(BLOCKS, len(values) // 3))
    count -= 1 - count % 2
    edges = [len(values) * i // count for i in range(count + 1)]
    return [values[a:b] for a, b in pairwise(edges)]


def _p95(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def onset(samples: Sequence[Sample], now: datetime, red: Collection[Key] | None = None) -> Onsets:
    """When what is red now went red. `red` are the cells that are; None: those whose newest sample is bad."""
    known = by_cell(samples)
    if red is None:
        red = {key for key, mine in known.items() if mine[-1].bad}
    return overall({key: began(known[key], now) for key in red if key in known})


def began(samples: Sequence[Sample], now: datetime) -> Onset:
    """When one cell that is red at `now` went red, from its samples, oldest first.

    A streak goes back over single good rounds, which under partial loss are luck, and ends where `CALM` of them stand
    in a row.
    """
    after, by, calm = None, now, 0
    for sample in reversed(samples):
        if sample.at > now:
            continue
        if sample.bad:
            after, by, calm = None, sample.at, 0
            continue
        after = after or sample.at
        calm += 1
        if calm == CALM:
            break
    return Onset(after=after, by=by)


def overall(cells: Mapping[Key, Onset]) -> Onsets:
    """The whole's onset beside the cells': that of the largest group of cells that went red together.

    One cell that has been red for a week, or one that followed later, does not move it.
    """
    groups: list[list[Onset]] = []
    for one in sorted(cells.values(), key=lambda o: o.by):
        if groups and one.by - groups[-1][-1].by <= TOGETHER:
            groups[-1].append(one)
        else:
            groups.append([one])
    if not groups:
        return Onsets()
    largest = max(groups, key=len)
    by = largest[0].by
    before = [o.after for o in largest if o.after is not None and o.after < by]
    return Onsets(cells=dict(cells), overall=Onset(after=max(before, default=None), by=by))
