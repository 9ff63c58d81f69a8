"""Rooms, incidents, runs and the entries of the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.domain.text import Lang


class IncidentState(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    RESOLVED = "resolved"


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """A place where people talk: `platform` and the platform's own id make the key "platform:id"."""

    key: str
    title: str
    lang: Lang = "zh"
    incident: str | None = None
    lang_chosen: bool = True
    """False where nobody chose a language: the configuration's is spoken, also after that has changed."""

    @property
    def platform(self) -> str:
        """The chat platform the room is on."""
        return self.key.partition(":")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """Something broken that somebody has taken on. `id` reads "INC-42"."""

    id: str
    title: str
    severity: str
    state: IncidentState
    room: str
    origin_room: str
    opened_at: datetime
    opened_by: str
    resolved_at: datetime | None = None
    acked_at: datetime | None = None
    acked_by: str | None = None
    epoch: int = 0
    """Counts acknowledgements; a page queued under an older epoch is not sent."""


class EntryKind(StrEnum):
    """What the timeline records."""

    COMMAND = "command"
    PROBES = "probes"
    VERDICT = "verdict"
    PAGE = "page"
    CALL = "call"
    ACK = "ack"
    ESCALATION = "escalation"
    NOTE = "note"
    INCIDENT = "incident"
    VENDOR = "vendor"
    ONCALL = "oncall"
    WATCH = "watch"
    CHANGE = "change"
    NOTICE = "notice"
    RECOVERY = "recovery"
    CORRECTION = "correction"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One append-only line of the timeline: `at` is when it happened, `seq` the order it was recorded in.

    `text` is one sentence in each language; `data` holds the structured act.
    """

    kind: EntryKind
    at: datetime
    actor: str
    room: str
    zh: str
    en: str
    incident: str | None = None
    run: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0
    recorded_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One `/diag`: a playbook asked from everywhere, and what came of it. `document` is the diag document."""

    id: str
    playbook: str
    room: str
    user: str
    started_at: datetime
    incident: str | None = None
    finished_at: datetime | None = None
    document: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """A room that is told when a playbook's checks are green again: one for each room.

    `message` is the key of its card, `since` when the trouble was first looked at.
    """

    room: str
    playbook: str
    message: str
    since: datetime
    started_at: datetime
