"""Escalation policies and where an escalation stands: who is to be called next, by what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum


class Way(StrEnum):
    """How somebody is reached."""

    CHAT = "chat"
    """A mention in the incident's room."""
    APP = "app"
    """A direct card: a WeCom app message, a Slack direct message."""
    PHONE = "phone"


class TargetKind(StrEnum):
    """What a step can name."""

    PERSON = "person"
    SCHEDULE = "schedule"
    VENDOR = "vendor"
    ROLE = "role"
    """Whoever holds the role in the incident, such as "commander"; nobody while it is free."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Somebody a step reaches for. Written "person:lin", "schedule:backend", "vendor:tencent", "role:commander"."""

    kind: TargetKind
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """`after` counts from the step before it (the first: from the start of the level)."""

    after: timedelta
    who: tuple[Target, ...]
    by: tuple[Way, ...] = (Way.CHAT, Way.PHONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuietHours:
    """A time of the day in which low severities are not phoned; it may cross midnight. Chat is never quiet."""

    start: time
    end: time
    timezone: str
    severities: frozenset[str] = frozenset({"sev3", "sev4"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Steps, gone through `rounds` times; then the policy named by `then`, the next level, from its first step."""

    name: str
    steps: tuple[Step, ...]
    rounds: int = 1
    every: timedelta = timedelta(minutes=5)
    """From the last step of one round to the first step of the next, and to the next level."""
    then: str = ""
    quiet: QuietHours | None = None
    stops: bool = False
    """Whether it really ends with its last round; else the last level starts again for LOUD severities."""


class Phase(StrEnum):
    """What the timer of an escalation is for."""

    PAGING = "paging"
    """Nobody has it: the next step."""
    HELD = "held"
    """Somebody has it: the moment at which it is taken from them when nobody has done anything for so long."""
    OVER = "over"
    """Nothing: the incident is over, or the policy was at its end."""


LOUD = frozenset({"sev1", "sev2"})
"""Severities whose last level starts again rather than end: such a page is never lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Escalation:
    """Where the escalation of one incident stands.

    `step` counts every step taken since the start, over rounds and levels, and never goes back: it is part of a
    page's key. `index` is the next step within the policy. `due_at` is the timer; None: nothing more will happen.
    """

    incident: str
    policy: str
    severity: str
    started_at: datetime
    due_at: datetime | None
    first: str = ""
    """The policy it began with, and begins with again after an un-acknowledge."""
    phase: Phase = Phase.PAGING
    index: int = 0
    round: int = 1
    step: int = 0
    again: int = 0
    """How often the last level has started again."""
    epoch: int = 0
    called: Sequence[str] = field(default=())
    """People paged under this epoch, in order."""
