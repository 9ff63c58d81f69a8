"""Values of the night, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.incident import Entry, EntryKind, Incident, IncidentState, Run
from bot.domain.message import Header, Message
from bot.domain.page import Page, Person
from bot.domain.text import Text

ONSET = datetime(2026, 1, 15, 15, 0, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return ONSET + timedelta(minutes=minutes)


def incident(**changes: Any) -> Incident:
    facts: dict[str, Any] = {
        "id": "",
        "title": "短信发不出去",
        "severity": "sev1",
        "state": IncidentState.DECLARED,
        "room": "console:war-1",
        "origin_room": "console:ops",
        "opened_at": ONSET,
        "opened_by": "lin",
    }
    return Incident(**{**facts, **changes})


def note(words: str, **changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "kind": EntryKind.NOTE,
        "at": ONSET,
        "actor": "lin",
        "room": "console:ops",
        "zh": words,
        "en": words,
    }
    return Entry(**{**facts, **changes})


def run(name: str = "run-1", **changes: Any) -> Run:
    facts: dict[str, Any] = {"playbook": "sms", "room": "console:ops", "user": "lin", "started_at": ONSET}
    return Run(id=name, **{**facts, **changes})


def message(words: str, *, key: str = "verdict", room: str = "console:ops") -> Message:
    return Message(key=key, room=room, blocks=(Header(text=Text(words, words)),))


def page(**changes: Any) -> Page:
    facts: dict[str, Any] = {
        "key": "INC-1:1:lin:1",
        "incident": "INC-1",
        "severity": "sev1",
        "title": "短信发不出去",
        "text": "上海 VPC 的 DNS 被限频",
        "person": Person(name="lin", phone="+8613800000000"),
    }
    return Page(**{**facts, **changes})
