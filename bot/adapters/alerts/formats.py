"""What monitoring systems post, read into alerts. Foreign JSON is looked at here and nowhere else.

- Alertmanager's webhook, version 4 (Prometheus documentation, "webhook_config"), and Grafana's unified alerting, which
  sends the same with more.
- Tencent Cloud Monitor's callback (documentation, "alarm callback"): `alarmStatus` "1" firing, "0" recovered.
- generic: DESIGN's own form, or any other JSON by paths such as "data.alert.id".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.app.alert_sources import ALERT_FIELDS, AlertSource
from bot.domain.alert import (
    KEY_LENGTH,
    LABEL_LENGTH,
    LABELS,
    MOST,
    SEVERITY_WORDS,
    TITLE_LENGTH,
    Alert,
    AlertKind,
    AlertStatus,
    BadAlert,
)
from bot.domain.text import legible

_FIRING = frozenset({"firing", "alerting", "triggered", "trigger", "open", "problem", "active", "1", "true"})
_RESOLVED = frozenset({"resolved", "ok", "normal", "closed", "close", "recovered", "inactive", "0", "false"})


def read(source: AlertSource, body: bytes, *, now: datetime) -> tuple[Alert, ...]:
    """The alerts of one delivery. Raises BadAlert."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadAlert("not JSON") from exc
    found = tuple(_FORMS[source.kind](source, given, now))
    if not 0 < len(found) <= MOST:
        raise BadAlert(f"1 to {MOST} alerts are taken at once, not {len(found)}")
    return found


def _prometheus(source: AlertSource, given: Any, now: datetime) -> Iterator[Alert]:
    """Alertmanager and Grafana."""
    rows = _mapping(given, "the body").get("alerts")
    if not isinstance(rows, list):
        raise BadAlert("alerts must be a list")
    for n, row in enumerate(rows):
        alert = _mapping(row, f"alerts[{n}]")
        labels, notes = _labels(alert.get("labels")), _labels(alert.get("annotations"))
        name = labels.get("alertname", "")
        title = notes.get("summary") or notes.get("title") or notes.get("description") or name
        yield Alert(
            source=source.name,
            key=_key(alert.get("fingerprint"), labels),
            status=_status(alert.get("status")),
            title=_title(title, labels),
            severity=_graded(source, labels.get("severity")),
            at=_moment(alert.get("startsAt"), now) if alert.get("status") == "firing" else now,
            labels=labels,
            playbook=labels.get("playbook") or notes.get("playbook") or source.playbook,
            url=_url(notes.get("runbook_url") or alert.get("panelURL") or alert.get("generatorURL")),
        )


def _tencent(source: AlertSource, given: Any, now: datetime) -> Iterator[Alert]:
    """Tencent Cloud Monitor."""
    row = _mapping(given, "the body")
    policy = _mapping(row.get("alarmPolicyInfo") or {}, "alarmPolicyInfo")
    place = _mapping(row.get("alarmObjInfo") or {}, "alarmObjInfo")
    condition = policy.get("conditions")
    metric = condition if isinstance(condition, dict) else {}
    labels = _labels(
        {
            "policy": policy.get("policyName"),
            "region": place.get("region"),
            "namespace": place.get("namespace"),
            "metric": metric.get("metricName") or metric.get("productName"),
            **_labels(place.get("dimensions")),
        }
    )
    shown = metric.get("metricShowName") or metric.get("eventShowName") or metric.get("metricName") or ""
    value = f"{metric.get('currentValue', '')}{metric.get('unit', '')}"
    title = " ".join(str(part) for part in (policy.get("policyName") or "", shown, value) if part)
    session = row.get("sessionId")
    yield Alert(
        source=source.name,
        key=_key(session, _labels({**labels, "policyId": policy.get("policyId")})),
        status=_status(row.get("alarmStatus")),
        title=_title(title, labels),
        severity=_graded(source, policy.get("severity") or row.get("alarmLevel")),
        at=now,
        labels=labels,
        playbook=source.playbook,
        url="",
    )


def _generic(source: AlertSource, given: Any, now: datetime) -> Iterator[Alert]:
    """Ours, or any other by paths; one object or a list of them."""
    for row in given if isinstance(given, list) else [given]:
        alert = _mapping(row, "an alert")
        found = {name: _at(alert, source.fields.get(name, name)) for name in ALERT_FIELDS}
        labels = _labels(found["labels"])
        yield Alert(
            source=source.name,
            key=_key(found["key"], labels, needed=True),
            status=_status(found["status"]),
            title=_title(found["title"], labels),
            severity=_graded(source, found["severity"]),
            at=now,
            labels=labels,
            playbook=str(found["playbook"] or source.playbook),
            url=_url(found["url"]),
        )


_FORMS: Mapping[AlertKind, Callable[[AlertSource, Any, datetime], Iterator[Alert]]] = {
    AlertKind.ALERTMANAGER: _prometheus,
    AlertKind.GRAFANA: _prometheus,
    AlertKind.TENCENT: _tencent,
    AlertKind.GENERIC: _generic,
}


def _graded(source: AlertSource, word: Any) -> str:
    """A severity in the source's words as one of ours."""
    said = str(word).strip().lower() if isinstance(word, (str, int)) else ""
    own = {key.lower(): value for key, value in source.severities.items()}
    return own.get(said) or SEVERITY_WORDS.get(said) or source.severity


def _at(row: Mapping[str, Any], path: str) -> Any:
    """What lies at "a.b.c"; None where nothing does."""
    found: Any = row
    for part in path.split("."):
        if isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict):
            found = found.get(part)
        else:
            return None
    return found


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadAlert(f"{name} must be a JSON object")
    return value


def _labels(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    pairs = _pairs(value)
    kept = {name: said for name, said in pairs.items() if isinstance(said, (str, int, float)) and str(said)}
    return {legible(str(name))[:100]: legible(str(said))[:LABEL_LENGTH] for name, said in list(kept.items())[:LABELS]}


def _pairs(value: Any) -> Mapping[str, Any]:
    """An object, or Tencent's list of {"name", "value"}."""
    if isinstance(value, list):
        return {str(v.get("name", "")): v.get("value") for v in value if isinstance(v, dict)}
    return _mapping(value, "labels")


def _key(given: Any, labels: Mapping[str, str], *, needed: bool = False) -> str:
    if isinstance(given, (str, int)) and str(given).strip():
        key = legible(str(given).strip())
        return key if len(key) <= KEY_LENGTH else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    if needed or not labels:
        raise BadAlert("key is missing: the same alert, told again, must have the same one")
    return hashlib.sha256(json.dumps(sorted(labels.items())).encode()).hexdigest()[:32]


def _status(given: Any) -> AlertStatus:
    said = str(given).strip().lower() if isinstance(given, (str, int, bool)) else ""
    if said in _FIRING:
        return AlertStatus.FIRING
    if said in _RESOLVED:
        return AlertStatus.RESOLVED
    raise BadAlert(f"status must be firing or resolved, not {said[:40]!r}")


def _title(given: Any, labels: Mapping[str, str]) -> str:
    title = legible(str(given)).strip() if isinstance(given, (str, int)) else ""
    name = title or labels.get("alertname", "")
    if not name:
        raise BadAlert("title is missing")
    return " ".join(name.split())[:TITLE_LENGTH]


def _url(given: Any) -> str:
    return given[:1000] if isinstance(given, str) and given.startswith(("https://", "http://")) else ""


def _moment(given: Any, now: datetime) -> datetime:
    """RFC 3339; now for anything else, and for a clock that is ahead."""
    try:
        moment = datetime.fromisoformat(str(given))
        return min(moment.astimezone(UTC), now) if moment.tzinfo else now
    except (ValueError, OverflowError):
        # Also the last hour of year 9999, and the first of year 1, in a zone that is beyond them.
        return now
