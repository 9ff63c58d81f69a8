"""Calendars as Google, Outlook and PagerDuty write them, and ours as they read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import icalendar
import pytest

from bot.adapters.oncall.ical import Names, read_turns, write_shifts
from bot.domain.errors import ConfigError
from bot.domain.schedule import Shift
from bot.domain.wallclock import Span

CALENDARS = Path(__file__).parent.parent / "data" / "calendars"
BERLIN, SHANGHAI = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
NAMES = Names(
    known={"lin": "lin", "林工": "lin", "chen": "chen", "ana": "ana", "ana weber": "ana", "ana@shop.example": "ana"}
)


def turns(text: str, zone: ZoneInfo = BERLIN, now: datetime = NOW) -> tuple[Span, ...]:
    return read_turns(text, file="x.ics", names=NAMES, zone=zone, now=now)[0]


def sample(name: str) -> str:
    return (CALENDARS / name).read_text(encoding="utf-8-sig")


def holder(found: tuple[Span, ...], at: datetime) -> str:
    return next((t.person for t in found if t.since <= at < t.until), "")


def event(*lines: str) -> str:
    body = ["UID:1", "DTSTAMP:20260101T000000Z", *lines]
    return "\r\n".join(
        ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", *body, "END:VEVENT", "END:VCALENDAR", ""]
    )


WEEK = ("DTSTART:20260112T080000Z", "DTEND:20260119T080000Z")


def test_google_repeats_on_the_wall_clock_with_exceptions_and_guests() -> None:
    found = turns(sample("google.ics"))
    assert holder(found, datetime(2026, 1, 8, tzinfo=BERLIN)) == "lin"
    assert holder(found, datetime(2026, 1, 14, tzinfo=BERLIN)) == "ana", "the guest who has not declined"
    assert holder(found, datetime(2026, 1, 28, tzinfo=BERLIN)) == "chen", "one week of the series was changed"
    assert holder(found, datetime(2026, 2, 15, tzinfo=BERLIN)) == "ana", "chen's day was cancelled"
    assert holder(found, datetime(2026, 2, 18, tzinfo=BERLIN)) == "", "lin's week was deleted"
    spring = next(t for t in found if t.since < datetime(2026, 3, 29, 1, tzinfo=UTC) < t.until)
    assert spring.until - spring.since == timedelta(hours=167)


def test_outlook_names_zones_as_windows_does_and_has_whole_days() -> None:
    found = turns(sample("outlook.ics"), SHANGHAI)
    assert [(t.person, t.since, t.until) for t in found] == [
        ("lin", datetime(2026, 1, d, 10, tzinfo=UTC), datetime(2026, 1, d + 1, 1, tzinfo=UTC)) for d in (10, 11, 12)
    ] + [("ana", datetime(2026, 1, 16, 16, tzinfo=UTC), datetime(2026, 1, 18, 16, tzinfo=UTC))]


def test_pagerduty_lists_turns_with_the_name_in_the_middle_and_its_feed_comes_to_an_end() -> None:
    found, last = read_turns(sample("pagerduty.ics"), file="x.ics", names=NAMES, zone=BERLIN, now=NOW)
    assert [t.person for t in found] == ["lin", "ana"]
    assert last == datetime(2026, 1, 26, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((*WEEK, "SUMMARY:Dentist"), 'event "Dentist" on 2026-01-12 names nobody known; put a name from people:'),
        ((*WEEK, "SUMMARY:lin or chen"), 'event "lin or chen" on 2026-01-12 names several people (chen, lin)'),
        ((*WEEK, "SUMMARY:linda"), "names nobody known"),
        ((*WEEK, "SUMMARY:lin", "RRULE:FREQ=MINUTELY"), 'event "lin" repeats by the minute'),
        ((*WEEK, "SUMMARY:lin", "RRULE:FREQ=SOMETIMES"), "x.ics: "),
        (("DTSTART:yesterday", "SUMMARY:lin"), "x.ics: "),
        (("DTSTART;TZID=Europe:20260112T080000", "DTEND:20260119T080000Z", "SUMMARY:lin"), "x.ics: is no calendar"),
        (("DTSTART:20200101T000000Z", "DTEND:20200102T000000Z", "SUMMARY:lin"), "nobody would be on call"),
    ],
)
def test_an_event_that_cannot_be_a_turn_is_named_with_the_fix(lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        turns(event(*lines))
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["", "hello", "BEGIN:VCARD\r\nEND:VCARD\r\n", "BEGIN:VCALENDAR\r\n"])
def test_what_is_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.ics"):
        turns(text)


def test_times_without_a_zone_are_on_the_layers_clock_and_never_in_a_hole_of_it() -> None:
    (found,) = turns(
        event("DTSTART:20260329T023000", "DTEND:20260329T120000", "SUMMARY:lin"), now=datetime(2026, 3, 1, tzinfo=UTC)
    )
    assert found.since == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


SHIFTS = [
    Shift(person="lin", since=NOW, until=NOW + timedelta(days=7), layer="weekly"),
    Shift(person="林工", since=NOW + timedelta(days=7), until=NOW + timedelta(days=8), override="ovr-3"),
]


def test_our_calendar_is_valid_and_keeps_its_ids_from_one_reading_to_the_next() -> None:
    first = write_shifts(SHIFTS, schedule="后端", lang="zh", now=NOW)
    later = write_shifts(SHIFTS, schedule="后端", lang="zh", now=NOW + timedelta(hours=1))
    assert all(len(line) <= 75 for line in first.split(b"\r\n")), "RFC 5545 3.1"
    events = [icalendar.Calendar.from_ical(text).walk("VEVENT") for text in (first, later)]
    assert [str(e["UID"]) for e in events[0]] == [str(e["UID"]) for e in events[1]]
    assert len({str(e["UID"]) for e in events[0]}) == 2
    assert [str(e["SUMMARY"]) for e in events[0]] == ["lin 值班（后端）", "林工 值班（后端）"]
    assert b"DTSTART:20260115T120000Z" in first
    assert b"REFRESH-INTERVAL;VALUE=DURATION:PT1H" in first


def test_what_we_write_we_can_read() -> None:
    text = write_shifts(SHIFTS, schedule="backend", lang="en", now=NOW).decode()
    assert turns(text) == (
        Span(person="lin", since=SHIFTS[0].since, until=SHIFTS[0].until),
        Span(person="lin", since=SHIFTS[1].since, until=SHIFTS[1].until),
    )
