"""The words an on-call file is written in: durations, targets, hand-over times, windows, zones, phone numbers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field

from bot.domain.escalation import Target, TargetKind
from bot.domain.schedule import Unit
from bot.domain.wallclock import Window

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
UNITS: dict[str, Unit] = {"h": "hours", "d": "days", "w": "weeks"}
NAME = r"^[^\s:@/\\\"']{1,64}$"
"""Names stand in commands and in the keys of pages (incident:step:target:attempt)."""
E164 = re.compile(r"\+[1-9]\d{6,14}")
"""ITU-T E.164: a plus sign and at most 15 digits, the country's first."""
_SPAN = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*(s|m|h|d)\s*")
_EVERY = re.compile(r"\s*(?:(\d{1,3})\s*)?(h|d|w|hours?|days?|weeks?)\s*")
_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")


def span(value: Any) -> Any:
    """Accept "90s", "5m", "2h", "1d" and 0."""
    if isinstance(value, str) and (match := _SPAN.fullmatch(value)):
        return timedelta(seconds=float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]])
    if value == 0 and not isinstance(value, bool):
        return timedelta(0)
    raise ValueError(f'{value!r} is no duration; write one such as "90s", "5m" or "2h"')


def never(value: Any) -> Any:
    """As `span`; "off" (and no) is None."""
    return None if value in (None, False, "off", "no", "never") else span(value)


def phone(value: Any) -> Any:
    """E.164, in quotes: YAML takes the bare number for an integer and drops its plus sign."""
    bare = isinstance(value, (int, float)) and not isinstance(value, bool)
    if bare:
        raise ValueError(f'{value} is a number to YAML, which drops the plus sign; put it in quotes: "+{value}"')
    word = re.sub(r"[ ()-]", "", value) if isinstance(value, str) else ""
    if word and not E164.fullmatch(word):
        raise ValueError(f'{value!r} cannot be dialled; write it with plus sign and country code: "+8613800000001"')
    return word


def zone(value: Any) -> Any:
    """An IANA time zone."""
    known = available_timezones()
    if isinstance(value, str) and value in known:
        return ZoneInfo(value)
    raise ValueError(f"unknown time zone {value!r}; {near(str(value), known) or 'use a name such as Asia/Shanghai'}")


def target(value: Any) -> Any:
    """Such as "person:lin", "schedule:backend", "vendor:tencent", "role:commander"."""
    kind, _, name = str(value).partition(":")
    if kind not in list(TargetKind) or not name.strip():
        example = f"person:{kind}" if not name.strip() else f"person:{name}"
        raise ValueError(f"{value!r} is no target; write {example}, schedule:NAME, vendor:NAME or role:NAME")
    return Target(kind=TargetKind(kind), name=name.strip())


def clock(word: str, *, midnight: bool = False) -> time:
    """A time of the day such as "09:00"; with `midnight`, "24:00" is 00:00. Raises ValueError."""
    match = _CLOCK.fullmatch(word.strip())
    if match is None or (int(match[1]) == 24 and not (midnight and match[2] == "00")):
        raise ValueError(f'{word!r} is no time of the day; write one such as "09:00"')
    return time(int(match[1]) % 24, int(match[2]))


def day(word: str) -> int:
    """A weekday, Monday is 0; three letters do. Raises ValueError."""
    found = [n for n, name in enumerate(DAYS) if len(word) >= 3 and name.startswith(word.lower())]
    if not found:
        raise ValueError(f"{word!r} is no weekday; write monday ... sunday, or mon ... sun")
    return found[0]


def handover(value: Any) -> tuple[int | None, time]:
    """Weekday and time, from "monday 10:00" or "10:00". Raises ValueError."""
    words = str(value).split()
    if len(words) not in (1, 2):
        raise ValueError(f'{value!r} is no hand-over; write "monday 10:00" or "10:00"')
    return (day(words[0]) if len(words) == 2 else None), clock(words[-1])


def every(value: Any) -> tuple[int, Unit]:
    """How long a turn is, from "1w", "2 weeks", "day", "12h". Raises ValueError."""
    match = _EVERY.fullmatch(str(value))
    if match is None or match[1] == "0":
        raise ValueError(f'{value!r} is no length of a turn; write "12h", "1d", "1w" or "2w"')
    return int(match[1] or 1), UNITS[match[2][0]]


def window(value: Any) -> Window:
    """Hours on days, from "mon-fri 09:00-18:00", "22:00-06:00" (every day), "sat,sun". Raises ValueError."""
    words = str(value).lower().split()
    hours = words.pop() if words and ":" in words[-1] else ""
    if len(words) > 1 or not (words or hours):
        raise ValueError(f'{value!r} is no window; write "mon-fri 09:00-18:00", "22:00-06:00" or "sat,sun"')
    start, dash, end = hours.partition("-")
    if hours and not dash:
        raise ValueError(f'{hours!r} has no end; write "09:00-18:00"')
    return Window(
        weekdays=_days(words[0]) if words else frozenset(range(7)),
        start=clock(start) if hours else time(0),
        end=clock(end, midnight=True) if hours else time(0),
    )


def near(word: str, known: Iterable[str]) -> str:
    """'did you mean "x"?', or nothing."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'did you mean "{found[0]}"?' if found else ""


def _days(word: str) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        first, dash, last = part.partition("-")
        begin, length = day(first), ((day(last) - day(first)) % 7 if dash else 0)
        found |= {(begin + n) % 7 for n in range(length + 1)}
    return frozenset(found)


SPAN = r"^\s*\d+(\.\d+)?\s*[smhd]\s*$"
Name = Annotated[str, Field(pattern=NAME)]
Span = Annotated[timedelta, BeforeValidator(span, json_schema_input_type=Annotated[str, Field(pattern=SPAN)])]
Never = Annotated[timedelta | None, BeforeValidator(never, json_schema_input_type=str | None)]
Phone = Annotated[str, BeforeValidator(phone, json_schema_input_type=str)]
