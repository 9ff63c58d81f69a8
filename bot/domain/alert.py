"""An alert that somebody's monitoring sent, and whether it is a new incident or part of one that is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.domain.errors import WarroomError

MOST = 1000
"""Alerts in one delivery."""
KEY_LENGTH = 200
TITLE_LENGTH = 200
LABELS, LABEL_LENGTH = 40, 300
"""Labels kept of an alert, and how much of each."""
SEVERITY_WORDS: Mapping[str, str] = {
    "sev1": "sev1",
    "critical": "sev1",
    "page": "sev1",
    "fatal": "sev1",
    "emergency": "sev1",
    "disaster": "sev1",
    "p1": "sev1",
    "sev2": "sev2",
    "high": "sev2",
    "error": "sev2",
    "major": "sev2",
    "serious": "sev2",
    "p2": "sev2",
    "sev3": "sev3",
    "warning": "sev3",
    "warn": "sev3",
    "minor": "sev3",
    "medium": "sev3",
    "p3": "sev3",
    "sev4": "sev4",
    "info": "sev4",
    "none": "sev4",
    "low": "sev4",
    "remind": "sev4",
    "p4": "sev4",
}
"""What the words of Alertmanager, Grafana, Tencent Cloud Monitor and most teams mean."""


class BadAlert(WarroomError):
    """What was posted is no alert; the message names the field."""


class AlertKind(StrEnum):
    """Whose form a source's alerts have."""

    ALERTMANAGER = "alertmanager"
    GRAFANA = "grafana"
    TENCENT = "tencent"
    GENERIC = "generic"
    """Ours, or any other JSON by paths."""


class AlertStatus(StrEnum):
    """Whether it is still so."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One alert. `key` is the same for the same trouble told again, and for its end.

    `severity` is "sev1" to "sev4"; `playbook` the one to run, "" for none.
    """

    source: str
    key: str
    status: AlertStatus
    title: str
    severity: str
    at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    playbook: str = ""
    url: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a document."""
        return {
            "source": self.source,
            "key": self.key,
            "status": self.status.value,
            "title": self.title,
            "severity": self.severity,
            "at": self.at.isoformat(),
            "labels": dict(self.labels),
            "playbook": self.playbook,
            "url": self.url,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Alert:
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError."""
        return cls(**{**row, "status": AlertStatus(row["status"]), "at": datetime.fromisoformat(row["at"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAlert:
    """An alert with what came of it: `times` counts how often it was told to fire."""

    alert: Alert
    group: str
    incident: str
    first_at: datetime
    last_at: datetime
    times: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertRules:
    """What one `[[alerts]]` says of grouping.

    Alerts that have the same values of the labels `by` are one incident while it is open and something of it came in
    within `window`. Without labels, everything of the source is. No more than `most` incidents are opened within a
    window: a storm is one night, not a thousand.
    """

    by: tuple[str, ...] = ()
    window: timedelta = timedelta(minutes=5)
    most: int = 3

    def group(self, alert: Alert) -> str:
        """What alerts of one incident have in common."""
        return "\x1f".join(f"{name}={alert.labels.get(name, '')}" for name in self.by)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenGroup:
    """Alerts of a source that share an open incident: when it was opened, and when it last heard of one."""

    group: str
    incident: str
    opened_at: datetime
    last_at: datetime


def join(alert: Alert, groups: Sequence[OpenGroup], rules: AlertRules, now: datetime) -> str | None:
    """The open incident this alert is part of; None: it is a new one. `groups` are those of the alert's source."""
    fresh = [g for g in groups if now - g.last_at <= rules.window]
    own = [g for g in fresh if g.group == rules.group(alert)]
    if own:
        return max(own, key=lambda g: (g.last_at, g.incident)).incident
    lately = {g.incident: g.opened_at for g in groups if now - g.opened_at <= rules.window}
    if len(lately) >= rules.most:
        return max(lately, key=lambda incident: (lately[incident], incident))
    return None
