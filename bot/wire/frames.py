"""The frames of agent protocol 2, and their life.

A connection: the hub sends a Challenge; the agent answers with a Hello, which proves the key it shows and, when it
is new, that it knows a token; the hub answers with a Welcome. Challenge and Hello are signed with Ed25519
(`bot.wire.signing`); everything after is sealed with the keys both sides have agreed on (`bot.wire.session`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain.errors import FrameError
from bot.domain.probe import Agent, Outcome, ProbeRequest

PROTOCOL = 2
MAX_FRAME = 256 * 1024
"""Bytes; a larger frame is refused unread."""
MAX_LIFE_S = 60.0
"""A job may not be valid for longer than this, whatever it says."""
CLOCK_TOLERANCE_S = 30.0
"""How far the two clocks may differ before a job counts as expired or not yet valid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Challenge:
    """The hub speaks first: who it is, its half of the key agreement, and a nonce nobody has signed yet.

    `ephemeral` is an X25519 public key, `now` the hub's clock in epoch seconds.
    """

    public_key: str
    ephemeral: str
    nonce: str
    now: float
    protocol: int = PROTOCOL


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """The agent introduces itself to one hub (`hub`, its public key) in answer to one challenge (its nonce).

    `token_id` names the token that `proof` shows knowledge of; "" is the shared one. An empty `proof` means that
    the agent has no token and counts on its key being known. `process` tells one agent process from another with the
    same name and key.
    """

    agent: Agent
    public_key: str
    ephemeral: str
    nonce: str
    hub: str
    challenge: str
    token_id: str = ""
    proof: str = ""
    process: str = ""
    protocol: int = PROTOCOL


@dataclass(frozen=True, kw_only=True, slots=True)
class Welcome:
    """The hub accepts. `now` is its clock; `proof` shows that it knows the token too, "" where none was needed."""

    now: float
    proof: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The hub does not accept this agent, or no longer: `reason` says why, in words for the operator.

    `final`: asking again will not help. To one whose Hello was not understood it is only signed, and never final.
    """

    reason: str
    final: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One probe for one agent, valid from `issued` to `expires` (epoch seconds, hub's clock), once."""

    id: str
    audience: str
    nonce: str
    issued: float
    expires: float
    request: ProbeRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came of a job. `at` is when the probe began (epoch seconds, agent's clock).

    `lag_ms` is how late the agent's event loop ran, `clock_ms` how far its clock is ahead of the hub's.
    """

    job: str
    nonce: str
    outcome: Outcome
    at: float
    took_ms: float
    lag_ms: float = 0.0
    clock_ms: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The agent's state changed: "ready", "draining". `lacks` says what it cannot do here, and why."""

    state: str
    lag_ms: float = 0.0
    clock_ms: float = 0.0
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """Still here: for links that do not notice by themselves when the other side is gone. `now` as in Welcome."""

    now: float


Frame = Challenge | Hello | Welcome | Refused | Job | Result | Status | Beat


def check_job(job: Job, *, audience: str, now: float, seen: Mapping[str, float]) -> None:
    """Raise FrameError unless this agent may run this job now. `seen` maps nonces already used to their expiry."""
    if job.audience != audience:
        raise FrameError(f"job {job.id} is addressed to {job.audience!r}, not to {audience!r}")
    if job.expires - job.issued > MAX_LIFE_S:
        raise FrameError(f"job {job.id} claims to live longer than {MAX_LIFE_S:.0f} s")
    if now > job.expires + CLOCK_TOLERANCE_S:
        raise FrameError(f"job {job.id} expired {now - job.expires:.0f} s ago")
    if now < job.issued - CLOCK_TOLERANCE_S:
        raise FrameError(f"job {job.id} is not valid for another {job.issued - now:.0f} s")
    if job.nonce in seen:
        raise FrameError(f"job {job.id} was already run")
