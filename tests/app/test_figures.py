"""What is counted of past nights."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bot.app.figures import Figures, figures
from bot.domain.incident import Incident, IncidentState
from bot.domain.night import Night
from bot.domain.page import CallMade, CallState
from bot.domain.text import Text

ZONE = ZoneInfo("Asia/Shanghai")
SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)
TITLES = {"vpc_dns_rate_limited": Text("DNS 被限频", "DNS is limited")}


def incident(number: int, opened: datetime, *, lasted_s: float | None = None, **more: Any) -> Incident:
    end = opened + timedelta(seconds=lasted_s) if lasted_s is not None else None
    given = {"title": f"fault {number}", "severity": "sev2", **more}
    return Incident(
        id=f"INC-{number}",
        state=IncidentState.RESOLVED if end else IncidentState.INVESTIGATING,
        room="console:main",
        origin_room="console:main",
        opened_at=opened,
        opened_by="lin",
        resolved_at=end,
        **given,
    )


def call(person: str, local: str, *, sent: bool = True, ways: tuple[str, ...] = ("phone",)) -> CallMade:
    at = datetime.fromisoformat(local).replace(tzinfo=ZONE)
    return CallMade(
        key=f"{person}{local}",
        incident="INC-1",
        step=1,
        person=person,
        ways=ways,
        state=CallState.SENT if sent else CallState.CANCELLED,
        queued_at=at,
        sent_at=at if sent else None,
    )


def counted(*nights: Night) -> Figures:
    return figures(nights, since=SINCE, until=UNTIL, zone=ZONE, titles=TITLES)


def test_means_are_of_what_happened_and_say_of_how_many() -> None:
    at = SINCE + timedelta(hours=1)
    found = counted(
        Night(incident=incident(1, at, lasted_s=600), acked_at=at + timedelta(seconds=30)),
        Night(incident=incident(2, at, lasted_s=1200), acked_at=at + timedelta(seconds=90)),
        Night(incident=incident(3, at)),
    )
    assert (found.incidents, found.still_open) == (3, 1)
    assert {t.id: (t.count, t.mean_s, t.median_s, t.worst_s) for t in found.took} == {
        "mtta": (2, 60.0, 60.0, 90.0),
        "mttd": (0, None, None, None),
        "mttr": (2, 900.0, 900.0, 1200.0),
    }


def test_a_night_ends_in_the_morning_and_only_phones_that_rang_count() -> None:
    calls = (
        call("lin", "2026-01-10T23:50"),
        call("lin", "2026-01-11T03:00"),
        call("lin", "2026-01-11T14:00"),
        call("lin", "2026-01-12T01:00", sent=False),
        call("chen", "2026-01-11T07:59"),
        call("wu", "2026-01-11T02:00", ways=("chat",)),
    )
    found = counted(Night(incident=incident(1, SINCE), calls=calls))
    assert [(p.person, p.calls, p.at_night, p.nights, p.most) for p in found.people] == [
        ("lin", 3, 2, 1, 2),
        ("chen", 1, 1, 1, 1),
    ]


def test_causes_are_counted_and_what_nobody_explained_is_said() -> None:
    limited = ("vpc_dns_rate_limited",)
    found = counted(
        Night(incident=incident(1, SINCE, lasted_s=60), verdict=limited),
        Night(incident=incident(2, SINCE, lasted_s=30), verdict=(*limited, "permission_revoked")),
        Night(incident=incident(3, SINCE, lasted_s=10)),
    )
    assert [(f.id, f.title.en, f.count, f.total_s) for f in found.causes] == [
        ("vpc_dns_rate_limited", "DNS is limited", 2, 90.0),
        ("permission_revoked", "permission_revoked", 1, 30.0),
        ("", "no cause found", 1, 10.0),
    ]


def test_no_title_becomes_a_formula_in_a_spreadsheet() -> None:
    title = '=HYPERLINK("http://bad.example","短信, 坏了")'
    rows = list(csv.DictReader(io.StringIO(counted(Night(incident=incident(1, SINCE, title=title))).to_csv())))
    assert rows[0]["title"] == f"'{title}"
    assert rows[0]["resolved_s"] == ""


def test_an_empty_period_is_no_mistake() -> None:
    found = counted()
    assert (found.incidents, found.causes, found.people) == (0, (), ())
    assert found.to_json()["took"]["mtta"] == {"count": 0, "mean_s": None, "median_s": None}
