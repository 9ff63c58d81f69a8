"""Waking somebody: people, pages and what a phone reports back."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.text import Lang


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody who can be called. `phone` is E.164; `slack` and `wecom` are the ids of their chat accounts."""

    name: str
    phone: str = ""
    lang: Lang = "zh"
    slack: str = ""
    wecom: str = ""
    email: str = ""
    role: str = ""
    """What they may do (`bot.domain.access`); "" is what everybody may."""

    def account(self, platform: str) -> str:
        """The id of their account on a chat platform; "" where none is known."""
        return {"slack": self.slack, "wecom": self.wecom}.get(platform, "")


class Reported(StrEnum):
    """What became of a report: recorded, only kept on the disk until the database is back, or about no page of ours."""

    RECORDED = "recorded"
    KEPT = "kept"
    UNKNOWN = "unknown"


class CallStatus(StrEnum):
    """What a phone reports."""

    RINGING = "ringing"
    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    COMPLETED = "completed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One call to one person. `key` is that of `page_key`, and the idempotency key.

    A `callback_url` that ends in "/" gets the name of the provider that makes the call.
    """

    key: str
    incident: str
    severity: str
    title: str
    text: str
    person: Person
    step: int = 1
    attempt: int = 1
    epoch: int = 0
    callback_url: str = ""
    ack_url: str = ""
    meeting_url: str = ""
    """The voice call of the incident."""


class CallState(StrEnum):
    """Where a call stands: what we did about it, then what the phone reports."""

    SAID = "said"
    """By chat only: there is no call."""
    QUEUED = "queued"
    SENT = "sent"
    """A provider has taken it."""
    REFUSED = "refused"
    """No provider takes it."""
    CANCELLED = "cancelled"
    RINGING = "ringing"
    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    COMPLETED = "completed"


CALL_IN_FLIGHT = frozenset({CallState.SENT, CallState.RINGING, CallState.ANSWERED})
"""A phone may ring, or somebody is on the line."""
CALL_ALIVE = CALL_IN_FLIGHT | {CallState.QUEUED}
"""Something may still come of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallMade:
    """One page and what came of it; `key` is the page's. `ways` are the words of `bot.domain.escalation.Way`."""

    key: str
    incident: str
    step: int
    attempt: int = 1
    epoch: int = 0
    person: str
    ways: tuple[str, ...]
    state: CallState
    pager: str = ""
    ref: str = ""
    queued_at: datetime
    sent_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """What a provider reports about the call of a page. `digits` are the keys pressed, "" for none.

    `key` is "" where the provider does not give it back. The page is then the one that has one of `refs` (the
    provider's reference or its first word, the key, or `short_key` of it), or else the latest one to `phone` (E.164).
    `by` says who pressed, where the provider knows and it may be another than the person called.
    """

    key: str = ""
    status: CallStatus
    digits: str = ""
    refs: tuple[str, ...] = ()
    phone: str = ""
    by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallLimit:
    """A provider calls one person at most `calls` times in `window_s` seconds; calls that fail count as well."""

    calls: int
    window_s: int

    def __str__(self) -> str:
        unit = {60: "min", 3600: "h", 86400: "day"}.get(self.window_s, f"{self.window_s} s")
        return f"{self.calls}/{unit}"


def page_key(incident: str, *, step: int, person: str, attempt: int) -> str:
    """The key of a page: whoever works it out gets the same one."""
    return f"{incident}:{step}:{person}:{attempt}"


def short_key(key: str) -> str:
    """15 characters that stand for a key where a provider's field has room for no more (Alibaba's OutId)."""
    return "w" + base64.b32encode(hashlib.sha256(key.encode()).digest()).decode().lower()[:14]


DIGIT_ACK = "1"
DIGIT_ESCALATE = "2"
