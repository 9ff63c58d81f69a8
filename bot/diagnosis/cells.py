"""Observations counted into the cells of the matrix: one cell for each agent and layer, or for each service as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from bot.domain.failure import Failure, FaultOf, Phase, phase_of
from bot.domain.layers import BY_ID
from bot.domain.probe import UP_RATE, Observation, wilson

Key = tuple[str, str, str]
"""(agent, layer, service)."""
SHARED = frozenset({"dns_internal", "control", "control_dns", "service"})
"""Layers that tell of the way, or of us, and not of one service we depend on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What one vantage point saw of one layer. `tries` is 0 when nothing could be measured (see `trouble`).

    `service` is the host that was asked, "" where the cell is not about one.
    """

    agent: str
    region: str
    vantage: str
    env: str
    vpc: str
    cluster: str
    layer: str
    service: str = ""
    tries: int = 0
    ok: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    ms: float | None = None
    skew_ms: float | None = None
    trouble: FaultOf | None = None
    """Set when nothing was measured because of the agent or its policy."""

    @property
    def key(self) -> Key:
        """What tells it from the others of a run."""
        return self.agent, self.layer, self.service

    @property
    def rate(self) -> float:
        """Share of tries that worked."""
        return self.ok / self.tries if self.tries else 0.0

    @property
    def state(self) -> str:
        """One of up, down, lossy, or missing or denied where nothing was measured."""
        if not self.tries:
            return "denied" if self.trouble is FaultOf.POLICY else "missing"
        if self.rate >= UP_RATE:
            return "up"
        return "lossy" if self.ok else "down"

    @property
    def red(self) -> bool:
        """Whether something failed here that wants explaining."""
        return self.state in ("down", "lossy")

    @property
    def failure(self) -> str:
        """The most common failure, "" when there was none."""
        return max(self.failures, key=lambda f: (self.failures[f], f)) if self.failures else ""

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson interval of the rate."""
        return wilson(self.ok, self.tries)


def cells(observations: Iterable[Observation]) -> tuple[Cell, ...]:
    """Every measured or attempted cell of the matrix, all services together, in a stable order."""
    return together(by_service(observations))


def by_service(observations: Iterable[Observation]) -> tuple[Cell, ...]:
    """The same with a cell for each service, so that a service that works does not hide one that does not."""
    found: dict[Key, list[Cell]] = {}
    for observation in observations:
        for cell in _cells_of(observation):
            found.setdefault(cell.key, []).append(cell)
    return tuple(_merge(parts) for _, parts in sorted(found.items()))


def together(parts: Iterable[Cell]) -> tuple[Cell, ...]:
    """Cells of several services as one for each agent and layer."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in parts:
        found.setdefault((cell.agent, cell.layer), []).append(cell)
    return tuple(_merged(mine) for _, mine in sorted(found.items()))


def _merged(mine: Sequence[Cell]) -> Cell:
    return mine[0] if len(mine) == 1 else replace(_merge(mine), service="")


def service_of(seen: Observation) -> str:
    """The host that was asked: targets are URLs, names, or host:port."""
    if seen.layer in SHARED:
        return ""
    try:
        return urlsplit(seen.target if "://" in seen.target else f"//{seen.target}").hostname or seen.target
    except ValueError:
        return seen.target


def _cells_of(seen: Observation) -> Sequence[Cell]:
    if seen.layer not in BY_ID:
        return ()
    blank = Cell(
        agent=seen.agent,
        region=seen.region,
        vantage=seen.vantage,
        env=seen.env,
        vpc=seen.vpc,
        cluster=seen.cluster,
        layer=seen.layer,
        service=service_of(seen),
    )
    if seen.fault_of in (FaultOf.AGENT, FaultOf.POLICY) and not seen.ok:
        return (replace(blank, trouble=seen.fault_of),)
    whole = _count(blank, seen)
    return _phases(whole, seen) if seen.layer == "http" else (whole,)


def _count(blank: Cell, seen: Observation) -> Cell:
    detail = seen.detail
    tries = max(1, seen.tries)
    rate = seen.success_rate if seen.success_rate is not None else float(seen.ok)
    ok = detail.get("ok")
    good = int(ok) if isinstance(ok, int) and not isinstance(ok, bool) else round(rate * tries)
    failures = _counts(detail.get("failures"))
    if not failures and seen.failure:
        failures = {seen.failure.value: max(1, tries - good)}
    code = detail.get("code")
    return replace(
        blank,
        tries=tries,
        ok=min(good, tries),
        failures=failures,
        codes=(str(code),) if code else (),
        answers=tuple(str(a) for a in detail.get("answers") or ()),
        ms=_typical(seen),
        skew_ms=detail.get("date_skew_ms"),
    )


def _typical(seen: Observation) -> float | None:
    for key in ("dns", "total", "tcp", "rtt"):
        if key in seen.timings_ms:
            return seen.timings_ms[key]
    return None


def _counts(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        return {}
    known = {f.value for f in Failure}
    return {str(k): int(v) for k, v in value.items() if k in known and isinstance(v, int)}


def _phases(whole: Cell, seen: Observation) -> Sequence[Cell]:
    """One pinned HTTP probe tells of TCP, TLS and HTTP: each phase was tried as often as the one before worked."""
    left, parts = whole.tries, []
    by_phase: dict[Phase, dict[str, int]] = {}
    for name, count in whole.failures.items():
        by_phase.setdefault(phase_of(Failure(name)), {})[name] = count
    for layer, phase in (("tcp", Phase.TCP), ("tls", Phase.TLS), ("http", Phase.HTTP)):
        failures = by_phase.get(phase, {})
        bad = min(left, sum(failures.values()))
        if left:
            ms = seen.timings_ms.get("first_byte" if layer == "http" else layer)
            extra = whole if layer == "http" else replace(whole, codes=(), skew_ms=None)
            parts.append(replace(extra, layer=layer, tries=left, ok=left - bad, failures=failures, ms=ms))
        left -= bad
    return parts


def _merge(parts: Sequence[Cell]) -> Cell:
    measured = [p for p in parts if p.tries]
    if not measured:
        return parts[0]
    failures: Counter[str] = Counter()
    for part in measured:
        failures.update(part.failures)
    return replace(
        measured[0],
        tries=sum(p.tries for p in measured),
        ok=sum(p.ok for p in measured),
        failures=dict(failures),
        codes=tuple(sorted({c for p in measured for c in p.codes})),
        answers=tuple(sorted({a for p in measured for a in p.answers})),
        ms=_median(p.ms for p in measured),
        skew_ms=_median(p.skew_ms for p in measured),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None
