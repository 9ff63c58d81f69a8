"""Waking somebody: people, pages and what a phone reports back."""

from __future__ import annotations

from dataclasses import dataclass
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
    """One call to one person. `key` reads incident:step:target:attempt and is the idempotency key.

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """What a provider reports about the call of a page. `digits` are the keys pressed, "" for none."""

    key: str
    status: CallStatus
    digits: str = ""


DIGIT_ACK = "1"
DIGIT_ESCALATE = "2"
