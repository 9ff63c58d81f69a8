"""What each step of a playbook asks of one agent, before ids and pacing."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.domain.playbook import DATABASES, Playbook, Step, Target
from bot.domain.probe import Agent

DNS_TIMEOUT_MS = 1500
COREDNS_TRIES = 6
INTERNAL_TRIES = 10
"""Of a name the cluster DNS serves by itself: whether it fails as well tells the cluster DNS from its upstream."""
LEAST_TRIES = 8
"""Of one name, where several share a resolver's attention."""


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
    pinned: tuple[str, ...] = ()
    """Addresses it has been sent to already."""
    spacing_ms: float = 100.0
    """Between tries, where no DNS budget sets the pace and the parameters do not."""
    least_spacing_ms: float = 0.0
    """Not faster than this, also where the budget would allow it."""


def asks_of(playbook: Playbook, agents: Sequence[Agent]) -> Sequence[Ask]:
    """Everything the playbook asks of these agents, as far as their policies allow."""
    asks = [ask for agent in agents for ask in _asks(playbook, agent)]
    asks += [ask for agent in agents for ask in _learning(playbook, agent, asks)]
    return [a for a in asks if not a.agent.kinds or a.kind in a.agent.kinds]


def asked_from(step: Step, agent: Agent) -> bool:
    """Whether a step's `from:` names this agent, or where it stands; without one everybody is asked."""
    places = step.options.get("from_") or ()
    return not places or any(p in places for p in (agent.name, agent.region, agent.vantage, agent.env, agent.vpc))


def is_address(host: str) -> bool:
    """Whether a host is given as an address, so that there is no name to resolve."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _asks(playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    for step in playbook.steps:
        if asked_from(step, agent):
            yield from _STEPS[step.kind](step, playbook, agent)
    yield from _controls(playbook, agent)
    if agent.cluster:
        for name in playbook.internal[:1]:
            yield _dns(agent, "dns_internal", f"dns/{name}/host", name, "@host", tries=INTERNAL_TRIES, queries=0)


def _dns(
    agent: Agent,
    layer: str,
    probe: str,
    name: str,
    server: str,
    *,
    tries: int,
    queries: int,
    proto: str = "udp",
    within_s: float = math.inf,
) -> Ask:
    params = {"name": name, "server": server, "tries": tries, "proto": proto, "timeout_ms": DNS_TIMEOUT_MS}
    return Ask(
        agent=agent,
        probe=probe,
        kind="dns",
        layer=layer,
        target=name,
        params=params,
        queries=queries,
        spacing_ms=min(100.0, 1000 * within_s / tries),
    )


def _servers(playbook: Playbook, agent: Agent, via: str) -> tuple[str, ...]:
    """The agent's own resolvers of that kind, else the playbook's; none for a VPC resolver outside a VPC."""
    if via == "host" or agent.resolvers.get(via):
        return (f"@{via}",)
    return playbook.resolvers.get(via, ()) if via != "vpc" or agent.vpc else ()


def _same_resolver(agent: Agent) -> bool:
    """Whether the machine's own resolver is the VPC's: then one question serves both."""
    host, vpc = agent.resolvers.get("host"), agent.resolvers.get("vpc")
    return bool(host) and host == vpc


def _tries(step: Step, playbook: Playbook) -> int:
    """A limit shows as a share of all that a resolver is asked, whatever the names: of several each is asked less."""
    names = {key for other in playbook.steps if other.kind == "dns" for key in other.options["of"]}
    names = {key for key in names if not is_address(playbook.targets[key].host)}
    wanted = int(step.options["tries"])
    return max(min(wanted, LEAST_TRIES), math.ceil(wanted / max(1, len(names))))


def _dns_step(step: Step, playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    wanted = _tries(step, playbook)
    for key in step.options["of"]:
        name = playbook.targets[key].host
        if is_address(name):
            continue
        for via in step.options["via"]:
            if via == "host" and _same_resolver(agent):
                continue
            servers = _servers(playbook, agent, via)
            tries = wanted if via != "public" else min(10, wanted)
            for server in servers:
                share = max(1, tries // len(servers))
                queries = share if via != "public" and agent.vpc else 0
                yield _dns(
                    agent,
                    f"dns_{via}",
                    f"dns/{key}/{via}",
                    name,
                    server,
                    tries=share,
                    queries=queries,
                    within_s=step.options["within"],
                )
                if via == "host" and agent.resolvers.get("coredns"):
                    yield _dns(
                        agent,
                        "dns_coredns",
                        f"dns/{key}/coredns",
                        name,
                        "@coredns",
                        tries=COREDNS_TRIES,
                        queries=COREDNS_TRIES,
                    )
                if via == "vpc":
                    yield _dns(
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
        if key in playbook.own:
            yield _by_name(agent, f"http/{key}", "http", "service", target, params)
            continue
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


def _db_step(step: Step, playbook: Playbook, agent: Agent) -> Iterator[Ask]:
    """By name, the way the service goes; the database's own address needs no name."""
    for key in step.options["to"]:
        target = playbook.targets[key]
        given = {"login": step.options["login"], "database": target.database}
        params = {
            "address" if is_address(target.host) else "host": target.host,
            "port": target.port,
            "tls": step.options["tls"],
            "tries": step.options["tries"],
            "timeout_ms": 3000,
            **{name: value for name, value in given.items() if value},
        }
        ask = _by_name(agent, f"{step.kind}/{key}", step.kind, "db", target, params)
        yield ask if "host" in params else replace(ask, queries=0)


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
        yield _dns(agent, "learn", f"dns/{host}/learn", host, server, tries=2, queries=queries)


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
            yield _dns(
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
    **dict.fromkeys(DATABASES, _db_step),
}
