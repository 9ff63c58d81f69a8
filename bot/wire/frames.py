"""The frames of agent protocol 1.

A connection: the agent proves its token in the HTTP upgrade, sends Hello; the hub answers Welcome with its
public key; then Job frames go out and Result frames come back, each in a signed envelope. The signature
covers the exact bytes of the body, so nothing depends on how JSON is spelled.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.domain.errors import FrameError
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, Outcome, ProbeRequest
from bot.wire.details import believable
from bot.wire.signing import Signer, Verifier

PROTOCOL = 1
MAX_FRAME = 256 * 1024
"""Bytes; a larger frame is refused unread."""
MAX_LIFE_S = 60.0
"""A job may not be valid for longer than this, whatever it says."""
REPLACED = 4001
"""WebSocket close code: the same agent, by its key, has connected again. The older connection must stay away."""
CLOCK_TOLERANCE_S = 30.0
"""How far the two clocks may differ before a job counts as expired or not yet valid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """The agent introduces itself."""

    agent: Agent
    public_key: str
    protocol: int = PROTOCOL


@dataclass(frozen=True, kw_only=True, slots=True)
class Welcome:
    """The hub accepts; its key signs every job. `now` is the hub's clock, epoch seconds."""

    public_key: str
    now: float
    protocol: int = PROTOCOL


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The hub does not accept this agent; `reason` says why, in words for the operator."""

    reason: str


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
    """What came of a job. `at` is when the probe began (epoch seconds, agent's clock)."""

    job: str
    nonce: str
    outcome: Outcome
    at: float
    took_ms: float
    lag_ms: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The agent's state changed: "ready", "draining"."""

    state: str
    lag_ms: float = 0.0


Frame = Hello | Welcome | Refused | Job | Result | Status


def encode(frame: Frame, signer: Signer | None = None) -> str:
    """The frame as text, signed when a signer is given. Raises FrameError for one that nobody could read."""
    row = {"type": type(frame).__name__.lower(), **_dump(frame)}
    try:
        body = json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        envelope = {"body": body} if signer is None else {"body": body, "sig": signer.sign(body.encode())}
    except (ValueError, TypeError, RecursionError) as exc:
        raise FrameError(f"a {row['type']} frame that JSON cannot carry: {exc}") from exc
    text = json.dumps(envelope)
    if len(text) > MAX_FRAME:
        raise FrameError(f"a {row['type']} frame of {len(text)} bytes; at most {MAX_FRAME} may be sent")
    return text


def decode(text: str | bytes, verifier: Verifier | None = None) -> Frame:
    """Read a frame; with a verifier the signature must fit. Raises FrameError and nothing else."""
    if len(text) > MAX_FRAME:
        raise FrameError(f"frame of {len(text)} bytes; at most {MAX_FRAME} are read")
    try:
        envelope = json.loads(text)
        body = envelope["body"]
        if verifier is not None:
            verifier.verify(body.encode(), envelope["sig"])
        row = json.loads(body, parse_constant=_finite, parse_float=_finite)
        frame: Frame = _READERS[row["type"]](row)
        return frame
    except FrameError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
        raise FrameError(f"malformed frame: {type(exc).__name__}") from exc


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


def _dump(value: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for f in dataclasses.fields(value):
        item = getattr(value, f.name)
        if f.name == "last_seen":
            continue
        row[f.name] = _dump(item) if dataclasses.is_dataclass(item) else item
    return row


def _finite(spelled: str) -> float:
    """Neither a database nor a browser takes NaN or an infinity, so none comes in, not even inside a detail."""
    value = float(spelled)
    if not math.isfinite(value):
        raise FrameError(f"{spelled[:40]} is not a number JSON knows")
    return value


def _str(row: Mapping[str, Any], key: str, limit: int = 200) -> str:
    value = row[key]
    if not isinstance(value, str) or len(value) > limit:
        raise FrameError(f"{key} must be text of at most {limit} characters")
    return value


def _num(row: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = row.get(key, default) if default is not None else row[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FrameError(f"{key} must be a number")
    return float(value)


def _map(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = row.get(key) or {}
    if not isinstance(value, dict):
        raise FrameError(f"{key} must be an object")
    return value


def _agent(row: Mapping[str, Any]) -> Agent:
    resolvers = {str(k)[:20]: tuple(str(a)[:80] for a in v)[:8] for k, v in _map(row, "resolvers").items()}
    return Agent(
        name=_str(row, "name", 80),
        region=_str(row, "region", 80),
        vantage=_str(row, "vantage", 40),
        env=_str(row, "env", 40),
        vpc=_str(row, "vpc", 80),
        cluster=_str(row, "cluster", 80),
        state=_str(row, "state", 20),
        version=_str(row, "version", 40),
        kinds=tuple(str(k)[:40] for k in row.get("kinds") or ())[:64],
        resolvers=resolvers,
    )


def _request(row: Mapping[str, Any]) -> ProbeRequest:
    return ProbeRequest(
        id=_str(row, "id"),
        probe=_str(row, "probe"),
        kind=_str(row, "kind", 40),
        layer=_str(row, "layer", 40),
        target=_str(row, "target", 2000),
        agent=_str(row, "agent", 80),
        params=_map(row, "params"),
        timeout_s=_num(row, "timeout_s"),
        why=_str(row, "why", 1000),
    )


def _outcome(row: Mapping[str, Any]) -> Outcome:
    if not isinstance(row["ok"], bool):
        raise FrameError("ok must be true or false")
    rate = None if row.get("success_rate") is None else _num(row, "success_rate")
    if rate is not None and not 0 <= rate <= 1:
        raise FrameError("success_rate must lie between 0 and 1")
    return Outcome(
        ok=row["ok"],
        failure=Failure(row["failure"]) if row.get("failure") else None,
        fault_of=FaultOf(row["fault_of"]) if row.get("fault_of") else None,
        success_rate=rate,
        timings_ms={str(k)[:40]: _num({"ms": v}, "ms") for k, v in _map(row, "timings_ms").items()},
        detail=believable(_map(row, "detail")),
    )


_READERS: dict[str, Any] = {
    "hello": lambda r: Hello(
        agent=_agent(_map(r, "agent")), public_key=_str(r, "public_key"), protocol=int(_num(r, "protocol"))
    ),
    "welcome": lambda r: Welcome(
        public_key=_str(r, "public_key"), now=_num(r, "now"), protocol=int(_num(r, "protocol"))
    ),
    "refused": lambda r: Refused(reason=_str(r, "reason", 1000)),
    "job": lambda r: Job(
        id=_str(r, "id"),
        audience=_str(r, "audience"),
        nonce=_str(r, "nonce"),
        issued=_num(r, "issued"),
        expires=_num(r, "expires"),
        request=_request(_map(r, "request")),
    ),
    "result": lambda r: Result(
        job=_str(r, "job"),
        nonce=_str(r, "nonce"),
        outcome=_outcome(_map(r, "outcome")),
        at=_num(r, "at"),
        took_ms=_num(r, "took_ms"),
        lag_ms=_num(r, "lag_ms", 0.0),
    ),
    "status": lambda r: Status(state=_str(r, "state", 20), lag_ms=_num(r, "lag_ms", 0.0)),
}
