"""Which alerts are one incident."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.domain.alert import Alert, AlertRules, AlertStatus, OpenGroup, join

NOW = datetime(2026, 11, 24, 22, 40, tzinfo=UTC)


def alert(key: str = "k", **labels: str) -> Alert:
    return Alert(source="mon", key=key, status=AlertStatus.FIRING, title="t", severity="sev2", at=NOW, labels=labels)


def group(name: str, incident: str, *, opened: float, heard: float) -> OpenGroup:
    """Opened and last heard of so many minutes ago."""
    ago = [NOW - timedelta(minutes=m) for m in (opened, heard)]
    return OpenGroup(group=name, incident=incident, opened_at=ago[0], last_at=ago[1])


def test_the_first_alert_is_a_new_incident() -> None:
    assert join(alert(), [], AlertRules(), NOW) is None


def test_without_labels_whatever_comes_within_the_window_is_part_of_it() -> None:
    known = [group("", "INC-1", opened=30, heard=4)]
    assert join(alert("another"), known, AlertRules(), NOW) == "INC-1"


def test_long_after_the_last_one_it_is_a_new_night() -> None:
    assert join(alert(), [group("", "INC-1", opened=30, heard=6)], AlertRules(), NOW) is None


def test_labels_keep_two_troubles_apart() -> None:
    rules = AlertRules(by=("service",))
    known = [group(rules.group(alert(service="sms")), "INC-1", opened=1, heard=1)]
    assert join(alert(service="sms"), known, rules, NOW) == "INC-1"
    assert join(alert(service="pay"), known, rules, NOW) is None
    assert join(alert(), known, rules, NOW) is None


def test_a_storm_over_many_labels_opens_no_thousand_incidents() -> None:
    rules = AlertRules(by=("host",))
    known: list[OpenGroup] = []
    for n in range(1000):
        found = join(alert(host=str(n)), known, rules, NOW)
        incident = found or f"INC-{len({g.incident for g in known}) + 1}"
        known.append(group(rules.group(alert(host=str(n))), incident, opened=0, heard=0))
    assert {g.incident for g in known} == {"INC-1", "INC-2", "INC-3"}
