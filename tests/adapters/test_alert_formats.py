"""What monitoring systems post is read into alerts, and what is none is refused with a word on why."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.alerts.formats import read as read_alerts
from bot.app.alert_sources import AlertSource
from bot.domain.alert import Alert, AlertKind, AlertStatus, BadAlert
from tests.adapters.alert_bodies import alertmanager, grafana, prometheus, tencent

NOW = datetime(2026, 11, 24, 22, 40, tzinfo=UTC)


def read(kind: str, body: bytes, **more: object) -> tuple[Alert, ...]:
    return read_alerts(AlertSource(name="mon", kind=AlertKind(kind), **more), body, now=NOW)  # type: ignore[arg-type]


def test_alertmanagers_alerts_keep_their_fingerprint_words_and_grade() -> None:
    first, second = read(
        "alertmanager",
        alertmanager(
            prometheus(instance="gw-1"),
            prometheus("SmsSlow", severity="warning", status="resolved", fingerprint="77aa", playbook="sms"),
        ),
    )
    assert (first.key, first.title, first.severity) == ("c4f3a9d0e1b20713", "SmsErrors on gw-1", "sev1")
    assert (first.status, first.at) == (AlertStatus.FIRING, datetime(2026, 11, 24, 20, 31, 4, 123000, tzinfo=UTC))
    assert (second.status, second.severity, second.playbook) == (AlertStatus.RESOLVED, "sev3", "sms")
    assert first.labels["service"] == "sms"


def test_grafanas_are_read_alike_and_point_to_their_panel() -> None:
    (alert,) = read("grafana", grafana(prometheus()))
    assert (alert.key, alert.url) == ("c4f3a9d0e1b20713", "https://g.example/p")


def test_tencents_callback_says_policy_metric_and_value_and_its_end_has_the_same_key() -> None:
    (fires,) = read("tencent", tencent())
    (over,) = read("tencent", tencent(status="0"))
    assert fires.title == "CPU of the gateway CPU 利用率 97.3%"
    assert fires.labels["unInstanceId"] == "ins-o9p3rg3m"
    assert fires.labels["region"] == "gz"
    assert (fires.key, over.key) == ("62b5f1c8", "62b5f1c8")
    assert (fires.status, over.status) == (AlertStatus.FIRING, AlertStatus.RESOLVED)


def test_our_own_form_is_taken_as_it_is_documented() -> None:
    row = {"key": "disk:gw-1", "status": "firing", "title": "disk full", "severity": "sev1", "labels": {"host": "gw-1"}}
    (alert,) = read("generic", json.dumps({**row, "playbook": "sms"}).encode())
    assert (alert.key, alert.severity, alert.playbook) == ("disk:gw-1", "sev1", "sms")
    assert len(read("generic", json.dumps([row, {**row, "key": "b"}]).encode())) == 2


def test_any_other_json_is_read_by_paths_and_words_of_its_own() -> None:
    body = {
        "event": {"id": 7, "state": "PROBLEM", "tags": [{"name": "host", "value": "gw"}]},
        "msg": "x",
        "prio": "red",
    }
    fields = {"key": "event.id", "status": "event.state", "title": "msg", "severity": "prio", "labels": "event.tags"}
    (alert,) = read("generic", json.dumps(body).encode(), fields=fields, severities={"RED": "sev1"})
    assert (alert.key, alert.status, alert.severity, alert.labels) == ("7", AlertStatus.FIRING, "sev1", {"host": "gw"})


def test_an_alert_without_a_grade_is_what_the_source_says_it_is() -> None:
    body = json.dumps({"key": "k", "status": "firing", "title": "t"}).encode()
    assert read("generic", body)[0].severity == "sev2"
    assert read("generic", body, severity="sev3", playbook="sms")[0].severity == "sev3"


@pytest.mark.parametrize(
    ("kind", "body", "word"),
    [
        ("generic", b"{", "not JSON"),
        ("generic", b'{"status": "firing", "title": "t"}', "key is missing"),
        ("generic", b'{"key": "k", "status": "perhaps", "title": "t"}', "status must be"),
        ("generic", b'{"key": "k", "status": "firing"}', "title is missing"),
        ("generic", b'{"key": "k", "status": "firing", "title": "t", "labels": 3}', "labels must be"),
        ("generic", b"[]", "1 to 1000"),
        ("alertmanager", b'{"alerts": {}}', "alerts must be a list"),
        ("alertmanager", b"[]", "the body must be"),
        ("tencent", b'{"alarmStatus": "1"}', "key is missing"),
    ],
)
def test_what_is_no_alert_is_refused_with_the_reason(kind: str, body: bytes, word: str) -> None:
    with pytest.raises(BadAlert, match=word):
        read(kind, body)


def test_control_characters_and_length_of_foreign_words_are_tamed() -> None:
    row = {"key": "k" * 9000, "status": "firing", "title": "a\x00b\x1b[31m" + "t" * 900, "labels": {"x": "y" * 9000}}
    (alert,) = read("generic", json.dumps(row).encode())
    assert len(alert.key) < 100
    assert len(alert.title) <= 200
    assert "\x1b" not in alert.title
    assert len(alert.labels["x"]) <= 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=25,
)
WORDS = st.sampled_from(
    ["alerts", "status", "labels", "alarmStatus", "alarmPolicyInfo", "alarmObjInfo", "key", "title"]
)


@given(st.sampled_from(AlertKind), JSON | st.dictionaries(WORDS, JSON, max_size=6))
def test_whatever_is_posted_is_alerts_or_refused(kind: str, body: object) -> None:
    try:
        found = read(kind, json.dumps(body).encode())
    except BadAlert:
        return
    assert all(a.key and a.title and a.severity.startswith("sev") for a in found)


@pytest.mark.parametrize("began", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "yesterday", "", None, 7])
def test_a_beginning_that_is_no_moment_is_now(began: object) -> None:
    alert = {"status": "firing", "labels": {"alertname": "x"}, "startsAt": began}
    (found,) = read("alertmanager", json.dumps({"alerts": [alert]}).encode())
    assert found.at == NOW
