"""Playbook + known agents -> probe requests. Pure: what to ask now, what when addresses are known, what next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.diagnosis.asks import Ask, asked_from, asks_of, is_address
from bot.diagnosis.pacing import BUDGET_QPS, paced, request
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent, Observation, ProbeRequest

LIGHT_QPS = 1.8
LIGHT_SKIPS = frozenset({"dns_vpc_tcp", "dns_public"})
AGREE = 2
"""An address is used for pinned probes at once when this many agents were told it..."""
SETTLE_S = 0.8
"""... and otherwise after this many seconds, by majority."""
MAX_PINS = 2
"""Addresses of one name that pinned probes try."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to send at once, and what waits for an address."""

    now: tuple[ProbeRequest, ...]
    pinned: tuple[Ask, ...]


def sweep(playbook: Playbook, agents: Sequence[Agent], *, light: bool = False) -> Plan:
    """The first, cheap round: everything the playbook names, from every agent that is there.

    A `light` one is for watching: few tries, under 2 queries/s for each VPC resolver.
    """
    asks = asks_of(playbook, agents)
    if light:
        asks = [_lighter(a) for a in asks if a.layer not in LIGHT_SKIPS]
    now = [a for a in asks if not a.pin]
    requests = paced(now, LIGHT_QPS if light else BUDGET_QPS)
    return Plan(now=tuple(requests), pinned=tuple(a for a in asks if a.pin))


def _lighter(ask: Ask) -> Ask:
    tries = min(int(ask.params["tries"]), 2 if ask.kind == "dns" and ask.layer != "control_dns" else 1)
    return replace(ask, params={**ask.params, "tries": tries}, queries=min(ask.queries, tries))


def pin(
    waiting: Sequence[Ask], observations: Sequence[Observation], *, elapsed_s: float
) -> tuple[tuple[ProbeRequest, ...], tuple[Ask, ...]]:
    """Requests whose address has been learned by now, and what still waits."""
    votes = learned(observations)
    ready: list[ProbeRequest] = []
    left: list[Ask] = []
    for ask in waiting:
        addresses = (ask.pin,) if is_address(ask.pin) else _settled(votes.get(ask.pin, Counter()), elapsed_s)
        if not addresses:
            left.append(ask)
        for n, address in enumerate(addresses):
            params = {**ask.params, "address": address}
            ready.append(request(replace(ask, params=params), f"pin{n}"))
    return tuple(ready), tuple(left)


def learned(observations: Sequence[Observation]) -> dict[str, Counter[str]]:
    """{name: {address: agents that were told it}} from every DNS answer so far."""
    told: dict[str, set[tuple[str, str]]] = {}
    for seen in observations:
        if seen.kind == "dns":
            told.setdefault(seen.target, set()).update((str(a), seen.agent) for a in seen.detail.get("answers") or ())
    return {name: Counter(address for address, _ in pairs) for name, pairs in told.items()}


def follow_up(
    kinds: Sequence[str], playbook: Playbook, agents: Sequence[Agent], where: frozenset[str]
) -> tuple[ProbeRequest, ...]:
    """The `then:` steps of these kinds, asked of the agents the hypothesis is about."""
    asks: list[Ask] = []
    for step in playbook.then:
        if step.kind != "dns_top" or step.kind not in kinds:
            continue
        params = {key: value for key, value in step.options.items() if key != "from_"}
        able = [a for a in agents if a.name in where and asked_from(step, a) and (not a.kinds or step.kind in a.kinds)]
        asks += [
            Ask(agent=a, probe=step.kind, kind=step.kind, layer="dns_top", target=a.vpc, params=params) for a in able
        ]
    return tuple(request(ask, "then") for ask in asks)


def absent(playbook: Playbook, agents: Sequence[Agent]) -> tuple[str, ...]:
    """Vantage points that should answer and cannot: lost agents, and those the playbook expects but nobody runs."""
    ready = [a for a in agents if a.state == "ready"]
    names = [a.name for a in agents if a.state != "ready"]
    names += [
        f"{want.region or '*'}/{want.vantage or '*'}"
        for want in playbook.expect
        if not any(want.vantage in ("", a.vantage) and want.region in ("", a.region) for a in ready)
    ]
    return tuple(dict.fromkeys(names))


def _settled(votes: Counter[str], elapsed_s: float) -> Sequence[str]:
    ranked = sorted(votes, key=lambda a: (-votes[a], a))[:MAX_PINS]
    if ranked and (votes[ranked[0]] >= AGREE or elapsed_s >= SETTLE_S):
        return [a for a in ranked if votes[a] * 2 >= votes[ranked[0]]]
    return ()
