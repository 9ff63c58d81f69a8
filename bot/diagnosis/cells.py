"""Observations counted into the cells of the matrix: one cell for each agent and layer, or for each service as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


STALL_MS = 190.0
"""TCP repeats what is lost after 200 ms at the earliest (RTO_MIN of Linux), a SYN after 1 s (RFC 6298)."""
STRAY_OF = 8
"""Of so many datagrams one may be lost: at 2 % that happens to one cell of seven."""
TIMEOUTS = frozenset({"dns_timeout", "ping_timeout", "tcp_timeout", "tls_timeout", "http_timeout", "db_timeout"})
PINNED = frozenset({"ping", "neighbour", "http", "api_signed"})
"""Layers of probes that are sent to a known address, which may be one that others were told."""


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
    stalls: int = 0
    """Tries that worked, but only after something that was lost on the way had been sent again."""
    trouble: FaultOf | None = None
    """Set when nothing was measured because of the agent or its policy."""

    @property
    def key(self) -> Key:
        """What tells it from the others of a run."""
        return self.agent, self.layer, self.service

    @property
    def row(self) -> str:
        """Under what its times are kept: the layer, and the service where the cell is about one."""
        return f"{self.layer}|{self.service}" if self.service else self.layer

    @property
    def rate(self) -> float:
        """Share of tries that worked."""
        return self.ok / self.tries if self.tries else 0.0

    @property
    def state(self) -> str:
        """One of up, down, lossy, or missing or denied where nothing was measured."""
        if not self.tries:
            return "denied" if self.trouble is FaultOf.POLICY else "missing"
        if self.rate >= UP_RATE or self._stray:
            return "up"
        return "lossy" if self.ok else "down"

    @property
    def _stray(self) -> bool:
        """One datagram of several to a resolver on the Internet was lost: that happens. Within a VPC it does not."""
        return (
            self.layer == "dns_public"
            and self.tries >= STRAY_OF
            and dict(self.failures) == {"dns_timeout": 1}
            and self.ok == self.tries - 1
        )

    @property
    def red(self) -> bool:
        """Whether something failed here that wants explaining."""
        return self.state in ("down", "lossy")

    @property
    def failure(self) -> str:
        """The most common failure, "" when there was none."""
        return max(self.failures, key=lambda f: (self.failures[f], f)) if self.failures else ""

    @property
    def lost(self) -> int:
        """Tries that lost something on the way: no answer in time, or only after a repetition."""
        return min(self.tries, self.stalls + sum(n for f, n in self.failures.items() if f in TIMEOUTS))

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
    for observation in _own(tuple(observations)):
        for cell in _cells_of(observation):
            found.setdefault(cell.key, []).append(cell)
    return tuple(_merge(parts) for _, parts in sorted(found.items()))


def _own(observations: Sequence[Observation]) -> Iterator[Observation]:
    """Without tries at addresses that the vantage point itself is not told, where it was tried at one that it is.

    Addresses told differently here and there are all tried from everywhere to find out which work (see `pinned`); the
    matrix shows what a vantage point gets when it goes its own way.
    """
    told = told_addresses(observations)
    tried = {(o.agent, o.probe) for o in observations if _address(o) in told.get((o.agent, service_of(o)), ())}
    for seen in observations:
        address = _address(seen)
        foreign = bool(address) and address not in told.get((seen.agent, service_of(seen)), ())
        if not (foreign and (seen.agent, seen.probe) in tried):
            yield seen


def told_addresses(observations: Iterable[Observation]) -> Mapping[tuple[str, str], set[str]]:
    """{(agent, service): addresses} on the service's own way; a public resolver's where that tells none."""
    own: dict[tuple[str, str], set[str]] = {}
    public: dict[tuple[str, str], set[str]] = {}
    for seen in observations:
        if seen.kind == "dns" and seen.layer not in SHARED:
            found = public if seen.layer == "dns_public" else own
            answers = (str(a) for a in seen.detail.get("answers") or ())
            found.setdefault((seen.agent, service_of(seen)), set()).update(answers)
    return {key: own.get(key) or public.get(key) or set() for key in {*own, *public}}


def _address(seen: Observation) -> str:
    """The address a pinned probe was sent to."""
    address = seen.detail.get("address")
    return address if seen.layer in PINNED and isinstance(address, str) else ""


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
    if seen.layer == "db":
        return (whole, *_connecting(whole, seen))
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
        stalls=0 if seen.kind == "dns" else _stalls(detail.get("each"), seen.lag_ms),
    )


def _stalls(each: Any, lag_ms: float) -> int:
    """Tries that took a retransmission longer than the fastest one; a probe whose own clock was late cannot tell."""
    rows = [t for t in each if isinstance(t, Mapping)] if isinstance(each, (list, tuple)) else []
    took = [t["ms"] for t in rows if not t.get("failure") and isinstance(t.get("ms"), (int, float))]
    return sum(1 for ms in took if ms - min(took) >= STALL_MS + lag_ms)


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
            extra = whole if layer == "http" else replace(whole, codes=(), skew_ms=None, stalls=0)
            parts.append(replace(extra, layer=layer, tries=left, ok=left - bad, failures=failures, ms=ms))
        left -= bad
    return parts


def _connecting(whole: Cell, seen: Observation) -> Iterator[Cell]:
    """How connecting to a database went: everything that could go wrong after it was connected is left out."""
    phases = {name: phase_of(Failure(name)) for name in whole.failures}
    unresolved = sum(n for name, n in whole.failures.items() if phases[name] is Phase.DNS)
    failures = {name: n for name, n in whole.failures.items() if phases[name] is Phase.TCP}
    tries = whole.tries - unresolved
    if tries > 0:
        ok = max(0, tries - sum(failures.values()))
        ms = seen.timings_ms.get("tcp")
        yield replace(whole, layer="tcp", tries=tries, ok=ok, failures=failures, ms=ms, codes=(), stalls=0)


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
        stalls=sum(p.stalls for p in measured),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None
