"""Who is on call: hand-overs on the wall clock, layers, windows, overrides, and that all answers agree."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.schedule import (
    Layer,
    Listed,
    Override,
    Rotation,
    Schedule,
    Shift,
    Unit,
    disjoint,
    gaps,
    on_call,
    shifts,
    tenure,
)
from bot.domain.wallclock import EVER, NEVER, Span, Window, moment

BERLIN = ZoneInfo("Europe/Berlin")
SHANGHAI = ZoneInfo("Asia/Shanghai")
ZONES = [
    BERLIN,
    SHANGHAI,
    ZoneInfo("America/New_York"),
    ZoneInfo("Australia/Lord_Howe"),
    ZoneInfo("Africa/Casablanca"),
    ZoneInfo("America/St_Johns"),
    ZoneInfo("UTC"),
]
WORKDAYS = frozenset(range(5))
HOUR = timedelta(hours=1)


def rotation(*people: str, **changes: Any) -> Rotation:
    facts: dict[str, Any] = {
        "name": "base",
        "every": 1,
        "unit": "weeks",
        "handover": time(9),
        "weekday": 0,
        "timezone": BERLIN,
        "start": date(2026, 1, 5),
    }
    return Rotation(people=people, **{**facts, **changes})


def schedule(*layers: Layer) -> Schedule:
    return Schedule(name="backend", layers=layers, timezone=BERLIN)


def berlin(*when: int, fold: int = 0) -> datetime:
    return datetime(*when, tzinfo=BERLIN, fold=fold).astimezone(UTC)  # type: ignore[misc, arg-type]


def wall(*when: int) -> datetime:
    return datetime(*when)  # type: ignore[arg-type]  # noqa: DTZ001 - a time on the wall has no zone


def override(person: str, start: datetime, until: datetime, *, made: int = 0, **changes: Any) -> Override:
    facts: dict[str, Any] = {
        "id": f"ovr-{made}",
        "schedule": "backend",
        "person": person,
        "start": start,
        "until": until,
        "by": "boss",
        "made_at": berlin(2026, 1, 1) + made * HOUR,
    }
    return Override(**{**facts, **changes})


def names(found: tuple[Shift, ...]) -> list[str]:
    return [shift.person for shift in found]


def test_a_weekly_shift_is_167_hours_in_spring_and_169_in_autumn() -> None:
    weekly = schedule(rotation("lin", "chen"))
    spring = on_call(weekly, berlin(2026, 3, 28))
    autumn = on_call(weekly, berlin(2026, 10, 24))
    assert spring is not None
    assert autumn is not None
    assert spring.until - spring.since == 167 * HOUR
    assert autumn.until - autumn.since == 169 * HOUR
    assert spring.until == berlin(2026, 3, 30, 9)


def test_a_hand_over_at_a_time_that_does_not_exist_happens_when_the_clock_jumps() -> None:
    daily = schedule(rotation("lin", "chen", unit="days", handover=time(2, 30)))
    night = shifts(daily, berlin(2026, 3, 28, 12), berlin(2026, 3, 30, 0))
    assert [s.until for s in night] == [berlin(2026, 3, 29, 3), berlin(2026, 3, 30, 2, 30)]
    assert len(set(names(night))) == 2


def test_a_hand_over_at_a_time_that_comes_twice_happens_at_the_first() -> None:
    daily = schedule(rotation("lin", "chen", unit="days", handover=time(2, 30)))
    first, second = berlin(2026, 10, 25, 2, 30), berlin(2026, 10, 25, 2, 30, fold=1)
    assert second - first == HOUR
    night = shifts(daily, first - HOUR, second + HOUR)
    assert [s.since for s in night][1:] == [first]


def test_shifts_of_an_hour_are_skipped_with_their_hour_and_doubled_with_it() -> None:
    hourly = schedule(rotation("a", "b", "c", unit="hours", handover=time(0)))
    spring = shifts(hourly, berlin(2026, 3, 29, 1), berlin(2026, 3, 29, 4))
    assert [s.until - s.since for s in spring] == [HOUR, HOUR]
    autumn = shifts(hourly, berlin(2026, 10, 25, 1), berlin(2026, 10, 25, 4))
    assert [s.until - s.since for s in autumn] == [HOUR, 2 * HOUR, HOUR]


def test_the_rotation_runs_on_across_the_end_of_the_year() -> None:
    weekly = schedule(rotation("a", "b", "c", start=date(2026, 12, 7)))
    found = shifts(weekly, berlin(2026, 12, 20), berlin(2027, 1, 12))
    assert names(found) == ["b", "c", "a", "b", "c"]
    assert found[2].since == berlin(2026, 12, 28, 9)
    assert on_call(weekly, berlin(2027, 1, 1)) == found[2]


def test_a_week_begins_on_its_weekday_after_the_start() -> None:
    friday = schedule(rotation("lin", "chen", weekday=4, start=date(2026, 1, 5)))
    assert on_call(friday, berlin(2026, 1, 9, 8, 59)) is None
    first = on_call(friday, berlin(2026, 1, 9, 9))
    assert first is not None
    assert (first.person, first.since) == ("lin", berlin(2026, 1, 9, 9))


def test_outside_of_its_window_a_layer_leaves_the_shift_to_the_one_below() -> None:
    office = rotation("ana", name="office", windows=(Window(weekdays=WORKDAYS, start=time(9), end=time(18)),))
    both = schedule(rotation("lin"), office)
    day = shifts(both, berlin(2026, 1, 9, 0), berlin(2026, 1, 12, 12))
    assert [(s.person, s.layer) for s in day] == [
        ("lin", "base"),
        ("ana", "office"),
        ("lin", "base"),
        ("ana", "office"),
    ]
    assert (day[1].since, day[1].until) == (berlin(2026, 1, 9, 9), berlin(2026, 1, 9, 18))


def test_with_nothing_below_a_window_leaves_a_gap_and_the_gap_is_told() -> None:
    office = schedule(rotation("ana", windows=(Window(weekdays=WORKDAYS, start=time(9), end=time(18)),)))
    assert on_call(office, berlin(2026, 1, 10, 12)) is None
    weekend = gaps(office, berlin(2026, 1, 9, 12), berlin(2026, 1, 12, 12))
    assert weekend == (Span(since=berlin(2026, 1, 9, 18), until=berlin(2026, 1, 12, 9)),)
    now, follows = tenure(office, berlin(2026, 1, 10, 12))
    assert now is None
    assert follows is not None
    assert follows.since == berlin(2026, 1, 12, 9)


def test_turns_of_one_person_in_a_row_are_one_until_somebody_else_has_it() -> None:
    weekly = schedule(rotation("lin", "lin", "chen"))
    now, follows = tenure(weekly, berlin(2026, 1, 6))
    assert now is not None
    assert follows is not None
    assert (now.person, now.until, follows.person) == ("lin", berlin(2026, 1, 19, 9), "chen")
    alone = tenure(schedule(rotation("boss")), berlin(2026, 1, 6))
    assert alone[0] is not None
    assert (alone[0].person, alone[1]) == ("boss", None)


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    nights = schedule(rotation("ana", windows=(Window(weekdays=frozenset({6}), start=time(22), end=time(6)),)))
    found = on_call(nights, berlin(2026, 1, 12, 5, 59))
    assert found is not None
    assert (found.since, found.until) == (berlin(2026, 1, 11, 22), berlin(2026, 1, 12, 6))
    assert on_call(nights, berlin(2026, 1, 12, 23)) is None


def test_windows_that_touch_are_one_and_a_whole_week_is_none() -> None:
    halves = (
        Window(weekdays=frozenset(range(7)), start=time(0), end=time(12)),
        Window(weekdays=frozenset(range(7)), start=time(12), end=time(0)),
    )
    assert shifts(schedule(rotation("a", "b", windows=halves)), berlin(2026, 3, 1), berlin(2026, 5, 1)) == shifts(
        schedule(rotation("a", "b")), berlin(2026, 3, 1), berlin(2026, 5, 1)
    )


def test_the_newest_of_overlapping_overrides_wins_and_the_older_one_comes_back_after_it() -> None:
    monday = berlin(2026, 1, 12, 12)
    long = override("chen", monday, monday + 8 * HOUR, made=1)
    short = override("wang", monday + 2 * HOUR, monday + 4 * HOUR, made=2)
    found = shifts(schedule(rotation("lin")), monday, monday + 9 * HOUR, [short, long])
    assert [(s.person, s.override) for s in found] == [
        ("chen", "ovr-1"),
        ("wang", "ovr-2"),
        ("chen", "ovr-1"),
        ("lin", ""),
    ]
    assert found[0].until == short.start
    assert found[3].since == long.until


def test_an_override_fills_a_gap_and_one_of_another_schedule_does_not() -> None:
    empty = Schedule(name="backend", layers=())
    at = berlin(2026, 1, 12)
    assert on_call(empty, at) is None
    assert on_call(empty, at, [override("chen", at, at + HOUR, schedule="other")]) is None
    assert on_call(empty, at + HOUR, [override("chen", at, at + HOUR)]) is None
    assert on_call(empty, at, [override("chen", at, at + HOUR)]) == Shift(
        person="chen", since=at, until=at + HOUR, override="ovr-0"
    )


def test_of_calendar_turns_that_overlap_the_one_that_began_last_has_the_moment() -> None:
    at = berlin(2026, 1, 12)
    week = Span(person="lin", since=at, until=at + 24 * HOUR)
    swap = Span(person="chen", since=at + 5 * HOUR, until=at + 7 * HOUR)
    assert disjoint([swap, week]) == (
        Span(person="lin", since=at, until=at + 5 * HOUR),
        swap,
        Span(person="lin", since=at + 7 * HOUR, until=at + 24 * HOUR),
    )


@pytest.mark.parametrize("zone", ZONES, ids=str)
@given(at=st.datetimes(wall(2020, 1, 1), wall(2030, 1, 1)), later=st.timedeltas(timedelta(0), 3 * HOUR))
@settings(max_examples=60, deadline=None)
def test_a_later_wall_time_is_never_an_earlier_moment(zone: ZoneInfo, at: datetime, later: timedelta) -> None:
    assert moment(at, zone) <= moment(at + later, zone)


def test_a_day_that_an_island_skipped_is_one_moment() -> None:
    apia = ZoneInfo("Pacific/Apia")
    assert moment(wall(2011, 12, 30, 5), apia) == moment(wall(2011, 12, 31), apia)


TIMES = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
WINDOWS = st.builds(Window, weekdays=st.frozensets(st.integers(0, 6), min_size=1), start=TIMES, end=TIMES)
SEASON = st.datetimes(wall(2026, 1, 20), wall(2027, 1, 20), timezones=st.just(UTC))


@st.composite
def rotations(draw: st.DrawFn) -> Rotation:
    unit: Unit = draw(st.sampled_from(["hours", "days", "weeks"]))
    return Rotation(
        name=draw(st.sampled_from(["base", "upper", "top"])),
        people=tuple(draw(st.lists(st.sampled_from(["lin", "chen", "wang"]), min_size=1, max_size=4))),
        every=draw(st.integers(5, 60) if unit == "hours" else st.integers(1, 3)),
        unit=unit,
        handover=draw(TIMES),
        weekday=draw(st.none() | st.integers(0, 6)),
        timezone=draw(st.sampled_from(ZONES)),
        start=draw(st.dates(date(2026, 1, 1), date(2026, 12, 1))),
        windows=tuple(draw(st.lists(WINDOWS, max_size=2))),
    )


@st.composite
def listed(draw: st.DrawFn) -> Listed:
    starts = draw(st.lists(SEASON, max_size=5))
    lengths = st.timedeltas(timedelta(minutes=1), timedelta(days=20))
    people = st.sampled_from(["lin", "chen"])
    turns = [Span(person=draw(people), since=s, until=s + draw(lengths)) for s in starts]
    return Listed(name="calendar", turns=disjoint(turns))


@st.composite
def overriding(draw: st.DrawFn) -> list[Override]:
    starts = draw(st.lists(SEASON, max_size=4))
    return [
        override("boss", s, s + draw(st.timedeltas(HOUR, timedelta(days=10))), made=draw(st.integers(0, 3)), id=f"o{n}")
        for n, s in enumerate(starts)
    ]


@given(
    layers=st.lists(rotations() | listed(), max_size=3),
    overrides=overriding(),
    start=SEASON,
    length=st.timedeltas(HOUR, timedelta(days=25)),
    inside=st.lists(st.floats(0, 1, exclude_max=True), min_size=3, max_size=10),
)
@settings(max_examples=120, deadline=None)
def test_the_shifts_and_gaps_of_a_span_cover_it_once_and_agree_with_every_moment(
    layers: list[Layer], overrides: list[Override], start: datetime, length: timedelta, inside: list[float]
) -> None:
    any_ = schedule(*layers)
    end = start + length
    found = shifts(any_, start, end, overrides)
    spans = [(max(s.since, start), min(s.until, end)) for s in (*found, *gaps(any_, start, end, overrides))]
    spans.sort()
    assert spans[0][0] == start
    assert spans[-1][1] == end
    assert all(one[0] < one[1] == two[0] for one, two in pairwise(spans))
    edges = [edge for shift in found for edge in (shift.since, shift.until - timedelta(microseconds=1))]
    for at in (*(start + share * length for share in inside), *(e for e in edges if start <= e < end)):
        holding = [s for s in found if s.since <= at < s.until]
        assert [on_call(any_, at, overrides)] == (holding or [None])


@given(layer=rotations(), at=SEASON)
@settings(max_examples=80, deadline=None)
def test_what_a_layer_says_of_a_moment_it_says_of_the_whole_span(layer: Rotation, at: datetime) -> None:
    span = layer.around(at)
    assert span.since <= at < span.until
    ends = [span.since, span.until - timedelta(microseconds=1)]
    assert [layer.around(e) for e in ends if EVER < e < NEVER - HOUR] == [span for e in ends if EVER < e < NEVER - HOUR]


@given(layer=rotations(), at=SEASON)
@settings(max_examples=80, deadline=None)
def test_every_turn_without_windows_lasts_its_length_on_the_wall_clock(layer: Rotation, at: datetime) -> None:
    bare = Rotation(**{n: getattr(layer, n) for n in layer.__slots__ if n != "windows"})
    turn = bare.around(at)
    if turn.person:
        exact = layer.every * {"hours": HOUR, "days": timedelta(days=1), "weeks": timedelta(weeks=1)}[layer.unit]
        assert abs((turn.until - turn.since) - exact) <= HOUR
        follows = bare.around(turn.until)
        assert follows.since == turn.until
