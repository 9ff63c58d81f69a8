"""What a search for the path MTU found, whichever way it searched. Sizes are bytes of whole IP packets."""

from __future__ import annotations

from dataclasses import dataclass

from bot.domain.failure import Failure, FaultOf


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Where to search: `low` is what must pass anyway, `high` the largest of interest."""

    low: int
    high: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """`black_hole` is None where nothing can be said; `failure` is set where not even small packets came through.

    `path_mtu` is the largest packet that was seen to pass. `reported_by` is the router that said what is too big.
    """

    path_mtu: int | None = None
    local_mtu: int | None = None
    black_hole: bool | None = None
    reported_by: str | None = None
    tries: int = 0
    rtt_ms: float | None = None
    failure: Failure | None = None
    fault: FaultOf | None = None
    reason: str = ""
