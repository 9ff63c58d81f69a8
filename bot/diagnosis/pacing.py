"""How fast and how often: requests under the DNS budget of each VPC.

The tool must not deepen the overload it looks for: one run sends a VPC's resolver at most 20 queries/s and
200 queries, all agents together (docs: DIAGNOSIS).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bot.diagnosis.asks import Ask
from bot.domain.playbook import DATABASES
from bot.domain.probe import ProbeRequest

BUDGET_QPS = 18.0
BUDGET_QUERIES = 190
"""A little under the published 20 queries/s and 200 queries, for names that probes resolve on their way."""
PARTS = (2, 8)
"""A series of DNS tries is sent in parts, so that a first answer is there early; the last part is the rest."""
PROBE_SLACK_S = 3.0
"""What a probe may take beyond its tries: a wait for the agent's budget, a second look at a bad certificate."""


def paced(asks: Sequence[Ask], qps: float, *, share: float = 1.0) -> Iterator[ProbeRequest]:
    """Spread each VPC's queries evenly under the budget; what asks no VPC resolver goes at a natural pace.

    Runs that go together have a `share` of one budget each.
    """
    by_vpc: dict[str, list[Ask]] = {}
    for ask in asks:
        by_vpc.setdefault(ask.agent.vpc if ask.queries else "", []).append(ask)
    for free in by_vpc.pop("", []):
        yield from _series(free, spacing_ms=free.spacing_ms, start_ms=0.0)
    for group in by_vpc.values():
        fitted = _fit(group, BUDGET_QUERIES * share)
        window_ms = 1000.0 * sum(a.queries for a in fitted) / (qps * share)
        for n, ask in enumerate(fitted):
            spacing = max(ask.least_spacing_ms, window_ms / int(ask.params["tries"]))
            yield from _series(ask, spacing_ms=spacing, start_ms=spacing * n / len(fitted))


def _fit(group: Sequence[Ask], queries: float) -> Sequence[Ask]:
    """Fewer tries each when a VPC has many agents; and if that is not enough, fewer agents."""
    total = sum(a.queries for a in group)
    if total <= queries:
        return group
    scale = queries / total
    scaled = []
    for ask in group:
        tries = max(2, int(int(ask.params["tries"]) * scale))
        scaled.append(replace(ask, params={**ask.params, "tries": tries}, queries=tries))
    kept, used = [], 0
    for ask in sorted(scaled, key=lambda a: (a.layer != "dns_vpc", a.layer != "dns_host")):
        if used + ask.queries <= queries:
            kept.append(ask)
            used += ask.queries
    return kept


def _series(ask: Ask, *, spacing_ms: float, start_ms: float) -> Iterator[ProbeRequest]:
    """One request, or for DNS over UDP several parts of one series."""
    params = dict(ask.params)
    tries = int(params.get("tries", 1))
    params.setdefault("spacing_ms", round(spacing_ms))
    if ask.kind != "dns":
        yield request(replace(ask, params=params), "")
        return
    # Each part makes up a name of its own, and providers punish random names: then there is one part.
    sizes = [tries] if params.get("nonce") else _parts(tries)
    done = 0
    for n, size in enumerate(sizes):
        part = {**params, "tries": size, "start_ms": round(start_ms + done * spacing_ms)}
        yield request(replace(ask, params=part), f"part{n}" if len(sizes) > 1 else "")
        done += size


def _parts(tries: int) -> Sequence[int]:
    sizes, left = [], tries
    for size in PARTS:
        if left > size:
            sizes.append(size)
            left -= size
    return [*sizes, left]


def request(ask: Ask, suffix: str) -> ProbeRequest:
    """The request as it is sent, with a time limit that fits its tries."""
    params = ask.params
    tries, spacing = int(params.get("tries", 1)), float(params.get("spacing_ms", 0))
    each = float(params.get("timeout_ms", 4000))
    seconds = (float(params.get("start_ms", 0)) + tries * spacing + each) / 1000 + float(params.get("seconds", 0))
    if ask.kind == "ping":
        seconds += tries
    if ask.kind in DATABASES:  # one try after the other
        seconds += (tries - 1) * each / 1000
    return ProbeRequest(
        id="/".join(filter(None, (ask.agent.name, ask.probe, str(params.get("server", "")), suffix))),
        probe=ask.probe,
        kind=ask.kind,
        layer=ask.layer,
        target=ask.target,
        agent=ask.agent.name,
        params=dict(params),
        timeout_s=round(seconds + PROBE_SLACK_S, 2),
    )
