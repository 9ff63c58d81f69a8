"""What `[[alerts]]` says of a monitoring system: how its alerts are read, and which of them are one incident."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bot.domain.alert import AlertKind, AlertRules
from bot.domain.directory import SEVERITIES
from bot.domain.errors import ConfigError
from bot.domain.sender import Sender

ALERT_FIELDS = ("key", "status", "title", "severity", "labels", "playbook", "url")
"""What `fields` may name."""
MOST_INCIDENTS = 100
LONGEST_WINDOW_S = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertSource:
    """One `[[alerts]]`: a monitoring system that posts; at least one of the two secrets is there.

    `severity` is what an alert without one is, `severities` the system's own words for ours, `fields` paths into
    foreign JSON (kind generic), `playbook` what is run for an alert that names none, `room` where its incidents begin.
    """

    name: str
    kind: AlertKind
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    room: str = "console:main"
    playbook: str = ""
    severity: str = "sev2"
    severities: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    rules: AlertRules = field(default_factory=AlertRules)

    @property
    def sender(self) -> Sender:
        """Who may post."""
        return Sender(name=self.name, secret=self.secret, token=self.token)


def read_source(row: Mapping[str, Any], secrets: Callable[[str], tuple[str, str]]) -> AlertSource:
    """A row of `[[alerts]]`; `secrets` gives a source's secret and token. Raises ConfigError."""
    name, kind = str(row.get("name", "")).strip(), str(row.get("kind", "generic"))
    if not name:
        raise ConfigError("[[alerts]]: name is missing")
    where = f"[[alerts]] {name}"
    if kind not in list(AlertKind):
        raise ConfigError(f"{where}: kind {kind!r} is not known; there are {', '.join(AlertKind)}")
    key, token = secrets(name)
    severity, severities = _grades(row, where)
    paths = {str(k): str(v) for k, v in _table_of(row, "fields", where).items()}
    if unknown := [name for name in paths if name not in ALERT_FIELDS]:
        raise ConfigError(f"{where}: fields.{unknown[0]} is not known; there are {', '.join(ALERT_FIELDS)}")
    if paths and kind != "generic":
        raise ConfigError(f"{where}: fields are for kind generic; {kind} has a form of its own")
    return AlertSource(
        name=name,
        kind=AlertKind(kind),
        secret=key,
        token=token,
        room=str(row.get("room", "console:main")),
        playbook=str(row.get("playbook", "")),
        severity=severity,
        severities=severities,
        fields=paths,
        rules=_rules(row, where),
    )


def _grades(row: Mapping[str, Any], where: str) -> tuple[str, Mapping[str, str]]:
    words = {str(k): str(v) for k, v in _table_of(row, "severities", where).items()}
    severity = str(row.get("severity", "sev2"))
    for word, grade in {"severity": severity, **words}.items():
        if grade not in SEVERITIES:
            raise ConfigError(f"{where}: {word} is {grade!r}; it must be one of {', '.join(SEVERITIES)}")
    return severity, words


def _rules(row: Mapping[str, Any], where: str) -> AlertRules:
    by, most = row.get("group_by", []), row.get("most", AlertRules().most)
    if not isinstance(by, list) or not all(isinstance(label, str) and label for label in by):
        raise ConfigError(f'{where}: group_by must be a list of labels, such as ["service", "cluster"]')
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST_INCIDENTS:
        raise ConfigError(f"{where}: most is {most!r}; it must be a number of incidents from 1 to {MOST_INCIDENTS}")
    return AlertRules(by=tuple(by), window=_window(row.get("window", "5m"), where), most=most)


def _window(given: Any, where: str) -> timedelta:
    match = re.fullmatch(r"(\d+)(s|m|h)", str(given).strip())
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0
    if not 1 <= seconds <= LONGEST_WINDOW_S:
        raise ConfigError(f'{where}: window is {given!r}; it must read "90s", "5m" or "1h", up to 24h')
    return timedelta(seconds=seconds)


def _table_of(row: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = row.get(name, {})
    if not isinstance(value, dict):
        raise ConfigError(f'{where}: {name} must be a table, such as {name} = {{a = "b"}}')
    return value
