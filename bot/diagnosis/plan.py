"""Playbook + known agents -> probe requests. Pure: what to ask now, what when addresses are known, what next."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bot.diagnosis.asks import Ask, asks_of, is_address
from bot.diagnosis.cells import service_of, told_addresses
from bot.diagnosis.later import later_asks
from bot.diagnosis.pacing import BUDGET_QPS, paced, request
from bot.domain.playbook import SERVICE_KINDS, Playbook
from bot.domain.probe import Agent, Observation, ProbeRequest

LIGHT_QPS = 1.8
LIGHT_SKIPS = frozenset({"dns_vpc_tcp", "dns_public"})
AGREE = 2
"""An address is used for pinned probes at once when this many agents were told it..."""
SETTLE_S = 0.8
"""... and otherwise after this many seconds, by majority."""
MAX_PINS = 2
"""Addresses of one name that pinned probes try, beside the one an agent is told itself."""
CROSSES = 3
"""Agents that try an address which fails where it is told."""
LISTEN_S = 2.5
"""Until then a second address may be told somewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to send at once, and what waits for an address."""

    now: tuple[ProbeRequest, ...]
    pinned: tuple[Ask, ...]


def sweep(playbook: Playbook, agents: Sequence[Agent], *, light: bool = False, share: float = 1.0) -> Plan:
    """The first, cheap round: everything the playbook names, from every agent that is there.

    A `light` one is for watching: few tries, under 2 queries/s for each VPC resolver. `share` is the part of the DNS
    budget that is this run's, where several go together.
    """
    asks = asks_of(playbook, agents)
    if light:
        asks = [_lighter(a) for a in asks if a.layer not in LIGHT_SKIPS]
    now = [a for a in asks if not a.pin]
    requests = paced(now, LIGHT_QPS if light else BUDGET_QPS, share=share)
    return Plan(now=tuple(requests), pinned=tuple(a for a in asks if a.pin))


def _lighter(ask: Ask) -> Ask:
    tries = min(int(ask.params["tries"]), 2 if ask.kind == "dns" and ask.layer != "control_dns" else 1)
    return replace(ask, params={**ask.params, "tries": tries}, queries=min(ask.queries, tries))


def pin(
    waiting: Sequence[Ask], observations: Sequence[Observation], *, elapsed_s: float
) -> tuple[tuple[ProbeRequest, ...], tuple[Ask, ...]]:
    """Requests whose address has been learned by now, and what still waits.

    A question whose first address is on its way waits on for a little, because elsewhere another one may be told. What
    an agent itself is told is tried from there in any case: it is the way its services go.
    """
    told, own = learned(observations), told_addresses(observations)
    ready: list[ProbeRequest] = []
    left: list[Ask] = []
    for ask in waiting:
        known = (ask.pin,) if is_address(ask.pin) else _settled(told.get(ask.pin, {}), elapsed_s)
        mine = own.get((ask.agent.name, ask.pin), set())
        if known and mine and not mine & {*known, *ask.pinned}:
            known = [*known, min(mine)]
        addresses = [a for a in known if a not in ask.pinned]
        for n, address in enumerate(addresses, start=len(ask.pinned)):
            params = {**ask.params, "address": address}
            ready.append(request(replace(ask, params=params), f"pin{n}"))
        pinned = (*ask.pinned, *addresses)
        if not pinned or (len(pinned) < MAX_PINS and elapsed_s < LISTEN_S and not is_address(ask.pin)):
            left.append(replace(ask, pinned=pinned))
    return tuple(ready), tuple(left)


def cross_check(
    asks: Sequence[Ask], observations: Sequence[Observation], done: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Sequence[ProbeRequest]]:
    """{(name, address): requests} for addresses that fail where they are told, and that nobody else has tried.

    Is it the address, or the way to it? `done` are those that were asked before. One agent of each VPC is enough.
    """
    told = learned(observations)
    tried: dict[tuple[str, str], set[str]] = {}
    failed: dict[tuple[str, str], str] = {}
    for seen in observations:
        address = str(seen.detail.get("address") or "")
        if seen.layer == "http" and address:
            key = (service_of(seen), address)
            tried.setdefault(key, set()).add(seen.agent)
            if not seen.ok and seen.agent in told.get(key[0], {}).get(address, ()):
                failed[key] = seen.agent
    found: dict[tuple[str, str], Sequence[ProbeRequest]] = {}
    for key in failed.keys() - {*done}:
        name, address = key
        own = told[name][address]
        if not tried[key] - own:
            mine = [a for a in asks if a.pin == name and a.layer == "http" and a.agent.name not in own]
            others = {(a.agent.region, a.agent.vpc): a for a in reversed(mine)}
            found[key] = [
                request(replace(a, params={**a.params, "address": address}), f"cross/{address}")
                for a in list(others.values())[:CROSSES]
            ]
    return found


def learned(observations: Sequence[Observation]) -> dict[str, dict[str, set[str]]]:
    """{name: {address: agents that were told it}} from every DNS answer so far.

    What an agent is told on the service's own way counts; a public resolver's answer where it has no other.
    """
    answered = [o for o in observations if o.kind == "dns" and o.detail.get("answers")]
    own = {(o.agent, o.target) for o in answered if o.layer != "dns_public"}
    told: dict[str, dict[str, set[str]]] = {}
    for seen in answered:
        if seen.layer != "dns_public" or (seen.agent, seen.target) not in own:
            for address in seen.detail["answers"]:
                told.setdefault(seen.target, {}).setdefault(str(address), set()).add(seen.agent)
    return told


def follow_up(
    kind: str, playbook: Playbook, agents: Sequence[Agent], where: frozenset[str], observations: Sequence[Observation]
) -> tuple[ProbeRequest, ...]:
    """The `then:` steps of this kind, for a cause that lies where these agents are. Known addresses only."""
    asks = later_asks(kind, playbook, agents, where)
    pinned, _ = pin([a for a in asks if a.pin], observations, elapsed_s=math.inf)
    return (*(request(a, "then") for a in asks if not a.pin), *pinned)


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


def unaskable(playbook: Playbook, agents: Sequence[Agent]) -> tuple[str, ...]:
    """Kinds by which the playbook asks the service itself, and which no vantage point that is there may ask.

    What nobody could ask is no evidence of health, whatever else is green.
    """
    ready = [a for a in agents if a.state == "ready"]
    wanted = dict.fromkeys(step.kind for step in playbook.steps if step.kind in SERVICE_KINDS)
    return tuple(kind for kind in wanted if ready and not any(not a.kinds or kind in a.kinds for a in ready))


def _settled(told: Mapping[str, set[str]], elapsed_s: float) -> Sequence[str]:
    """The address most agents were told, and one that others were told who were not told the first.

    A name with several addresses for everybody is tried at one; a name that is answered differently here and there is
    tried at both from everywhere.
    """
    ranked = sorted(told, key=lambda a: (-len(told[a]), a))
    if not ranked or (len(told[ranked[0]]) < AGREE and elapsed_s < SETTLE_S):
        return ()
    first = ranked[0]
    second = next((a for a in ranked[1:] if not told[a] & told[first]), None)
    return [first] if second is None or elapsed_s < SETTLE_S else [first, second]
