"""Times on a wall clock, and the moments they are: hand-overs and office hours across daylight saving.

A wall time that a jump leaves out is the moment of the jump; one that comes twice is its first. So later wall times
are never earlier moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

EVER = datetime.min.replace(tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)


def moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment (UTC) of a wall time without zone; never decreases as `wall` grows."""
    offsets = (wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
    before, after = ((wall - offset).replace(tzinfo=UTC) for offset in offsets)
    if before <= after:
        return before
    # The clock jumps over this time. `after` is before the jump and `before` after it: close in on it.
    while before - after > timedelta(seconds=1):
        middle = after + (before - after) // 2
        if middle.astimezone(zone).replace(tzinfo=None) < wall:
            after = middle
        else:
            before = middle
    return before.replace(microsecond=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """For how long a layer, seen alone, says the same. `person` "": it names nobody."""

    since: datetime
    until: datetime
    person: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Hours on some weekdays (Monday is 0). `end` at or before `start` is on the next day; equal is a whole day."""

    weekdays: frozenset[int]
    start: time = time(0)
    end: time = time(0)


def within(windows: tuple[Window, ...], zone: ZoneInfo, at: datetime) -> Span:
    """Whether a moment is within the windows (`person` is set), since when and until when."""
    spans = _week(windows)
    if not windows or spans == ((timedelta(0), WEEK),):
        return Span(person="*", since=EVER, until=NEVER)
    today = at.astimezone(zone).date()
    monday = datetime.combine(today - timedelta(days=today.weekday()), time(0))
    since, until = EVER, NEVER
    # This week first; two weeks each way, because a jump of the clock may swallow a window whole.
    for week in (0, -1, 1, -2, 2):
        if since > EVER and until < NEVER:
            break
        for start, end in spans:
            opens, shuts = (moment(monday + week * WEEK + offset, zone) for offset in (start, end))
            if opens <= at < shuts:
                return Span(person="*", since=opens, until=shuts)
            if opens < shuts <= at:
                since = max(since, shuts)
            elif at < opens < shuts:
                until = min(until, opens)
    return Span(since=since, until=until)


@lru_cache(maxsize=256)
def _week(windows: tuple[Window, ...]) -> tuple[tuple[timedelta, timedelta], ...]:
    """The windows as spans from Monday 00:00, merged where they touch; one over the end of the week runs on."""
    spans = []
    for window in windows:
        for day in window.weekdays:
            start, end = (timedelta(hours=t.hour, minutes=t.minute) for t in (window.start, window.end))
            spans.append((day * DAY + start, day * DAY + end + (DAY if end <= start else timedelta(0))))
    merged: list[tuple[timedelta, timedelta]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(_around_sunday(merged))


def _around_sunday(spans: list[tuple[timedelta, timedelta]]) -> list[tuple[timedelta, timedelta]]:
    """Sunday night runs into Monday morning: the last span of the week takes in the first ones it reaches."""
    while len(spans) > 1 and spans[-1][1] >= WEEK + spans[0][0]:
        first, last = spans[0], spans[-1]
        spans = [*spans[1:-1], (last[0], max(last[1], WEEK + first[1]))]
    if spans and spans[-1][1] - spans[-1][0] >= WEEK:
        return [(timedelta(0), WEEK)]
    return spans
