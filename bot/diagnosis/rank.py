"""Rank hypotheses over what was seen.

Every hypothesis is tried at every scope it can lie in; its log-odds are its prior, its evidence, and a
penalty for red cells it leaves unexplained. Shares are the softmax over the best scope of each hypothesis
and one constant for "something else" (inconclusive). A second cause is named when the first leaves red
cells that another one explains well by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot.diagnosis.baseline import overall
from bot.diagnosis.cells import Cell, Key, by_service
from bot.diagnosis.expressions import Bound
from bot.diagnosis.facts import Picture, Scope, facts, scopes
from bot.diagnosis.history import NOTHING, History, near_onset, told
from bot.diagnosis.hypothesis import HEALTHY, INCONCLUSIVE, Finding, Hypothesis, Ranked, Verdict
from bot.diagnosis.pinned import pinned
from bot.domain.layers import OTHER
from bot.domain.probe import Agent, Observation

ELSE_LOGIT = 0.0
"""Log-odds of "something we have no name for": what a hypothesis must beat."""
UNEXPLAINED_COST = 4.0
"""Log-odds a fault loses when it explains no red cell at all (also when there is none); in proportion for some."""
SECOND_SHARE = 0.6
"""A second cause must reach this share on the cells that the first leaves unexplained."""
TEMPERATURE = 1.6
"""Evidence overlaps (a VPC's two machines see one fault twice), so log-odds are divided by this before the softmax."""


def picture(
    observations: Sequence[Observation],
    agents: Sequence[Agent],
    missing: Sequence[str] = (),
    history: History = NOTHING,
) -> Picture:
    """Count the observations into what rules look at."""
    seen = Picture(
        agents=tuple(agents),
        parts=by_service(observations),
        extras=tuple(o for o in observations if o.layer in OTHER),
        pinned=pinned(observations),
        missing=tuple(missing),
    )
    return remembering(seen, history)


def remembering(seen: Picture, history: History) -> Picture:
    """The picture with what is known of the time before it."""
    red = [c for c in seen.cells if c.red]
    known = {(c.agent, c.layer): history.began[c.agent, c.layer] for c in red if (c.agent, c.layer) in history.began}
    onset, changes = overall(known).overall, None
    feeds = [feed for feed in (history.changes, told(seen.extras)) if feed is not None]
    if onset is not None and feeds:
        each = {change.key: change for feed in feeds for change in feed}.values()
        changes = tuple(near_onset(each, onset, frozenset(c.env for c in red if c.env)))
    return replace(seen, baselines=history.baselines, onset=onset, changes=changes)


def diagnose(seen: Picture, hypotheses: Sequence[Hypothesis]) -> Verdict:
    """The verdict with every hypothesis ranked. The same picture always gives the same verdict."""
    ranked, other = _shares(_rank(seen, hypotheses))
    if not ranked or not any(c.tries for c in seen.cells):
        return Verdict(ids=(INCONCLUSIVE,), ranked=(), inconclusive_share=1.0, missing=seen.missing)
    leader = ranked[0]
    reds = _reds(seen)
    if other > leader.share:
        return Verdict(ids=(INCONCLUSIVE,), ranked=ranked, inconclusive_share=other, missing=seen.missing)
    if leader.hypothesis.id == HEALTHY:
        return _healthy(seen, ranked, other)
    second = _second(seen, leader, hypotheses)
    ids: tuple[str, ...] = (leader.hypothesis.id,)
    if second is not None:
        ranked = _share_out(ranked, second)
        ids = (leader.hypothesis.id, second.hypothesis.id)
    explained = leader.explained | (second.explained if second else frozenset())
    return Verdict(
        ids=ids, ranked=ranked, inconclusive_share=other, missing=seen.missing, unexplained=frozenset(reds - explained)
    )


def _healthy(seen: Picture, ranked: tuple[Ranked, ...], other: float) -> Verdict:
    """Green from everywhere we looked: healthy only if we could look from everywhere."""
    if not seen.missing:
        return Verdict(ids=(HEALTHY,), ranked=ranked, inconclusive_share=other)
    # What the silent vantage point would say is unknown, so most of "healthy" moves to "inconclusive".
    moved = ranked[0].share * 0.8
    rest = (replace(ranked[0], share=ranked[0].share - moved), *ranked[1:])
    return Verdict(ids=(INCONCLUSIVE,), ranked=rest, inconclusive_share=other + moved, missing=seen.missing)


def _rank(seen: Picture, hypotheses: Sequence[Hypothesis]) -> list[Ranked]:
    reds = tuple(c for c in seen.parts if c.red)
    views: dict[Scope, _View] = {}
    best: list[Ranked] = []
    for hypothesis in hypotheses:
        tried = []
        for scope in _places(hypothesis, seen, reds):
            if scope not in views:
                views[scope] = _View(seen, scope, reds)
            tried.append(_judge(hypothesis, scope, views[scope]))
        if tried:
            # Of places that fit alike the smallest, and of one service rather than all: it says most.
            best.append(max(tried, key=_fit))
    return sorted(best, key=lambda r: (-r.logit, r.hypothesis.id))


def _fit(ranked: Ranked) -> tuple[float, bool, int, int, str]:
    """How well a place fits; the kind that the hypothesis names first wins where a machine is all there is of a VPC."""
    scope, kinds = ranked.scope, ranked.hypothesis.scopes
    return ranked.logit, bool(scope.service), -len(scope.agents), -kinds.index(scope.kind), scope.name


def _places(hypothesis: Hypothesis, seen: Picture, reds: Sequence[Cell]) -> Sequence[Scope]:
    """Where a hypothesis is tried: at each place of its kinds, and there for each ailing service of several."""
    places = [scope for kind in hypothesis.scopes for scope in scopes(kind, seen.agents)]
    if not hypothesis.each_service or len(seen.services) < 2:
        return places
    slow = facts(seen, places[0])["all"]["slow_services"] if seen.baselines and places else ()
    ailing = sorted({c.service for c in reds if c.service} | {*slow})
    return [*places, *(replace(place, service=service) for place in places for service in ailing)]


def _reds(seen: Picture) -> set[Key]:
    return {c.key for c in seen.parts if c.red}


class _View:
    """One scope's facts and red cells, made ready for CEL once for all hypotheses."""

    def __init__(self, seen: Picture, scope: Scope, reds: Sequence[Cell]) -> None:
        self.facts: Mapping[str, Any] = facts(seen, scope)
        self.bound = Bound(self.facts)
        self.reds = {c.key: Bound({"cell": _cell(c, scope)}) for c in reds}
        self.other = {c.key for c in reds if scope.service and c.service not in ("", scope.service)}


def _judge(hypothesis: Hypothesis, scope: Scope, view: _View) -> Ranked:
    findings = []
    for evidence in hypothesis.evidence:
        holds = evidence.when.holds(view.bound)
        findings.append(Finding(evidence=evidence, holds=holds, text=evidence.told(holds).fill(view.facts)))
    mine = {key: cell for key, cell in view.reds.items() if key not in view.other}
    explained = frozenset(key for key, cell in mine.items() if hypothesis.explains.holds(cell))
    logit = hypothesis.prior + sum(f.weight for f in findings)
    if hypothesis.id != HEALTHY:
        logit -= UNEXPLAINED_COST * (1 - len(explained) / len(view.reds) if view.reds else 1)
    return Ranked(
        hypothesis=hypothesis,
        scope=scope,
        logit=logit,
        findings=tuple(findings),
        explained=explained,
        facts=view.facts,
    )


def _cell(cell: Cell, scope: Scope) -> dict[str, Any]:
    """A cell as `explains` sees it."""
    return {
        "inside": cell.agent in scope.agents,
        "layer": cell.layer,
        "vantage": cell.vantage,
        "region": cell.region,
        "state": cell.state,
        "rate": cell.rate,
        "failure": cell.failure,
        "failures": sorted(cell.failures),
        "codes": list(cell.codes),
    }


def _shares(ranked: Sequence[Ranked]) -> tuple[tuple[Ranked, ...], float]:
    """Softmax with one place for "something else"; all shares and that one sum to 1."""
    if not ranked:
        return (), 1.0
    top = max(ELSE_LOGIT, ranked[0].logit)
    weights = [math.exp((r.logit - top) / TEMPERATURE) for r in ranked]
    rest = math.exp((ELSE_LOGIT - top) / TEMPERATURE)
    total = sum(weights) + rest
    return tuple(replace(r, share=w / total) for r, w in zip(ranked, weights, strict=True)), rest / total


def _second(seen: Picture, leader: Ranked, hypotheses: Sequence[Hypothesis]) -> Ranked | None:
    """Another cause for the red cells the leader leaves, judged as if the leader's cells had not been measured."""
    left = _reds(seen) - leader.explained
    if not left:
        return None
    # Red cells are left, so "all is well" is no answer to them.
    others = [h for h in hypotheses if h.id not in (leader.hypothesis.id, HEALTHY)]
    ranked, _ = _shares(_rank(seen.without(leader.explained), others))
    if not ranked or ranked[0].share < SECOND_SHARE:
        return None
    return ranked[0] if len(ranked[0].explained & left) * 2 > len(left) else None


def _share_out(ranked: Sequence[Ranked], second: Ranked) -> tuple[Ranked, ...]:
    """Give the second cause half of what the leader holds, as far as it is believed."""
    leader = ranked[0]
    given = leader.share * second.share / 2
    out = [replace(leader, share=leader.share - given)]
    for one in ranked[1:]:
        if one.hypothesis.id == second.hypothesis.id:
            out.append(replace(second, share=one.share + given))
        else:
            out.append(one)
    return tuple(sorted(out, key=lambda r: (-r.share, r.hypothesis.id)))
