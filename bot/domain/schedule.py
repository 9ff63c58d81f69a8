"""On-call schedules: who is on call at a moment, since when and until when.

Hand-overs are times on a wall clock (`bot.domain.wallclock`), and each happens exactly once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from itertools import islice, pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from bot.domain.wallclock import DAY, EVER, NEVER, WEEK, Span, Window, moment, within

Unit = Literal["hours", "days", "weeks"]


LOOK_AHEAD = timedelta(days=400)
"""How far `tenure` looks for the next shift."""
MOST_TURNS = 2000
"""... and through how many: somebody who relieves himself every hour is not followed for a year."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """`person` is on call from `since` until just before `until`, by a layer or by an override (its id)."""

    person: str
    since: datetime
    until: datetime
    layer: str = ""
    override: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """Somebody takes over for a while. `made_at` ranks overlapping ones: the newest wins. `id` reads "ovr-3"."""

    id: str
    schedule: str
    person: str
    start: datetime
    until: datetime
    by: str
    made_at: datetime

    def around(self, at: datetime) -> Span:
        """On call, or not, around a moment."""
        if at < self.start:
            return Span(since=EVER, until=self.start)
        if at >= self.until:
            return Span(since=self.until, until=NEVER)
        return Span(person=self.person, since=self.start, until=self.until)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotation:
    """A layer: `people` in turn, each for `every` `unit`, handed over at `handover` (for weeks: on `weekday`).

    The first of them begins on `start`, or with weeks on the first `weekday` from then on; before that the layer names
    nobody, nor does it outside of its `windows` (none: always). Turns go on counting outside of them.
    """

    name: str
    people: tuple[str, ...]
    every: int
    unit: Unit
    handover: time
    timezone: ZoneInfo
    start: date
    weekday: int | None = None
    windows: tuple[Window, ...] = ()

    def around(self, at: datetime) -> Span:
        """On call, or not, around a moment."""
        begin = self._handover(0)
        hours = within(self.windows, self.timezone, max(at, begin))
        if at < begin:
            return Span(since=EVER, until=begin if hours.person else hours.until)
        if not hours.person:
            return Span(since=EVER if hours.since <= begin else hours.since, until=hours.until)
        turn = self._turn(at)
        since, until = self._handover(turn), self._handover(turn + 1)
        return Span(
            person=self.people[turn % len(self.people)], since=max(since, hours.since), until=min(until, hours.until)
        )

    @property
    def _length(self) -> timedelta:
        return self.every * {"hours": timedelta(hours=1), "days": DAY, "weeks": WEEK}[self.unit]

    def _handover(self, turn: int) -> datetime:
        day = self.start
        if self.unit == "weeks" and self.weekday is not None:
            day += timedelta(days=(self.weekday - day.weekday()) % 7)
        return moment(datetime.combine(day, self.handover) + turn * self._length, self.timezone)

    def _turn(self, at: datetime) -> int:
        """The newest turn that has begun."""
        first = self._handover(0).astimezone(self.timezone).replace(tzinfo=None)
        turn = (at.astimezone(self.timezone).replace(tzinfo=None) - first) // self._length
        while self._handover(turn + 1) <= at:
            turn += 1
        while self._handover(turn) > at:
            turn -= 1
        return turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A layer from a calendar: turns one by one, in order and without overlap (`disjoint` makes them so)."""

    name: str
    turns: tuple[Span, ...]

    def around(self, at: datetime) -> Span:
        """On call, or not, around a moment."""
        after = bisect_right(self.turns, at, key=lambda turn: turn.since)
        before = self.turns[after - 1] if after else None
        if before is not None and at < before.until:
            return before
        until = self.turns[after].since if after < len(self.turns) else NEVER
        return Span(since=before.until if before else EVER, until=until)


Layer = Rotation | Listed


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Layers, the strongest last. Where one names nobody, the layer below it does."""

    name: str
    layers: tuple[Layer, ...]
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    """In which its times are shown."""

    @property
    def people(self) -> frozenset[str]:
        """Everybody its layers name."""
        listed = (turn.person for layer in self.layers if isinstance(layer, Listed) for turn in layer.turns)
        turning = (name for layer in self.layers if isinstance(layer, Rotation) for name in layer.people)
        return frozenset([*listed, *turning])


def on_call(schedule: Schedule, at: datetime, overrides: Sequence[Override] = ()) -> Shift | None:
    """Who is on call at a moment; None: nobody is."""
    found = _around(schedule, at, _ranked(schedule, overrides))
    return found if isinstance(found, Shift) else None


def shifts(schedule: Schedule, start: datetime, end: datetime, overrides: Sequence[Override] = ()) -> tuple[Shift, ...]:
    """Every shift of a span, in order. The first may begin before it, the last end after it."""
    return tuple(shift for shift in _walk(schedule, start, end, overrides) if isinstance(shift, Shift))


def gaps(schedule: Schedule, start: datetime, end: datetime, overrides: Sequence[Override] = ()) -> tuple[Span, ...]:
    """When nobody is on call within a span, in order, cut to it."""
    found = (gap for gap in _walk(schedule, start, end, overrides) if isinstance(gap, Span))
    return tuple(Span(since=max(start, gap.since), until=min(end, gap.until)) for gap in found)


def tenure(schedule: Schedule, at: datetime, overrides: Sequence[Override] = ()) -> tuple[Shift | None, Shift | None]:
    """Who has it until somebody else or nobody has, and the shift that follows.

    Turns of the same person one after the other count as one. The second is None when nothing follows within
    `LOOK_AHEAD`; the first then ends when the last turn that was looked at does.
    """
    now: Shift | None = None
    for found in islice(_walk(schedule, at, at + LOOK_AHEAD, overrides), MOST_TURNS):
        if found.since <= at and isinstance(found, Shift):
            now = found
        elif isinstance(found, Shift):
            if now is None or found.since > now.until or found.person != now.person:
                return now, found
            now = replace(now, until=found.until)
    return now, None


def disjoint(turns: Sequence[Span]) -> tuple[Span, ...]:
    """Turns in order without overlap: where several claim a moment, the one that began last has it."""
    waiting = sorted(enumerate(turns), key=lambda pair: (pair[1].since, pair[0]), reverse=True)
    edges = sorted({edge for turn in turns for edge in (turn.since, turn.until)})
    open_: list[tuple[int, Span]] = []
    found: list[tuple[int, Span]] = []
    for since, until in pairwise(edges):
        while waiting and waiting[-1][1].since <= since:
            open_.append(waiting.pop())
        open_ = [pair for pair in open_ if pair[1].until > since]
        if not open_:
            continue
        number, turn = open_[-1]
        if found and found[-1][0] == number and found[-1][1].until == since:
            since = found.pop()[1].since
        found.append((number, Span(person=turn.person, since=since, until=until)))
    return tuple(span for _, span in found)


def _walk(schedule: Schedule, start: datetime, end: datetime, overrides: Sequence[Override]) -> Iterator[Shift | Span]:
    ranked = _ranked(schedule, overrides)
    at = start
    while at < end:
        found = _around(schedule, at, ranked)
        yield found
        at = found.until


def _ranked(schedule: Schedule, overrides: Sequence[Override]) -> list[Override]:
    """Those of the schedule, the newest first."""
    mine = (o for o in overrides if o.schedule == schedule.name)
    return sorted(mine, key=lambda o: (o.made_at, len(o.id), o.id), reverse=True)


def _around(schedule: Schedule, at: datetime, overrides: Sequence[Override]) -> Shift | Span:
    """The shift around a moment, or the gap. It lasts while its layer names the person and no stronger one anybody."""
    since, until = EVER, NEVER
    for source in (*overrides, *reversed(schedule.layers)):
        span = source.around(at)
        since, until = max(since, span.since), min(until, span.until)
        if span.person:
            by = {"override": source.id} if isinstance(source, Override) else {"layer": source.name}
            return Shift(person=span.person, since=since, until=until, **by)
    return Span(since=since, until=until)
