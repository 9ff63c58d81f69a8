"""How nights went over a period: how fast somebody had them, how long they lasted, who was called, what it was.

Pure: the same incidents always give the same figures. Who was called is counted so that nobody is called too often,
not to compare people.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from bot.domain.incident import OPEN
from bot.domain.night import Night
from bot.domain.page import CallMade
from bot.domain.text import Text

NIGHT_FROM, NIGHT_TO = 22, 8
"""A call between these hours of the team's clock wakes somebody up."""
UNKNOWN = ""
"""The cause of an incident that no run has explained."""
COLUMNS = (
    "incident",
    "title",
    "severity",
    "state",
    "environments",
    "opened_at",
    "acknowledged_s",
    "diagnosed_s",
    "resolved_s",
    "calls",
    "people_called",
    "cause",
)
"""Of the CSV; durations are seconds after `opened_at`, empty where it did not happen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Took:
    """How long something took over `count` incidents, in seconds; None where it never happened."""

    id: str
    title: Text
    count: int
    mean_s: float | None
    median_s: float | None
    worst_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Woken:
    """One person's calls; `nights` are nights with at least one call in them, `most` the calls of the worst night."""

    person: str
    calls: int
    at_night: int
    nights: int
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """How often one cause was it; `id` is a hypothesis', "" for what nobody has explained."""

    id: str
    title: Text
    count: int
    total_s: float
    """How long these incidents lasted together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Everything counted over [since, until)."""

    since: datetime
    until: datetime
    incidents: int
    still_open: int
    severities: Mapping[str, int]
    took: Sequence[Took]
    people: Sequence[Woken]
    causes: Sequence[Family]
    nights: Sequence[Night]

    def to_json(self) -> dict[str, Any]:
        """One document; texts are {"zh", "en"}, durations seconds, moments ISO 8601. Incidents are as in the CSV."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "incidents": self.incidents,
            "still_open": self.still_open,
            "severities": dict(self.severities),
            "took": {t.id: {"count": t.count, "mean_s": t.mean_s, "median_s": t.median_s} for t in self.took},
            "people": [asdict(one) for one in self.people],
            "causes": [
                {"id": f.id or None, "title": f.title.to_json(), "count": f.count, "total_s": f.total_s}
                for f in self.causes
            ],
            "rows": [_row(night) for night in self.nights],
        }

    def to_csv(self) -> str:
        """A line for each incident, for a spreadsheet. What it would take for a formula is kept from being one."""
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
        writer.writeheader()
        for night in self.nights:
            writer.writerow({name: _harmless(value) for name, value in _row(night).items()})
        return out.getvalue()


def figures(
    nights: Sequence[Night], *, since: datetime, until: datetime, zone: tzinfo, titles: Mapping[str, Text]
) -> Figures:
    """Count. `zone` says when it is night, `titles` are those of the hypotheses by id."""
    return Figures(
        since=since,
        until=until,
        incidents=len(nights),
        still_open=sum(night.incident.state in OPEN for night in nights),
        severities=dict(sorted(Counter(night.incident.severity for night in nights).items())),
        took=_took(nights),
        people=_people((call for night in nights for call in night.calls), zone),
        causes=_causes(nights, titles, until),
        nights=nights,
    )


def acknowledged_s(night: Night) -> float | None:
    """From the declaration to the first who had it."""
    return _after(night, night.acked_at)


def diagnosed_s(night: Night) -> float | None:
    """From the declaration to the cause that stands; 0 where it was known before."""
    return _after(night, night.diagnosed_at)


def resolved_s(night: Night) -> float | None:
    """From the declaration to the end."""
    return _after(night, night.incident.resolved_at)


def _after(night: Night, at: datetime | None) -> float | None:
    return None if at is None else round(max(0.0, (at - night.incident.opened_at).total_seconds()), 1)


def _took(nights: Sequence[Night]) -> tuple[Took, ...]:
    wanted: tuple[tuple[str, Text, Callable[[Night], float | None]], ...] = (
        ("mtta", Text("平均确认时间 (MTTA)", "Time to acknowledge (MTTA)"), acknowledged_s),
        ("mttd", Text("平均定位时间 (MTTD)", "Time to diagnosis (MTTD)"), diagnosed_s),
        ("mttr", Text("平均恢复时间 (MTTR)", "Time to resolve (MTTR)"), resolved_s),
    )
    found = []
    for ident, title, of in wanted:
        known = [seconds for night in nights if (seconds := of(night)) is not None]
        found.append(
            Took(
                id=ident,
                title=title,
                count=len(known),
                mean_s=round(statistics.fmean(known), 1) if known else None,
                median_s=round(statistics.median(known), 1) if known else None,
                worst_s=max(known, default=None),
            )
        )
    return tuple(found)


def _people(calls: Iterable[CallMade], zone: tzinfo) -> tuple[Woken, ...]:
    """Whose phone rang, most woken first. Calls that were never made do not count, nor does what was said in chat."""
    all_, by_night = Counter[str](), dict[str, Counter[date]]()
    for call in calls:
        if call.sent_at is None or "phone" not in call.ways:
            continue
        all_[call.person] += 1
        local = call.sent_at.astimezone(zone)
        nights = by_night.setdefault(call.person, Counter())
        if local.hour >= NIGHT_FROM or local.hour < NIGHT_TO:
            # The night of a day lasts until the next morning.
            nights[(local - timedelta(hours=NIGHT_TO)).date()] += 1
    found = [
        Woken(
            person=person,
            calls=count,
            at_night=by_night[person].total(),
            nights=len(by_night[person]),
            most=max(by_night[person].values(), default=0),
        )
        for person, count in all_.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.at_night, -one.calls, one.person)))


def _causes(nights: Sequence[Night], titles: Mapping[str, Text], until: datetime) -> tuple[Family, ...]:
    """The causes, most frequent first; a night with two counts for both."""
    counts, lasted = Counter[str](), Counter[str]()
    for night in nights:
        end = night.incident.resolved_at or until
        for name in night.verdict or (UNKNOWN,):
            counts[name] += 1
            lasted[name] += max(0, round((end - night.incident.opened_at).total_seconds()))
    unknown = Text("没有定位原因", "no cause found")
    return tuple(
        Family(
            id=name,
            title=titles.get(name, Text(name, name)) if name else unknown,
            count=count,
            total_s=float(lasted[name]),
        )
        for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0] == UNKNOWN, one[0]))
    )


def _row(night: Night) -> dict[str, Any]:
    incident = night.incident
    rang = [call for call in night.calls if call.sent_at is not None]
    values = (
        incident.id,
        incident.title,
        incident.severity,
        incident.state.value,
        " ".join(incident.environments),
        incident.opened_at.isoformat(timespec="seconds"),
        acknowledged_s(night),
        diagnosed_s(night),
        resolved_s(night),
        len(rang),
        " ".join(dict.fromkeys(call.person for call in rang)),
        " ".join(night.verdict),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _harmless(value: Any) -> Any:
    """Spreadsheets run what begins with one of these (OWASP: CSV injection)."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
