"""/oncall as it is typed: who and until when, who takes over, and how that is undone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot.app.times import read_length, read_moment
from bot.domain.directory import Directory
from bot.domain.errors import UserError
from bot.domain.page import Person
from bot.domain.schedule import Rotation, Schedule
from bot.domain.wallclock import Window
from bot.testing import FixedClock
from tests.transcript import Night, a_night

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 1, 15, 11, 0, tzinfo=UTC)
"""A Thursday, 12:00 in Berlin."""
PEOPLE = {name: Person(name=name, phone="+8613800000001", lang="en") for name in ("lin", "chen")}
PEOPLE["ana"] = Person(name="ana", slack="U01ANA")


def weekly(name: str, *people: str, windows: tuple[Window, ...] = ()) -> Schedule:
    layer = Rotation(
        name="weekly",
        people=people,
        every=1,
        unit="weeks",
        weekday=0,
        handover=time(9),
        timezone=BERLIN,
        start=date(2026, 1, 5),
        windows=windows,
    )
    return Schedule(name=name, layers=(layer,), timezone=BERLIN)


def directory(*schedules: Schedule) -> Directory:
    return Directory(people=PEOPLE, schedules={s.name: s for s in schedules})


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path, clock=FixedClock(NOON)) as night:
        night.parts.directory = directory(weekly("backend", "lin", "chen"))
        yield night


async def test_it_says_who_until_when_and_who_follows(night: Night) -> None:
    assert await night.types("/oncall") is None
    assert "backend: chen until Mon 01-19 09:00 UTC+1, then lin" in night.shows()
    assert "backend：chen，到 周一 01-19 09:00 UTC+1，然后 lin" in night.shows(lang="zh")


async def test_with_several_schedules_each_has_its_line(night: Night) -> None:
    office = Window(weekdays=frozenset(range(3)))
    night.parts.directory = directory(weekly("backend", "lin", "chen"), weekly("db", "ana", windows=(office,)))
    await night.types("/oncall who")
    shown = night.shows()
    assert "backend: chen until" in shown
    assert "db: nobody is on call; ana from Mon 01-19 00:00 UTC+1" in shown
    await night.types("/oncall DB")
    assert "ana" in night.shows()
    error = await night.types("/oncall backnd")
    assert error is not None
    assert 'did you mean "backend"?' in error.text.en


async def test_somebody_takes_over_and_it_stands_on_the_timeline(night: Night) -> None:
    assert await night.types("/oncall override backend lin from 18:00 until fri 09:00") is None
    assert "lin is on call from Thu 01-15 18:00 UTC+1 to Fri 01-16 09:00 UTC+1, in place of chen" in night.shows()
    assert [e.en for e in await night.timeline() if e.kind == "oncall"] == [
        "backend: lin is on call from Thu 01-15 18:00 UTC+1 to Fri 01-16 09:00 UTC+1, in place of chen"
    ]
    await night.types("/oncall")
    assert "backend: chen until Thu 01-15 18:00 UTC+1, then lin" in night.shows()
    assert "ovr-1 backend: lin, Thu 01-15 18:00 UTC+1 to Fri 01-16 09:00 UTC+1 (by lin)" in night.shows()


async def test_where_there_is_one_schedule_me_for_some_hours_is_enough(night: Night) -> None:
    assert await night.types("/oncall override me for 4h", user="U01ANA") is None
    assert "ana is on call from Thu 01-15 12:00 UTC+1 to Thu 01-15 16:00 UTC+1" in night.shows()
    assert "ana has no phone number; only the chat reaches them" in night.shows()


async def test_an_override_is_undone_by_its_id_and_only_once(night: Night) -> None:
    await night.types("/oncall override backend lin for 2d")
    assert await night.types("/oncall override cancel OVR-1") is None
    assert "override ovr-1 of lin is cancelled" in night.shows()
    assert "backend: chen until Mon 01-19 09:00 UTC+1, then lin" in night.shows()
    error = await night.types("/oncall override cancel ovr-1")
    assert error is not None
    assert error.code == "unknown_override"
    await night.types("/oncall overrides")
    assert "there is no override. For example" in night.shows()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/oncall override backend bob for 4h", 'person "bob" not found; there are: lin, chen, ana'),
        ("/oncall override frontend lin for 4h", 'schedule "frontend" not found; there are: backend'),
        ("/oncall override bob for 4h", 'person "bob" not found'),
        ("/oncall override backend lin", "until when?"),
        ("/oncall override backend lin tonight", '"tonight" is not understood'),
        ("/oncall override backend lin for ever", '"ever" is no duration; write 30m, 4h or 2d'),
        ("/oncall override backend lin until soon", '"soon" is no time; write 18:00'),
        ("/oncall override backend lin until 2026-01-15 11:59", "is not after its start"),
        ("/oncall override backend lin for 100d", "an override lasts 90 days at most"),
        ("/oncall override backend lin from 13:00 until 14:00 for 2h", "until when?"),
    ],
)
async def test_what_cannot_be_done_is_said_with_the_way_to_do_it(night: Night, typed: str, said: str) -> None:
    error = await night.types(typed)
    assert error is not None
    assert said in error.text.en
    async with night.parts.store.begin() as tx:
        assert await tx.overrides.ending_after(NOON) == []


async def test_what_is_over_is_not_changed(night: Night) -> None:
    await night.types('/oncall override backend lin from "2026-01-15 10:00" for 4h')
    async with night.parts.store.begin() as tx:
        (made,) = await tx.overrides.ending_after(NOON)
    assert (made.start, made.until) == (made.made_at, NOON + timedelta(hours=2))


async def test_without_a_schedule_it_says_whom_page_calls_and_how_to_write_one(night: Night) -> None:
    night.parts.directory = Directory.of(PEOPLE.values())
    for typed in ("/oncall", "/oncall override backend lin for 4h", "/oncall backend"):
        error = await night.types(typed)
        assert error is not None
        assert "people are called in turn: lin, chen, ana. Write an on-call file" in error.text.en


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("now", (15, 12, 0)),
        ("现在", (15, 12, 0)),
        ("18:00", (15, 18, 0)),
        ("18：00", (15, 18, 0)),
        ("09:30", (16, 9, 30)),
        ("12:00", (16, 12, 0)),
        ("today 09:30", (15, 9, 30)),
        ("tomorrow 9:30", (16, 9, 30)),
        ("后天 09:30", (17, 9, 30)),
        ("fri 18:00", (16, 18, 0)),
        ("thursday 18:00", (22, 18, 0)),
        ("周日 18:00", (18, 18, 0)),
        ("星期天 18:00", (18, 18, 0)),
        ("01-20 18:00", (20, 18, 0)),
        ("2026-01-20 18:00", (20, 18, 0)),
        ("2026-01-20T18:00+01:00", (20, 18, 0)),
    ],
)
def test_a_time_means_the_next_one_on_the_schedules_clock(typed: str, meant: tuple[int, int, int]) -> None:
    day, hour, minute = meant
    found = read_moment(typed, now=NOON, zone=BERLIN)
    assert found == datetime(2026, 1, day, hour, minute, tzinfo=BERLIN)


def test_a_date_that_has_passed_is_next_years() -> None:
    assert read_moment("01-14 08:00", now=NOON, zone=BERLIN) == datetime(2027, 1, 14, 8, tzinfo=BERLIN)


TOO_FAR = ["9999-12-31 23:59", "0001-01-01 00:00", "9999-12-31T23:59-12:00"]


@pytest.mark.parametrize(
    "typed", ["", "25:00", "13-40 10:00", "02-30 10:00", "soon 10:00", "2026-01-20", "١٢:٠٠", *TOO_FAR]
)
def test_what_is_no_time_is_refused(typed: str) -> None:
    with pytest.raises(UserError):
        read_moment(typed, now=NOON, zone=BERLIN)


def test_lengths_in_both_languages() -> None:
    assert [read_length(w) for w in ("90m", "4h", "1.5 h", "2天", "1w")] == [
        timedelta(minutes=90),
        timedelta(hours=4),
        timedelta(minutes=90),
        timedelta(days=2),
        timedelta(weeks=1),
    ]
