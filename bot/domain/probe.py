"""What is asked of an agent, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.domain.failure import Failure, FaultOf

Json = Any
"""Anything `json.dumps` takes."""


class Vantage(StrEnum):
    """Well-known places to look from; an agent may name another one."""

    POD = "pod"
    VM = "vm"
    VM2 = "vm2"
    OUTSIDE = "outside"


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """A vantage point as it introduced itself. `resolvers` maps "host"/"vpc"/"public" to `address:port`s."""

    name: str
    region: str
    vantage: str
    env: str = ""
    vpc: str = ""
    cluster: str = ""
    state: str = "ready"
    """"starting" until it has tested itself, then "ready"; "draining" or "lost"."""
    version: str = ""
    kinds: tuple[str, ...] = ()
    resolvers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    last_seen: datetime | None = None
    lag_ms: float | None = None
    """How late its event loop ran when it last answered."""
    clock_ms: float | None = None
    """How far its clock is ahead of the hub's."""
    lacks: tuple[str, ...] = ()
    """What it cannot do where it runs, and why, in its own words."""

    def to_json(self) -> dict[str, Json]:
        """The `agents` rows of the diag document."""
        return {
            "name": self.name,
            "region": self.region,
            "vantage": self.vantage,
            "env": self.env,
            "vpc": self.vpc,
            "cluster": self.cluster,
            "state": self.state,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeRequest:
    """One typed probe for one agent.

    `probe` is the stable label of what is asked ("dns/api/vpc"), the same for every agent that is asked it;
    `layer` is the matrix row it fills; `params` are the kind's own parameters, all JSON.
    """

    id: str
    probe: str
    kind: str
    layer: str
    target: str
    agent: str
    params: Mapping[str, Json] = field(default_factory=dict)
    timeout_s: float = 10.0
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a probe found, before anybody adds who asked and from where.

    `timings_ms` keeps every phase that was reached, also on failure. `success_rate` is ok tries / tries.
    """

    ok: bool
    failure: Failure | None = None
    fault_of: FaultOf | None = None
    success_rate: float | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    detail: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One outcome with its place in the matrix: the only input diagnosis has."""

    probe: str
    kind: str
    layer: str
    target: str
    agent: str
    region: str
    vantage: str
    env: str = ""
    vpc: str = ""
    cluster: str = ""
    ok: bool
    failure: Failure | None = None
    fault_of: FaultOf | None = None
    success_rate: float | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    detail: Mapping[str, Json] = field(default_factory=dict)
    at: datetime | None = None
    took_ms: float = 0.0
    lag_ms: float = 0.0
    clock_ms: float = 0.0
    request: str = ""
    """Id of the request it answers; a late answer takes the place of the one that said the agent was lost."""

    @property
    def tries(self) -> int:
        """How many tries stand behind the success rate (1 when the probe did not say)."""
        tries = self.detail.get("tries", 1)
        return int(tries) if isinstance(tries, (int, float)) else 1

    def to_json(self) -> dict[str, Json]:
        """An `observations` row of the diag document."""
        return {
            "probe": self.probe,
            "kind": self.kind,
            "layer": self.layer,
            "target": self.target,
            "agent": self.agent,
            "region": self.region,
            "vantage": self.vantage,
            "env": self.env,
            "vpc": self.vpc,
            "cluster": self.cluster,
            "ok": self.ok,
            "failure": self.failure.value if self.failure else None,
            "fault_of": self.fault_of.value if self.fault_of else None,
            "success_rate": self.success_rate,
            "timings_ms": dict(self.timings_ms),
            "detail": dict(self.detail),
            "at": self.at.isoformat() if self.at else None,
            "took_ms": self.took_ms,
            "lag_ms": self.lag_ms,
            "clock_ms": self.clock_ms,
            "request": self.request,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Json]) -> Observation:
        """The inverse of `to_json`. Raises KeyError or ValueError on a malformed row."""
        return cls(
            probe=str(row["probe"]),
            kind=str(row["kind"]),
            layer=str(row["layer"]),
            target=str(row["target"]),
            agent=str(row["agent"]),
            region=str(row["region"]),
            vantage=str(row["vantage"]),
            env=str(row.get("env") or ""),
            vpc=str(row.get("vpc") or ""),
            cluster=str(row.get("cluster") or ""),
            ok=bool(row["ok"]),
            failure=Failure(row["failure"]) if row.get("failure") else None,
            fault_of=FaultOf(row["fault_of"]) if row.get("fault_of") else None,
            success_rate=row.get("success_rate"),
            timings_ms=dict(row.get("timings_ms") or {}),
            detail=dict(row.get("detail") or {}),
            at=datetime.fromisoformat(row["at"]) if row.get("at") else None,
            took_ms=float(row.get("took_ms") or 0.0),
            lag_ms=float(row.get("lag_ms") or 0.0),
            clock_ms=float(row.get("clock_ms") or 0.0),
            request=str(row.get("request") or ""),
        )


def observe(
    request: ProbeRequest,
    agent: Agent,
    outcome: Outcome,
    *,
    at: datetime,
    took_ms: float,
    lag_ms: float = 0.0,
    clock_ms: float = 0.0,
) -> Observation:
    """Place an outcome in the matrix."""
    return Observation(
        probe=request.probe,
        kind=request.kind,
        layer=request.layer,
        target=request.target,
        agent=agent.name,
        region=agent.region,
        vantage=agent.vantage,
        env=agent.env,
        vpc=agent.vpc,
        cluster=agent.cluster,
        ok=outcome.ok,
        failure=outcome.failure,
        fault_of=outcome.fault_of,
        success_rate=outcome.success_rate,
        timings_ms=outcome.timings_ms,
        detail=outcome.detail,
        at=at,
        took_ms=took_ms,
        lag_ms=lag_ms,
        clock_ms=clock_ms,
        request=request.id,
    )


UP_RATE = 0.95
"""What works at least this often is up. Of fewer than 20 tries that is every one of them."""


def wilson(ok: int, tries: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a success rate (95 % for z = 1.96); (0, 1) for no tries.

    Wilson, JASA 22 (1927). Unlike the normal interval it is honest at 0 and at 1.
    """
    if tries <= 0:
        return 0.0, 1.0
    rate = ok / tries
    z2 = z * z
    centre = (rate + z2 / (2 * tries)) / (1 + z2 / tries)
    half = z * math.sqrt(rate * (1 - rate) / tries + z2 / (4 * tries * tries)) / (1 + z2 / tries)
    low = 0.0 if ok == 0 else max(0.0, centre - half)
    high = 1.0 if ok == tries else min(1.0, centre + half)
    return low, high
