"""Moments and lengths of time as people type them: "18:00", "tomorrow 09:00", "fri 18:00", "12-24 09:00", "4h"."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from bot.domain.errors import UserError
from bot.domain.text import Text
from bot.domain.wallclock import moment

_CLOCK = re.compile(r"([01]?\d|2[0-3])[:：]([0-5]\d)")
_DATE = re.compile(r"(?:(\d{4})-)?(\d{1,2})-(\d{1,2})")
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(m|min|h|d|w|分钟|小时|天|周)")
_SECONDS = {"m": 60, "min": 60, "分钟": 60, "h": 3600, "小时": 3600, "d": 86400, "天": 86400, "w": 604800, "周": 604800}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK = "一二三四五六日"
YEARS = range(2000, 2100)
Day = TypeVar("Day", date, datetime)
_NOW = ("now", "现在")
_YESTERDAY = ("yesterday", "昨天")
_DAY = re.compile(r"\d{1,2}-\d{1,2}")
_SHIFTED = {"today": 0, "今天": 0, "tomorrow": 1, "明天": 1, "后天": 2}


def read_moment(text: str, *, now: datetime, zone: ZoneInfo, after: datetime | None = None) -> datetime:
    """The moment (UTC) that is meant on the zone's wall clock; a time of the day alone is the next one after `after`.

    `after` is `now` unless given. Also "now" and ISO 8601 with its own offset. Raises UserError.
    """
    word = " ".join(text.lower().split())
    after = after or now
    if word in _NOW:
        return now
    exact = _iso(text)
    if exact is not None:
        return _sane(exact, text)
    day, _, clock = word.rpartition(" ")
    match = _CLOCK.fullmatch(clock)
    if match is None:
        raise _not_a_time(text)
    hour, minute = int(match[1]), int(match[2])
    if day:
        return _on(_sane(_day(day, now.astimezone(zone).date(), text), text), hour, minute, zone)
    first = after.astimezone(zone).date()
    candidates = (_on(first + timedelta(days=n), hour, minute, zone) for n in range(3))
    return next(at for at in candidates if at > after)


def read_past(text: str, *, now: datetime, zone: ZoneInfo) -> datetime:
    """A moment (UTC) that lies before `now`: "23:40" the last one there was, "30m" so long ago, "01-15 23:40".

    Also ISO 8601 with its offset. Raises UserError.
    """
    word = text.strip().replace("T", " ") if _iso(text) is None else text
    if _LENGTH.fullmatch(word.lower()):
        return now - read_length(word)
    if _CLOCK.fullmatch(word):
        return read_moment(word, now=now, zone=zone, after=now - timedelta(days=1))
    day, _, clock = word.rpartition(" ")
    if day.lower() in _YESTERDAY:
        return read_moment(f"today {clock}", now=now - timedelta(days=1), zone=zone)
    found = read_moment(word, now=now, zone=zone)
    # A date without a year is read as the next one there will be.
    return found.replace(year=found.year - 1) if found > now + timedelta(days=1) and _DAY.fullmatch(day) else found


def read_length(text: str) -> timedelta:
    """A length such as "30m", "4h", "2d", "1w". Raises UserError."""
    match = _LENGTH.fullmatch(text.strip().lower())
    if match is None or float(match[1]) == 0:
        raise UserError(
            "bad_duration",
            Text(f"“{text}” 不是时长；写 30m、4h 或 2d", f'"{text}" is no duration; write 30m, 4h or 2d'),
        )
    return timedelta(seconds=min(float(match[1]) * _SECONDS[match[2]], 1e9))


def _sane(at: Day, text: str) -> Day:
    """Refuse years in which clocks and calendars cannot be reckoned with."""
    if at.year not in YEARS:
        raise _not_a_time(text)
    return at


def _on(day: date, hour: int, minute: int, zone: ZoneInfo) -> datetime:
    return moment(datetime(day.year, day.month, day.day, hour, minute), zone)  # noqa: DTZ001 - a wall time


def _day(word: str, today: date, text: str) -> date:
    """The day that is meant; a weekday is the next one, a date without year the next such date."""
    if word in _SHIFTED:
        return today + timedelta(days=_SHIFTED[word])
    weekday = _weekday(word)
    if weekday is not None:
        return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)
    match = _DATE.fullmatch(word)
    if match is None:
        raise _not_a_time(text)
    try:
        if match[1]:
            return date(int(match[1]), int(match[2]), int(match[3]))
        this = date(today.year, int(match[2]), int(match[3]))
        return this if this >= today else this.replace(year=today.year + 1)
    except ValueError as exc:
        raise _not_a_time(text) from exc


def _weekday(word: str) -> int | None:
    if len(word) >= 3 and word[:3] in _DAYS and word.isascii() and word.isalpha():
        return _DAYS.index(word[:3])
    if re.fullmatch("(周|星期)[一二三四五六日天]", word):
        return _WEEK.index(word[-1].replace("天", "日"))
    return None


def _iso(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _not_a_time(text: str) -> UserError:
    return UserError(
        "bad_time",
        Text(
            f"“{text}” 不是时间；写 18:00、明天 09:00、周五 18:00 或 2026-12-24 09:00",
            f'"{text}" is no time; write 18:00, tomorrow 09:00, fri 18:00 or 2026-12-24 09:00',
        ),
    )
