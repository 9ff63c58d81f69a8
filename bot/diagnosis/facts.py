"""Facts about one scope (a VPC, a cluster, a region, ...): what is seen inside it against what is seen outside.

Rules read facts through CEL. A layer that nobody measured is *absent*, so reading it is an error, which CEL
carries through `&&` and `||` as "unknown": not measured is never the same as no.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from statistics import median
from typing import Any, Literal

from bot.diagnosis.baseline import Baseline, Onset
from bot.diagnosis.baseline import Key as Normal
from bot.diagnosis.cells import SHARED, Cell, Key, together
from bot.diagnosis.extras import EXTRA_FIELDS, extras
from bot.diagnosis.history import TIMING_FIELDS, changed, compared
from bot.diagnosis.pinned import ADDRESS_FIELDS, ADDRESS_GROUPS, Pinned, compare
from bot.domain.change import Change
from bot.domain.failure_words import failure_words
from bot.domain.playbook import SERVICE_KINDS
from bot.domain.probe import UP_RATE, Agent, Observation, wilson
from bot.domain.text import Text, same

ScopeKind = Literal["everywhere", "region", "vpc", "cluster", "agent"]
SCOPE_KINDS: tuple[ScopeKind, ...] = ("everywhere", "region", "vpc", "cluster", "agent")
GROUPS = ("all", "inside", "outside", "near", "far", "pods", "vms")
"""Groups of vantage points in a scope's facts: near = outside but in the same region, far = other regions,
pods and vms = inside, by vantage."""

SLOW_LAYERS = ("tls", "http", "by_name", "api", "api_signed", "store", "db")
"""Layers whose time is the service's own."""
Facts = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Where a fault may lie, and of which service it is; "" for all that were asked."""

    kind: ScopeKind
    name: str
    region: str
    agents: frozenset[str]
    service: str = ""

    @property
    def place(self) -> Text:
        """What the place is called in a sentence: a bare name such as "no" or "test" would be read as a word."""
        if self.kind == "everywhere":
            return Text("所有观测点", "all vantage points")
        if self.kind == "vpc":
            return same(self.name if self.name.lower().startswith("vpc") else f"VPC {self.name}")
        if self.kind == "region":
            return Text(f"{self.name} 地域", f"region {self.name}")
        what = {"cluster": Text("集群", "cluster"), "agent": Text("观测点", "vantage point")}[self.kind]
        return what + same(f" {self.name}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """All that was seen, counted once: the input of every rule.

    `parts` are the cells of each service by itself, `cells` the same of all services together.
    """

    agents: tuple[Agent, ...]
    parts: tuple[Cell, ...]
    cells: tuple[Cell, ...] = field(init=False)
    extras: tuple[Observation, ...] = ()
    """What follow-up probes saw."""
    pinned: tuple[Pinned, ...] = ()
    missing: tuple[str, ...] = ()
    baselines: Mapping[Normal, Baseline] = field(default_factory=dict)
    onset: Onset | None = None
    """When most of what is red went red; None where nobody knows, or nothing is."""
    changes: tuple[Change, ...] | None = None
    """Changes near the onset, newest first; None where nobody posts any, or the onset is unknown."""

    def __post_init__(self) -> None:
        """Count the services together."""
        object.__setattr__(self, "cells", together(self.parts))

    @property
    def services(self) -> tuple[str, ...]:
        """The services that were asked, by host."""
        return tuple(sorted({c.service for c in self.parts if c.service and c.tries}))

    def of(self, service: str) -> Picture:
        """As if no other service had been asked."""
        parts = tuple(c for c in self.parts if c.service in ("", service))
        pinned = tuple(p for p in self.pinned if p.service == service)
        own = {
            (a, row.removesuffix(f"|{service}")): b
            for (a, row), b in self.baselines.items()
            if row.endswith(f"|{service}")
        }
        shared = {key: b for key, b in self.baselines.items() if key[1] in SHARED}
        return replace(self, parts=parts, pinned=pinned, baselines=shared | own)

    def without(self, keys: Collection[Key]) -> Picture:
        """As if these had not been measured."""
        return replace(self, parts=tuple(c for c in self.parts if c.key not in keys))


def scopes(kind: ScopeKind, agents: Sequence[Agent]) -> Sequence[Scope]:
    """Every scope of a kind that these agents can tell apart."""
    if kind == "everywhere":
        return (Scope(kind=kind, name="", region="", agents=frozenset(a.name for a in agents)),)
    key: Callable[[Agent], str] = {
        "region": lambda a: a.region,
        "vpc": lambda a: a.vpc,
        "cluster": lambda a: a.cluster,
        "agent": lambda a: a.name,
    }[kind]
    members: dict[str, list[Agent]] = {}
    for agent in agents:
        if key(agent):
            members.setdefault(key(agent), []).append(agent)
    return tuple(
        Scope(kind=kind, name=name, region=group[0].region, agents=frozenset(a.name for a in group))
        for name, group in sorted(members.items())
    )


def facts(picture: Picture, scope: Scope) -> Facts:
    """The nested mapping that rules see. Shape: {group: {layer: {...}, "agents": n}, "scope": ..., "missing": n}."""
    picture = picture.of(scope.service) if scope.service else picture
    inside = scope.agents
    member: dict[str, Callable[[Cell | Agent, str], bool]] = {
        "all": lambda _c, _n: True,
        "inside": lambda _c, n: n in inside,
        "outside": lambda _c, n: n not in inside,
        "near": lambda c, n: n not in inside and c.region == scope.region,
        "far": lambda c, n: n not in inside and c.region != scope.region,
        "pods": lambda c, n: n in inside and c.vantage == "pod",
        "vms": lambda c, n: n in inside and c.vantage != "pod",
    }
    out: dict[str, Any] = {}
    for group, holds in member.items():
        mine = [c for c in picture.cells if holds(c, c.agent)]
        out[group] = _group(mine, picture.baselines)
        out[group]["agents"] = sum(1 for a in picture.agents if holds(a, a.name))
    out["all"]["unasked"] = sum(1 for one in picture.missing if one in SERVICE_KINDS)
    out["all"]["slow_services"] = _slow_services(picture)
    out["inside"] |= extras(picture.extras, inside)
    out["all"] |= extras(picture.extras, frozenset(a.name for a in picture.agents))
    out["scope"] = {
        "kind": scope.kind,
        "name": scope.name,
        "region": scope.region,
        "agents": len(inside),
        "service": scope.service,
        "place_zh": scope.place.zh,
        "place_en": scope.place.en,
    }
    _compare_answers(out, picture, inside)
    out["missing"] = len(picture.missing)
    near, onset = picture.changes, picture.onset
    out["changes"] = changed(near, onset) if near is not None and onset is not None else {}
    return out


def _slow_services(picture: Picture) -> list[str]:
    """Of several services those that are slow from everywhere, at any layer past the connection."""
    several = picture.services if len(picture.services) > 1 else ()
    found = []
    for service in several:
        own = picture.of(service)
        rows = {layer: [c for c in own.cells if c.layer == layer and c.tries] for layer in SLOW_LAYERS}
        if any(compared(cells, own.baselines).get("slow") for cells in rows.values() if cells):
            found.append(service)
    return found


def _group(mine: Sequence[Cell], baselines: Mapping[Normal, Baseline]) -> dict[str, Any]:
    by_layer: dict[str, list[Cell]] = {}
    for cell in mine:
        if cell.tries:
            by_layer.setdefault(cell.layer, []).append(cell)
    group: dict[str, Any] = {layer: _aggregate(cells) | compared(cells, baselines) for layer, cells in by_layer.items()}
    group["red"] = sum(1 for c in mine if c.red)
    group["green"] = sum(1 for c in mine if c.state == "up")
    group["vpcs"] = len({(c.region, c.vpc) for c in mine if c.tries})
    group["regions"] = len({c.region for c in mine if c.tries})
    group["red_layers"] = sorted({c.layer for c in mine if c.red})
    return group


def _aggregate(cells: Sequence[Cell]) -> dict[str, Any]:
    """One layer over a group: pooled counts, and what holds for each (`up`, `down`, `bad`) or some (`some_*`)."""
    tries, ok = sum(c.tries for c in cells), sum(c.ok for c in cells)
    low, high = wilson(ok, tries)
    failures: Counter[str] = Counter()
    for cell in cells:
        failures.update(cell.failures)
    states = [c.state for c in cells]
    rate = ok / tries
    evenly_bad = all(s != "up" for s in states) or (high < UP_RATE and _alike(cells, rate))
    lost = wilson(sum(c.lost for c in cells), tries)
    aggregate: dict[str, Any] = {
        "n": len(cells),
        "tries": tries,
        "ok": ok,
        "rate": rate,
        "low": low,
        "high": high,
        "up": all(s == "up" for s in states),
        "down": all(s == "down" for s in states),
        "bad": all(s != "up" for s in states),
        "evenly_bad": evenly_bad,
        "spared": "up" in states and not evenly_bad,
        "some_up": "up" in states,
        "some_bad": any(s != "up" for s in states),
        "partial": 0 < rate < UP_RATE,
        "lost_low": lost[0],
        "lost_high": lost[1],
        "all_lose": all(c.lost for c in cells),
        **_named(max(failures, key=lambda f: (failures[f], f)) if failures else ""),
        "failures": sorted(failures),
        "codes": sorted({code for c in cells for code in c.codes}),
        "answers": sorted({a for c in cells for a in c.answers}),
    }
    times = [c.ms for c in cells if c.ms is not None]
    if times:
        aggregate["ms"] = median(times)
    skews = [c.skew_ms for c in cells if c.skew_ms is not None]
    if skews:
        aggregate["skew_ms"] = median(skews)
    return aggregate


def _alike(cells: Sequence[Cell], rate: float) -> bool:
    """Whether one success rate explains what every vantage point saw, lucky ones included.

    Of a service that fails half of the time, somebody sees four good answers in a row: that is no exception. Pearson's
    chi-squared test of homogeneity at 5 %, with the critical value after Wilson and Hilferty (1931).
    """
    freedom = len(cells) - 1
    if freedom < 1 or not 0 < rate < 1:
        return True
    found = sum((c.ok - c.tries * rate) ** 2 / (c.tries * rate * (1 - rate)) for c in cells)
    part = 2 / (9 * freedom)
    return found <= freedom * (1 - part + 1.645 * sqrt(part)) ** 3


def _named(failure: str) -> dict[str, str]:
    """A failure for rules, and in words for the texts."""
    said = failure_words(failure)
    return {"failure": failure, "failure_zh": said.zh, "failure_en": said.en}


def _compare_answers(out: dict[str, Any], picture: Picture, inside: frozenset[str]) -> None:
    """Addresses that only the inside is told, and which of them work. Known only where both sides got an answer."""
    told_inside, told_outside = _answers(out["inside"]), _answers(out["outside"])
    vpc, public = (_told(out["inside"], layer) for layer in ("dns_vpc", "dns_public"))
    host = _told(out["inside"], "dns_host")
    if public and (vpc or host):
        out["inside"]["resolvers_differ"] = not (vpc | host) & public
    if told_inside and told_outside:
        own, others = told_inside - told_outside, told_outside - told_inside
        out["inside"]["odd_answers"] = sorted(own)
        out["inside"]["other_answers"] = sorted(others)
        out["inside"]["shared_answers"] = sorted(told_inside & told_outside)
        # Where others are told something else, all that is told here is "own", though somebody else may be told it too.
        out["inside"] |= compare(picture.pinned, inside, frozenset(told_inside if others else own), frozenset(others))
    near = {a.name for a in picture.agents if a.region == out["scope"]["region"]} - inside
    told = {agent: addresses for agent, addresses in _told_each(picture).items() if addresses}
    mine = [told[name] for name in inside if name in told]
    if len(mine) > 1:
        out["inside"]["told_alike"] = all(one & mine[0] for one in mine)
    by_region: dict[str, set[str]] = {}
    for one in picture.agents:
        if one.name not in inside and one.name in told:
            by_region.setdefault(one.region, set()).update(told[one.name])
    if len(by_region) > 1:
        out["outside"]["told_by_region"] = not set.intersection(*by_region.values())
    if mine and near & told.keys():
        out["inside"]["near_told_same"] = any(told[name] & set().union(*mine) for name in near & told.keys())


def _told_each(picture: Picture) -> dict[str, set[str]]:
    """What each agent is told on the service's own way."""
    told: dict[str, set[str]] = {}
    for cell in picture.cells:
        if cell.layer in ("dns_host", "dns_vpc"):
            told.setdefault(cell.agent, set()).update(cell.answers)
    return told


def _told(group: Mapping[str, Any], layer: str) -> set[str]:
    return set(group.get(layer, {}).get("answers", ()))


def _answers(group: Mapping[str, Any]) -> set[str]:
    """What the service's own way tells; a public resolver's answers where it tells nothing."""
    return _told(group, "dns_host") | _told(group, "dns_vpc") or _told(group, "dns_public")


LAYER_FIELDS: Mapping[str, type] = {
    "n": int,
    "tries": int,
    "ok": int,
    "rate": float,
    "low": float,
    "high": float,
    "up": bool,
    "down": bool,
    "bad": bool,
    "evenly_bad": bool,
    "spared": bool,
    "some_up": bool,
    "some_bad": bool,
    "partial": bool,
    "lost_low": float,
    "lost_high": float,
    "all_lose": bool,
    "failure": str,
    "failure_zh": str,
    "failure_en": str,
    "failures": list,
    "codes": list,
    "answers": list,
    "ms": float,
    "skew_ms": float,
    **TIMING_FIELDS,
}
GROUP_FIELDS: Mapping[str, type] = {
    "agents": int,
    "red": int,
    "green": int,
    "vpcs": int,
    "regions": int,
    "red_layers": list,
    "odd_answers": list,
    "slow_services": list,
    "unasked": int,
    "other_answers": list,
    "shared_answers": list,
    "resolvers_differ": bool,
    "told_alike": bool,
    "told_by_region": bool,
    "near_told_same": bool,
}
SUB_GROUPS: Mapping[str, Mapping[str, type]] = {**EXTRA_FIELDS, **dict.fromkeys(ADDRESS_GROUPS, ADDRESS_FIELDS)}
SCOPE_FIELDS: Mapping[str, type] = {
    "kind": str,
    "name": str,
    "region": str,
    "agents": int,
    "service": str,
    "place_zh": str,
    "place_en": str,
}
"""The vocabulary rules may use, for `playbook check`."""
