"""Playbook + known agents -> probe requests. Pure: what to ask, from where, how fast.

DNS load is budgeted for each VPC resolver, all agents together, because the tool must not deepen the
overload it looks for: at most 20 queries/s and 200 queries in one run (docs: DIAGNOSIS).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.domain.playbook import Playbook, Step, Target
from bot.domain.probe import Agent, Observation, ProbeRequest

BUDGET_QPS = 18.0
BUDGET_QUERIES = 190
"""A little under the published 20 queries/s and 200 queries, for names that probes resolve on their way."""
LIGHT_QPS = 1.8
LIGHT_SKIPS = frozenset({"dns_vpc_tcp", "dns_public"})
DNS_TIMEOUT_MS = 1500
PARTS = (2, 8)
"""A series of DNS tries is sent in parts, so that a first answer is there early; the last part is the rest."""
AGREE = 2
"""An address is used for pinned probes at once when this many agents were told it..."""
SETTLE_S = 0.8
"""... and otherwise after this many seconds, by majority."""
PROBE_SLACK_S = 3.0
"""What a probe may take beyond its tries: a wait for the agent's budget, a second look at a bad certificate."""
MAX_PINS = 2
"""Addresses of one name that pinned probes try."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One thing to ask one agent, before ids and pacing. `queries` counts VPC resolver queries it causes."""

    agent: Agent
    probe: str
    kind: str
    layer: str
    target: str
    params: Mapping[str, Any]
    queries: int = 0
    pin: str = ""
    """The host name whose learned address goes into `params["address"]`; "" when none is needed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to send at once, and what waits for an address."""

    now: tuple[ProbeRequest, ...]
    pinned: tuple[Ask, ...]

    @property
    def total(self) -> int:
        """How many checks a reader sees: parts of one series count once."""
        return len({(r.agent, r.probe) for r in self.now} | {(a.agent.name, a.probe) for a in self.pinned})


def sweep(playbook: Playbook, agents: Sequence[Agent], *, light: bool = False) -> Plan:
    """The first, cheap round: everything the playbook names, from every agent that is there.

    A `light` one is for watching: few tries, under 2 queries/s for each VPC resolver.
    """
    asks = [ask for agent in agents for ask in _asks(playbook, agent)]
    asks += [ask for agent in agents for ask in _learning(playbook, agent, asks)]
    asks = [a for a in asks if not a.agent.kinds or a.kind in a.agent.kinds]
    if light:
        asks = [_lighter(a) for a in asks if a.layer not in LIGHT_SKIPS]
    now = [a for a in asks if not a.pin]
    paced = _paced(now, LIGHT_QPS if light else BUDGET_QPS)
    return Plan(now=tuple(paced), pinned=tuple(a for a in asks if a.pin))


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
            ready.append(_request(replace(ask, params=params), f"pin{n}"))
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
        if step.kind in kinds and step.kind == "dns_top":
            able = [a for a in agents if a.name in where and (not a.kinds or "dns_top" in a.kinds)]
            asks += [
                Ask(agent=a, probe="dns_top", kind="dns_top", layer="dns_top", target=a.vpc, params=dict(step.options))
                for a in able
            ]
    return tuple(_request(ask, "then") for ask in asks)


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


def _asks(playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    for step in playbook.steps:
        yield from _STEPS[step.kind](step, playbook, agent)
    yield from _controls(playbook, agent)
    if agent.cluster:
        for name in playbook.internal[:1]:
            yield from _dns(agent, "dns_internal", f"dns/{name}/host", name, "@host", tries=6, queries=0)


def _dns(
    agent: Agent, layer: str, probe: str, name: str, server: str, *, tries: int, queries: int, proto: str = "udp"
) -> Iterator[Ask]:
    params = {"name": name, "server": server, "tries": tries, "proto": proto, "timeout_ms": DNS_TIMEOUT_MS}
    yield Ask(agent=agent, probe=probe, kind="dns", layer=layer, target=name, params=params, queries=queries)


def _servers(playbook: Playbook, agent: Agent, via: str) -> tuple[str, ...]:
    """The agent's own resolvers of that kind, else the playbook's; none for a VPC resolver outside a VPC."""
    if via == "host" or agent.resolvers.get(via):
        return (f"@{via}",)
    return playbook.resolvers.get(via, ()) if via != "vpc" or agent.vpc else ()


def _same_resolver(agent: Agent) -> bool:
    """Whether the machine's own resolver is the VPC's: then one question serves both."""
    host, vpc = agent.resolvers.get("host"), agent.resolvers.get("vpc")
    return bool(host) and host == vpc


def _dns_step(step: Step, playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    for key in step.options["of"]:
        name = playbook.targets[key].host
        if is_address(name):
            continue
        for via in step.options["via"]:
            if via == "host" and _same_resolver(agent):
                continue
            servers = _servers(playbook, agent, via)
            tries = step.options["tries"] if via != "public" else min(10, step.options["tries"])
            for server in servers:
                share = max(1, tries // len(servers))
                queries = share if via != "public" and agent.vpc else 0
                yield from _dns(agent, f"dns_{via}", f"dns/{key}/{via}", name, server, tries=share, queries=queries)
                if via == "vpc":
                    yield from _dns(
                        agent, "dns_vpc_tcp", f"dns/{key}/vpc/tcp", name, server, tries=2, queries=2, proto="tcp"
                    )


def _http_step(step: Step, playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    called = {s.options["to"] for s in playbook.steps if s.kind in ("api", "object_store")}
    for key in step.options["to"]:
        target = playbook.targets[key]
        url = target.url.rstrip("/") + step.options["path"]
        # A 4xx is an answer: only the service's own word on status makes it a failure.
        params = {"url": url, "method": step.options["method"], "tries": step.options["tries"], "spacing_ms": 150}
        if step.options["expect_status"]:
            params["expect_status"] = step.options["expect_status"]
        if "pinned" in step.options["also"]:
            yield Ask(
                agent=agent,
                probe=f"http/{key}/pinned",
                kind="http",
                layer="http",
                target=target.url,
                params=params,
                pin=target.host,
            )
        if key not in called:
            yield _by_name(agent, f"http/{key}", "http", "by_name", target, params)


def _tcp_step(step: Step, playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    for key in step.options["to"]:
        target = playbook.targets[key]
        for port in step.options["ports"]:
            yield Ask(
                agent=agent,
                probe=f"tcp/{key}/{port}",
                kind="tcp",
                layer="neighbour",
                target=f"{target.host}:{port}",
                params={"port": port, "tries": step.options["tries"], "spacing_ms": 150, "timeout_ms": 2000},
                pin=target.host,
            )


def _ping_step(step: Step, playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    for key in step.options["to"]:
        target = playbook.targets[key]
        params = {"tries": step.options["tries"], "method": step.options["method"], "port": target.port}
        yield Ask(
            agent=agent,
            probe=f"ping/{key}",
            kind="ping",
            layer="ping",
            target=target.host,
            params=params,
            pin=target.host,
        )


def _api_step(step: Step, playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    target = playbook.targets[step.options["to"]]
    common = {
        "vendor": step.options["vendor"] or playbook.vendor,
        "url": target.url,
        **{key: step.options[key] for key in ("service", "action", "version", "region", "payload")},
    }
    for signed in step.options["signed"]:
        if signed:
            # Pinned, so that "denied" and "unreachable by name" are two answers and not one.
            yield Ask(
                agent=agent,
                probe=f"api/{target.key}/signed",
                kind="api",
                layer="api_signed",
                target=target.url,
                params={**common, "signed": True, "tries": 3, "spacing_ms": 200},
                pin=target.host,
            )
        else:
            params = {**common, "signed": False, "tries": step.options["tries"]}
            yield _by_name(agent, f"api/{target.key}", "api", "api", target, params)


def _object_store_step(step: Step, playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    target = playbook.targets[step.options["to"]]
    params = {"vendor": step.options["vendor"], "url": target.url, "tries": step.options["tries"]}
    yield _by_name(agent, f"object_store/{target.key}", "object_store", "store", target, params)


def _by_name(agent: Agent, probe: str, kind: str, layer: str, target: Target, params: Mapping[str, Any]) -> Ask:
    """The way the service itself goes: every try resolves the name first."""
    queries = int(params["tries"]) if agent.vpc else 0
    return Ask(agent=agent, probe=probe, kind=kind, layer=layer, target=target.url, params=params, queries=queries)


def _learning(playbook: Playbook, agent: Agent, asks: Sequence[Ask]) -> Iterator[Ask]:
    """A quick question for every name whose address pinned probes wait for and nobody asks a public resolver."""
    asked = {a.target for a in asks if a.kind == "dns" and a.layer == "dns_public" and a.agent == agent}
    for host in dict.fromkeys(a.pin for a in asks if a.pin and a.agent == agent):
        if host in asked or is_address(host):
            continue
        public = _servers(playbook, agent, "public")[:1]
        server, queries = (public[0], 0) if public else ("@host", 2 if agent.vpc else 0)
        yield from _dns(agent, "learn", f"dns/{host}/learn", host, server, tries=2, queries=queries)


def _controls(playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    for control in playbook.controls:
        params = {"url": control.url, "tries": 2, "spacing_ms": 150}
        yield Ask(
            agent=agent,
            probe=f"http/{control.key}/pinned",
            kind="http",
            layer="control",
            target=control.url,
            params=params,
            pin=control.host,
        )
    for control in [c for c in playbook.controls if not is_address(c.host)][:1]:
        via = "vpc" if _servers(playbook, agent, "vpc") else "host"
        for server in _servers(playbook, agent, via)[:1]:
            yield from _dns(
                agent,
                "control_dns",
                f"dns/{control.key}/{via}",
                control.host,
                server,
                tries=10,
                queries=10 if agent.vpc else 0,
            )


_STEPS = {
    "dns": _dns_step,
    "http": _http_step,
    "tcp": _tcp_step,
    "ping": _ping_step,
    "api": _api_step,
    "object_store": _object_store_step,
    "dns_top": lambda *_: iter(()),
}


def _paced(asks: Sequence[Ask], qps: float) -> Iterator[ProbeRequest]:
    """Spread each VPC's queries evenly under the budget; what asks no VPC resolver goes at a natural pace."""
    by_vpc: dict[str, list[Ask]] = {}
    for ask in asks:
        by_vpc.setdefault(ask.agent.vpc if ask.queries else "", []).append(ask)
    for free in by_vpc.pop("", []):
        yield from _series(free, spacing_ms=100.0, start_ms=0.0)
    for group in by_vpc.values():
        fitted = _fit(group)
        window_ms = 1000.0 * sum(a.queries for a in fitted) / qps
        for n, ask in enumerate(fitted):
            spacing = window_ms / int(ask.params["tries"])
            yield from _series(ask, spacing_ms=spacing, start_ms=spacing * n / len(fitted))


def _fit(group: Sequence[Ask]) -> Sequence[Ask]:
    """Fewer tries each when a VPC has many agents; and if that is not enough, fewer agents."""
    total = sum(a.queries for a in group)
    if total <= BUDGET_QUERIES:
        return group
    scale = BUDGET_QUERIES / total
    scaled = []
    for ask in group:
        tries = max(2, int(int(ask.params["tries"]) * scale))
        scaled.append(replace(ask, params={**ask.params, "tries": tries}, queries=tries))
    kept, used = [], 0
    for ask in sorted(scaled, key=lambda a: (a.layer != "dns_vpc", a.layer != "dns_host")):
        if used + ask.queries <= BUDGET_QUERIES:
            kept.append(ask)
            used += ask.queries
    return kept


def _series(ask: Ask, *, spacing_ms: float, start_ms: float) -> Iterator[ProbeRequest]:
    """One request, or for DNS over UDP several parts of one series."""
    params = dict(ask.params)
    tries = int(params.get("tries", 1))
    params.setdefault("spacing_ms", round(spacing_ms))
    if ask.kind != "dns":
        yield _request(replace(ask, params=params), "")
        return
    sizes = _parts(tries)
    done = 0
    for n, size in enumerate(sizes):
        part = {**params, "tries": size, "start_ms": round(start_ms + done * spacing_ms)}
        yield _request(replace(ask, params=part), f"part{n}" if len(sizes) > 1 else "")
        done += size


def _parts(tries: int) -> Sequence[int]:
    sizes, left = [], tries
    for size in PARTS:
        if left > size:
            sizes.append(size)
            left -= size
    return [*sizes, left]


def _request(ask: Ask, suffix: str) -> ProbeRequest:
    params = ask.params
    tries, spacing = int(params.get("tries", 1)), float(params.get("spacing_ms", 0))
    each = float(params.get("timeout_ms", 4000))
    seconds = (float(params.get("start_ms", 0)) + tries * spacing + each) / 1000 + float(params.get("seconds", 0))
    if ask.kind == "ping":
        seconds += tries
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


def is_address(host: str) -> bool:
    """Whether a host is given as an address, so that there is no name to resolve."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _settled(votes: Counter[str], elapsed_s: float) -> Sequence[str]:
    ranked = sorted(votes, key=lambda a: (-votes[a], a))[:MAX_PINS]
    if ranked and (votes[ranked[0]] >= AGREE or elapsed_s >= SETTLE_S):
        return [a for a in ranked if votes[a] * 2 >= votes[ranked[0]]]
    return ()
