"""Patrols: what a light round of a playbook saw, and the rules by which patrols go and speak up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.domain.probe import UP_RATE


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One cell of one round: `tries` is at least 1, `ok` of them worked, `ms` is the typical time of those."""

    at: datetime
    agent: str
    layer: str
    tries: int
    ok: int
    ms: float | None = None

    @property
    def bad(self) -> bool:
        """Whether it failed too often to be called up."""
        return self.ok < UP_RATE * self.tries


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One round of a playbook: every cell that was measured, from how many vantage points something was red."""

    playbook: str
    at: datetime
    samples: tuple[Sample, ...]
    red_agents: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PatrolClaim:
    """A round that is ours to do. `owner` names the boot that does it, `incident` the last one a patrol opened."""

    playbook: str
    owner: str
    number: int
    incident: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PatrolRules:
    """What `[patrol]` says. `every` of zero means no patrols; `playbooks` empty means all of them.

    An incident is opened by itself when in at least `rounds` of the last `of` rounds something was red from
    at least `vantage_points`. Shares are of a limit; `dns_limits` are queries/s of one client, by VPC.
    """

    every: timedelta = timedelta(seconds=60)
    playbooks: tuple[str, ...] = ()
    room: str = "console:main"
    open_incidents: bool = False
    rounds: int = 3
    of: int = 5
    vantage_points: int = 2
    certificate_days: int = 14
    connections_share: float = 0.8
    dns_share: float = 0.8
    dns_limits: Mapping[str, float] = field(default_factory=dict)

    def failing(self, counts: Sequence[int]) -> bool:
        """Whether rounds, newest first, with so many red vantage points each, are reason for an incident."""
        return sum(count >= self.vantage_points for count in counts[: self.of]) >= self.rounds
