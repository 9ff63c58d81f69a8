"""Environments as a dimension: when dev, test and prod fail together, the cause is something they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.diagnosis.facts import Picture
from bot.domain.probe import Agent

SIGNED = "api_signed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Together:
    """Environments that are red together, those that are green, and what the red vantage points have in common.

    `shared` holds (what, name): what is one of cluster, vpc, region, resolver, key; empty when they share none of it.
    """

    red: tuple[str, ...]
    green: tuple[str, ...]
    shared: tuple[tuple[str, str], ...]


def environments(seen: Picture) -> Together | None:
    """None while fewer than two environments are red."""
    red = {c.agent for c in seen.cells if c.red}
    ill = [a for a in seen.agents if a.name in red and a.env]
    envs = tuple(sorted({a.env for a in ill}))
    if len(envs) < 2:
        return None
    measured = {c.agent for c in seen.cells if c.tries}
    green = {a.env for a in seen.agents if a.name in measured and a.env} - set(envs)
    layers = {c.layer for c in seen.cells if c.red}
    shared = [*_places(ill), *(("resolver", address) for address in _resolvers(ill))]
    if layers == {SIGNED}:
        shared.append(("key", ""))
    return Together(red=envs, green=tuple(sorted(green)), shared=tuple(shared))


_PLACES: Mapping[str, Callable[[Agent], str]] = {
    "cluster": lambda a: a.cluster,
    "vpc": lambda a: a.vpc,
    "region": lambda a: a.region,
}


def _places(agents: Sequence[Agent]) -> Sequence[tuple[str, str]]:
    """The narrowest place that holds all of them; a cluster is told with its VPC."""
    found: list[tuple[str, str]] = []
    for what, of in _PLACES.items():
        names = {of(a) for a in agents}
        if len(names) == 1 and "" not in names and not (what == "region" and found):
            found.append((what, names.pop()))
    return found


def _resolvers(agents: Sequence[Agent]) -> Sequence[str]:
    """Addresses that every one of them resolves through. A public resolver is shared by everybody and tells nothing."""
    each = [{r for kind, servers in a.resolvers.items() if kind != "public" for r in servers} for a in agents]
    return sorted(set.intersection(*each))
