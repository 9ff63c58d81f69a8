"""What CoreDNS says of itself at :9153/metrics: two scrapes a few seconds apart give rates. Pure.

Source: coredns.io, plugins metrics, forward, cache. `forward` moved its request metrics to `coredns_proxy_*` in
1.11, and several counters got their `_total` in 1.7; both spellings are read.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.probe import Json
from bot.probes.cluster.prom_text import Sample, samples

MAX_METRICS = 2 * 1024 * 1024
"""Bytes of a scrape that are read."""
MAX_COUNT = 1e15
MAX_UPSTREAMS = 8
MAX_ZONES = 20

_REQUESTS = ("coredns_dns_requests_total", "coredns_dns_request_count_total")
_RESPONSES = ("coredns_dns_responses_total", "coredns_dns_response_rcode_count_total")
_UPSTREAM = ("coredns_proxy_request_duration_seconds", "coredns_forward_request_duration_seconds")
_UNHEALTHY = (
    "coredns_proxy_healthcheck_failures_total",
    "coredns_forward_healthcheck_failures_total",
    "coredns_forward_healthcheck_failure_count_total",
)
_REJECTS = ("coredns_forward_max_concurrent_rejects_total",)
_HITS, _MISSES = ("coredns_cache_hits_total",), ("coredns_cache_misses_total",)
_CPU, _PANICS = ("process_cpu_seconds_total",), ("coredns_panics_total", "coredns_panic_count_total")
_PARTS = tuple(f"{name}_{part}" for name in _UPSTREAM for part in ("bucket", "sum", "count"))
WANTED = frozenset((*_REQUESTS, *_RESPONSES, *_UNHEALTHY, *_REJECTS, *_HITS, *_MISSES, *_CPU, *_PANICS, *_PARTS))
_Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Scrape:
    """The counters of one moment; `at` is on a monotonic clock, in seconds."""

    at: float
    counters: Mapping[_Key, Sample]


def scrape(text: str, at: float) -> Scrape:
    """Read a scrape. What no counter can be (negative, infinite, beyond reason) is left out."""
    counters = (s for s in samples(text, WANTED) if 0 <= s.value <= MAX_COUNT)
    found = {(s.name, tuple(sorted(s.labels.items()))): s for s in counters}
    return Scrape(at, found)


@dataclass(frozen=True, slots=True)
class Between:
    """What happened between two scrapes."""

    before: Scrape
    after: Scrape

    @property
    def seconds(self) -> float:
        """How long that was."""
        return max(0.001, self.after.at - self.before.at)

    def growths(self, names: Collection[str]) -> Iterator[tuple[Sample, float]]:
        """Each counter of these names, and by how much it grew. A pod that was restarted begins again at 0."""
        for key, now in self.after.counters.items():
            if now.name in names:
                was = self.before.counters.get(key)
                yield now, now.value if was is None or was.value > now.value else now.value - was.value

    def grown(self, names: Collection[str]) -> float | None:
        """By how much these counters grew in all; None where there is none."""
        found = [growth for _, growth in self.growths(names)]
        return sum(found) if found else None

    def by(self, names: Collection[str], *labels: str) -> dict[tuple[str, ...], float]:
        """The growth for each combination of these labels' values."""
        totals: dict[tuple[str, ...], float] = {}
        for sample, growth in self.growths(names):
            key = tuple(sample.labels.get(label, "")[:80] for label in labels)
            totals[key] = totals.get(key, 0.0) + growth
        return totals


def told(seen: Between) -> dict[str, Json]:
    """The rates of one pod: qps, rcodes, servfail_share, upstream mean and p95 in ms, refusals, cache, CPU cores."""
    asked = seen.grown(_REQUESTS)
    responses = {rcode: growth for (rcode,), growth in sorted(seen.by(_RESPONSES, "rcode").items())}
    answered = sum(responses.values())
    hits, misses = seen.grown(_HITS), seen.grown(_MISSES)
    cpu = seen.grown(_CPU)
    out: dict[str, Json] = {
        "qps": rate(asked, seen.seconds),
        "rcodes": {rcode[:20]: round(n) for rcode, n in responses.items() if n >= 1},
        "servfail_share": round(responses.get("SERVFAIL", 0.0) / answered, 4) if answered else None,
        "cache_hit_share": round(hits / (hits + (misses or 0)), 4)
        if hits is not None and hits + (misses or 0)
        else None,
        "cpu_cores": None if cpu is None else round(cpu / seen.seconds, 3),
        "rejects": _whole(seen.grown(_REJECTS)),
        "healthcheck_failures": _whole(seen.grown(_UNHEALTHY)),
        "panics": _whole(seen.grown(_PANICS)),
        "upstreams": upstreams(seen),
    }
    return {key: value for key, value in out.items() if value is not None}


def upstreams(seen: Between) -> list[dict[str, Json]]:
    """Per upstream: queries/s and how long it took, mean and p95 in ms (null where nothing was asked)."""
    counts = seen.by([f"{name}_count" for name in _UPSTREAM], "to")
    sums = seen.by([f"{name}_sum" for name in _UPSTREAM], "to")
    buckets = _buckets(seen)
    return [
        {
            "to": key[0],
            "qps": rate(n, seen.seconds),
            "mean_ms": round(sums.get(key, 0.0) / n * 1000, 2) if n else None,
            "p95_ms": quantile(buckets.get(key[0], []), 0.95),
        }
        for key, n in _most(counts, MAX_UPSTREAMS)
    ]


def _buckets(seen: Between) -> dict[str, list[tuple[float, float]]]:
    """For each upstream (upper bound in s, growth up to it), ascending."""
    found: dict[str, list[tuple[float, float]]] = {}
    for (to, bound), growth in seen.by([f"{name}_bucket" for name in _UPSTREAM], "to", "le").items():
        with contextlib.suppress(ValueError):
            if not math.isnan(float(bound)):
                found.setdefault(to, []).append((float(bound), growth))
    return {to: sorted(rows) for to, rows in found.items()}


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """A quantile in ms by linear interpolation within its bucket, as PromQL's histogram_quantile has it."""
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    low, below = 0.0, 0.0
    for bound, up_to in buckets:
        if up_to >= share * total:
            if bound == float("inf"):
                return round(low * 1000, 2)
            within = (share * total - below) / (up_to - below) if up_to > below else 1.0
            return round((low + (bound - low) * within) * 1000, 2)
        low, below = bound, up_to
    return round(low * 1000, 2)


def zones(pods: Sequence[Between]) -> list[dict[str, Json]]:
    """Queries/s by server block and zone over all pods, busiest first: all CoreDNS counts, for it counts no clients."""
    totals: dict[tuple[str, ...], float] = {}
    for seen in pods:
        for place, growth in seen.by(_REQUESTS, "server", "zone").items():
            totals[place] = totals.get(place, 0.0) + growth / seen.seconds
    return [{"server": s, "zone": z, "qps": round(qps, 1)} for (s, z), qps in _most(totals, MAX_ZONES)]


def _most(totals: Mapping[tuple[str, ...], float], count: int) -> list[tuple[tuple[str, ...], float]]:
    return sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:count]


def rate(grown: float | None, seconds: float) -> float | None:
    """Per second, None of None."""
    return None if grown is None else round(grown / seconds, 1)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
