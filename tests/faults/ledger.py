"""What everybody wrote down in one world; the judge reads nothing else. Times are monotonic seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = list[dict[str, Any]]
Rounds = tuple[Sequence[Sequence[str]], Sequence[Sequence[str]]]


@dataclass
class Ledger:
    """What everybody wrote down in one world. `people` are the steps: once through, then for ever.

    `posts` (key, at) at the provider; `injected` (key, fault, at, how long the provider took); `events` of
    `tests.faults.crash`; `lives` (pid, began, ended, how, stops); `crashes` of the database, and `lags` of the
    process with provider and proxy (from, until).
    """

    name: str = ""
    seed: int = 0
    lease_s: float = 1.0
    honours_keys: bool = True
    took_s: float = 0.0
    people: Rounds = ((), ())
    posts: list[tuple[str, float]] = field(default_factory=list)
    effects: Mapping[str, int] = field(default_factory=dict)
    forged: int = 0
    injected: list[tuple[str, str, float, float]] = field(default_factory=list)
    refusals: int = 0
    events: Rows = field(default_factory=list)
    lives: list[tuple[int, float, float, str, list[tuple[float, float]]]] = field(default_factory=list)
    crashes: list[tuple[float, float]] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)
    rows: Mapping[str, Rows] = field(default_factory=dict)
    promised_rooms: list[str] = field(default_factory=list)
    promised_acks: list[tuple[str, str]] = field(default_factory=list)
    ack_answers: Mapping[str, float] = field(default_factory=dict)
    kept_acks: int = 0
    stuck: list[str] = field(default_factory=list)
    without_timer: list[str] = field(default_factory=list)
