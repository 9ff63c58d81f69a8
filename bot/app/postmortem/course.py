"""How it went over time at each vantage point, as patrols saw it: shares that worked, and how long the slowest took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.patrol import Round, Sample

BEFORE, AFTER = timedelta(minutes=30), timedelta(minutes=15)
"""So much is shown around an incident: what normal looked like, and that it stayed well."""
MOST_ROUNDS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One round: the share of tries that worked, 0 to 1, and the typical time of the slowest layer that answered."""

    at: datetime
    share: float
    ms: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """One vantage point over [since, until], oldest first."""

    agent: str
    since: datetime
    until: datetime
    points: tuple[Point, ...]

    @property
    def worst(self) -> float:
        """The lowest share."""
        return min(point.share for point in self.points)

    @property
    def slowest_ms(self) -> float | None:
        """The longest time; None where nothing ever answered."""
        return max((point.ms for point in self.points if point.ms is not None), default=None)


def courses(rounds: Sequence[Round], *, since: datetime, until: datetime) -> tuple[Course, ...]:
    """One for each vantage point that was ever heard, the worst first; fewer than two rounds are no course."""
    points: dict[str, list[Point]] = defaultdict(list)
    for one in rounds:
        cells: dict[str, list[Sample]] = defaultdict(list)
        for sample in one.samples:
            cells[sample.agent].append(sample)
        for agent, samples in cells.items():
            points[agent].append(_point(one.at, samples))
    found = [
        Course(agent=agent, since=since, until=until, points=tuple(seen))
        for agent, seen in points.items()
        if len(seen) > 1
    ]
    return tuple(sorted(found, key=lambda course: (course.worst, course.agent)))


def _point(at: datetime, samples: Sequence[Sample]) -> Point:
    tries = sum(sample.tries for sample in samples)
    share = sum(sample.ok for sample in samples) / tries
    return Point(at=at, share=share, ms=max((s.ms for s in samples if s.ms is not None), default=None))
