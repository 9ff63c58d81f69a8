"""The `then:` steps of a playbook as questions: asked one kind at a time, when a leading cause is worth it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.diagnosis.asks import Ask, asked_from
from bot.domain.playbook import Playbook, Step
from bot.domain.probe import Agent

MOST = 6
"""Agents asked one kind: the first of each place are enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """Who may be asked: those in the scope of the cause, and those outside it."""

    inside: Sequence[Agent]
    outside: Sequence[Agent]


def later_asks(kind: str, playbook: Playbook, agents: Sequence[Agent], inside: frozenset[str]) -> Sequence[Ask]:
    """Everything the playbook's `then:` lines of this kind ask for the sake of a cause that lies in `inside`."""
    asks: list[Ask] = []
    for step in playbook.then:
        if step.kind != kind:
            continue
        able = [a for a in agents if asked_from(step, a) and (not a.kinds or kind in a.kinds)]
        where = Where(
            inside=[a for a in able if a.name in inside][:MOST],
            outside=[a for a in able if a.name not in inside][:MOST],
        )
        asks += _STEPS[kind](step, playbook, where)
    return asks


def _ask(agent: Agent, kind: str, target: str, params: Mapping[str, object], *, pin: str = "", probe: str = "") -> Ask:
    return Ask(agent=agent, probe=probe or kind, kind=kind, layer=kind, target=target, params=dict(params), pin=pin)


def _dns_top(step: Step, _: Playbook, where: Where) -> Iterator[Ask]:
    """Everybody who may look: each sees the clients of another resolver or interface."""
    params = {"seconds": step.options["seconds"], "source": step.options["source"]}
    for agent in where.inside:
        yield _ask(agent, "dns_top", agent.vpc, params)


def _path(step: Step, playbook: Playbook, where: Where) -> Iterator[Ask]:
    """Mtu and trace: from inside, and from one agent outside to compare with."""
    options = {key: value for key, value in step.options.items() if key == "proto"}
    for key in step.options["to"]:
        target = playbook.targets[key]
        for agent in (*where.inside, *where.outside[:1]):
            params = {"port": target.port, **options}
            yield _ask(agent, step.kind, target.host, params, pin=target.host, probe=f"{step.kind}/{key}")


def _coredns(step: Step, _: Playbook, where: Where) -> Iterator[Ask]:
    """One agent of each cluster is enough."""
    options = {"seconds": step.options["seconds"]}
    options |= {key: step.options[key] for key in ("pods", "login") if step.options[key]}
    clusters: set[str] = set()
    for agent in where.inside:
        if agent.cluster and agent.cluster not in clusters:
            clusters.add(agent.cluster)
            yield _ask(agent, "coredns", agent.cluster, options)


def _changes(step: Step, playbook: Playbook, where: Where) -> Iterator[Ask]:
    """Two agents: one that sees the cluster's roll-outs, and one elsewhere, should the first be cut off."""
    params = {"hours": round(step.options["within"] / 3600), "sources": step.options["sources"]}
    if step.options["login"]:
        params["login"] = step.options["login"]
    pods_first = sorted(where.inside, key=lambda a: not a.cluster)
    for agent in (*pods_first[:1], *where.outside[:1]):
        yield _ask(agent, "changes", playbook.name, params)


def _status_page(step: Step, _: Playbook, where: Where) -> Iterator[Ask]:
    """From outside the scope first: inside may be cut off from it."""
    params = {"url": step.options["url"]}
    if step.options["match"]:
        params["match"] = step.options["match"]
    for agent in [*where.outside, *where.inside][:2]:
        yield _ask(agent, "status_page", step.options["url"], params)


_STEPS: Mapping[str, Callable[[Step, Playbook, Where], Iterator[Ask]]] = {
    "dns_top": _dns_top,
    "mtu": _path,
    "trace": _path,
    "coredns": _coredns,
    "changes": _changes,
    "status_page": _status_page,
}
