"""Calendars in and out (RFC 5545): events that name who is on call become turns, shifts become events.

`icalendar` reads and writes, `recurring_ical_events` repeats events; both know the time zones of Outlook and the
X-WR-TIMEZONE of Google. They are imported late: most starts need neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from bot.domain.errors import ConfigError
from bot.domain.schedule import Shift, disjoint
from bot.domain.text import Lang, Text
from bot.domain.wallclock import Span, moment

if TYPE_CHECKING:
    from icalendar import Calendar, Component, Event

MAX_FILE = 4 * 1024 * 1024
BACK, AHEAD = timedelta(days=180), timedelta(days=730)
"""How far recurring events are written out around the moment of reading."""
TOO_OFTEN = ("SECONDLY", "MINUTELY")
EXPORTED = timedelta(days=90)
SUMMARY = Text("{person} 值班（{schedule}）", "{person} on call ({schedule})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """What calendars call people: lower-case name, full name or e-mail address -> the person's name."""

    known: Mapping[str, str]

    def of(self, event: Event) -> set[str]:
        """Who an event names: by its summary, else by those who were invited and have not declined."""
        summary = " ".join(str(event.get("SUMMARY", "")).lower().split())
        exact = self.known.get(summary)
        if exact is not None:
            return {exact}
        within = {name for word, name in self.known.items() if _stands_in(word, summary)}
        return within or {name for word in _invited(event) if (name := self.known.get(word.lower()))}


def read_turns(
    text: str, *, file: str, names: Names, zone: ZoneInfo, now: datetime
) -> tuple[tuple[Span, ...], datetime | None]:
    """The turns around `now`, and when the last one ends (None: they go on for as long as was looked).

    `zone` is for times without one and for whole days. Raises ConfigError naming the event and the fix.
    """
    since, until = now - BACK, now + AHEAD
    turns: list[Span] = []
    problems: dict[str, str] = {}
    for event, first, last_ in _occurrences(text, file=file, since=since, until=until):
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        found = names.of(event)
        start, end = _moment(first, zone), _moment(last_, zone)
        if len(found) == 1 and start < end:
            turns.append(Span(person=found.pop(), since=start, until=end))
        elif start < end:
            problems.setdefault(str(event.get("UID", start)), _unknown(file, event, found, zone))
    if problems:
        raise ConfigError("\n".join(list(problems.values())[:5]))
    if not turns:
        raise ConfigError(f"{file}: no event between {since:%Y-%m-%d} and {until:%Y-%m-%d}; nobody would be on call")
    last = max(turn.until for turn in turns)
    return disjoint(turns), last if last < until - timedelta(days=31) else None


def write_shifts(shifts: Iterable[Shift], *, schedule: str, lang: Lang, now: datetime) -> bytes:
    """A calendar that Google, Outlook and Apple subscribe to. A shift keeps its UID for as long as it is the same.

    Times are UTC, so that no reader needs our time zones; events do not make people busy.
    """
    from icalendar import Calendar, Event

    calendar = Calendar()
    for key, value in (
        ("VERSION", "2.0"),
        ("PRODID", "-//Warroom//on-call//EN"),
        ("CALSCALE", "GREGORIAN"),
        ("METHOD", "PUBLISH"),
        ("X-WR-CALNAME", Text(f"值班 {schedule}", f"On call: {schedule}").in_(lang)),
    ):
        calendar.add(key, value)
    calendar.add("REFRESH-INTERVAL", timedelta(hours=1), {"VALUE": "DURATION"})
    calendar.add("X-PUBLISHED-TTL", "PT1H")
    for shift in shifts:
        event = Event()
        event.add("UID", f"{schedule}-{shift.override or shift.layer}-{shift.since:%Y%m%dT%H%M%SZ}@warroom")
        event.add("DTSTAMP", now)
        event.add("DTSTART", shift.since)
        event.add("DTEND", shift.until)
        event.add("SUMMARY", SUMMARY.in_(lang).format(person=shift.person, schedule=schedule))
        event.add("TRANSP", "TRANSPARENT")
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written


def _occurrences(text: str, *, file: str, since: datetime, until: datetime) -> Iterator[tuple[Event, date, date]]:
    import recurring_ical_events

    for calendar in _calendars(text, file):
        try:
            found = [(e, e.start, e.end) for e in recurring_ical_events.of(calendar).between(since, until)]
        except Exception as exc:  # whatever a foreign file provokes in two libraries
            raise ConfigError(f"{file}: an event cannot be read: {type(exc).__name__}: {exc}") from exc
        yield from found


def _calendars(text: str, file: str) -> Sequence[Calendar]:
    from icalendar import Calendar

    try:
        calendars: Sequence[Calendar] = Calendar.from_ical(text, multiple=True)
    except Exception as exc:  # the same
        raise ConfigError(f"{file}: is no calendar: {exc}") from exc
    if not calendars or any(one.name != "VCALENDAR" for one in calendars):
        raise ConfigError(f"{file}: is no calendar; it must begin with BEGIN:VCALENDAR")
    for event in (event for one in calendars for event in one.walk("VEVENT")):
        _check_repetition(event, file)
    return calendars


def _check_repetition(event: Component, file: str) -> None:
    """A rule that cannot be read (the library keeps it as it is), or that would make millions of turns."""
    what = f'{file}: event "{event.get("SUMMARY", "")}"'
    given = event.get("RRULE", [])
    for rule in given if isinstance(given, list) else [given]:
        if not isinstance(rule, Mapping):
            raise ConfigError(f"{what}: its repetition cannot be read")
        if {str(word).upper() for word in rule.get("FREQ", [])} & set(TOO_OFTEN):
            raise ConfigError(f"{what} repeats by the minute; no shift does")


def _moment(at: date | datetime, zone: ZoneInfo) -> datetime:
    """The moment an event begins or ends: whole days and floating times are on the wall clock of the layer."""
    if not isinstance(at, datetime):
        return moment(datetime.combine(at, time(0)), zone)
    if at.tzinfo is None:
        return moment(at, zone)
    return moment(at.replace(tzinfo=None), at.tzinfo) if isinstance(at.tzinfo, ZoneInfo) and not at.fold else _utc(at)


def _utc(at: datetime) -> datetime:
    return at.astimezone(ZoneInfo("UTC"))


def _stands_in(word: str, summary: str) -> bool:
    """Whether a name stands in a summary, and not as part of another word; Chinese has no spaces."""
    edge = r"(?<![\w.@-]){}(?![\w@-])" if word.isascii() else "{}"
    return re.search(edge.format(re.escape(word)), summary) is not None


def _invited(event: Event) -> Iterator[str]:
    given = event.get("ATTENDEE", [])
    for attendee in given if isinstance(given, list) else [given]:
        parameters: Mapping[str, Any] = getattr(attendee, "params", {})
        if str(parameters.get("PARTSTAT", "")).upper() != "DECLINED":
            yield re.sub("^mailto:", "", str(attendee), flags=re.IGNORECASE)
            yield str(parameters.get("CN", ""))


def _unknown(file: str, event: Event, found: set[str], zone: ZoneInfo) -> str:
    at = event.start
    when = f"{at.astimezone(zone) if isinstance(at, datetime) and at.tzinfo else at:%Y-%m-%d}"
    what = f'{file}: event "{event.get("SUMMARY", "")}" on {when}'
    if found:
        return f"{what} names several people ({', '.join(sorted(found))}); put one of them in its title"
    return (
        f"{what} names nobody known; put a name from people: in its title, or add what the calendar calls them "
        "under people: NAME: also:"
    )
