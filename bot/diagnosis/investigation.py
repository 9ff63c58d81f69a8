"""One run of a playbook as a state machine without I/O: observations in, requests and a verdict out.

The loop around it (`bot.app.diag`) only carries requests to the agents and observations back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.diagnosis import plan
from bot.diagnosis.asks import Ask
from bot.diagnosis.facts import Picture
from bot.diagnosis.gaps import Gap, gaps
from bot.diagnosis.history import NOTHING, History
from bot.diagnosis.hypothesis import Hypothesis, Ranked, Verdict
from bot.diagnosis.rank import diagnose, picture
from bot.diagnosis.worth import candidates
from bot.domain.failure import Failure, FaultOf
from bot.domain.layers import BY_ID
from bot.domain.playbook import Playbook
from bot.domain.probe import UP_RATE, Agent, Observation, ProbeRequest, wilson

LOOK_AFTER_S = 1.8
"""Before this, too little is in to choose a follow-up."""
LOOK_EVERY_S = 0.4
"""How often the leaders are looked at: judging costs tens of milliseconds, observations come by the hundred."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowUp:
    """Why another probe was asked: which leading cause wanted it, what it tells that cause from, and of whom.

    `bits` is the information that was expected of it.
    """

    hypothesis: Ranked
    other: Ranked | None
    kind: str
    agents: tuple[str, ...]
    bits: float


class Investigation:
    """Ask, take in, ask more while it is worth it, and judge."""

    def __init__(
        self,
        playbook: Playbook,
        hypotheses: Sequence[Hypothesis],
        agents: Sequence[Agent],
        *,
        light: bool = False,
        share: float = 1.0,
        history: History = NOTHING,
    ) -> None:
        self.playbook = playbook
        self.agents = tuple(agents)
        self._light = light
        self._share = share
        self._history = history
        self._hypotheses = tuple(hypotheses)
        self._ready = tuple(a for a in agents if a.state == "ready")
        self._missing = dict.fromkeys(plan.absent(playbook, agents), "")
        self._missing |= dict.fromkeys(plan.unaskable(playbook, agents), "no vantage point may ask this kind of probe")
        self._waiting: tuple[Ask, ...] = ()
        self._pinned: tuple[Ask, ...] = ()
        self._crossed: set[tuple[str, str]] = set()
        """(name, address) that were tried from elsewhere because they fail where they are told."""
        self._asked: dict[tuple[str, str], int] = {}
        self._observations: list[Observation] = []
        self._silent: dict[str, dict[str, str]] = {}
        """{agent: {request: why}} of requests that nothing but the agent's silence has answered."""
        self._kinds_asked: set[str] = set()
        self._look_at_s = LOOK_AFTER_S
        self.follow_ups: list[FollowUp] = []
        """What was asked beyond the first round, and for whom."""
        self._judged: Verdict | None = None

    def remember(self, history: History) -> None:
        """Take in what is known of the time before the run."""
        self._history, self._judged = history, None

    def recalled(self) -> dict[str, Any]:
        """What is known of the time before, as far as it is about what was asked."""
        seen = self.picture()
        keys = {(c.agent, c.layer) for c in seen.cells} | {(c.agent, c.row) for c in seen.parts}
        return self._history.to_json(keys)

    def start(self) -> Sequence[ProbeRequest]:
        """The first round."""
        first = plan.sweep(self.playbook, self._ready, light=self._light, share=self._share)
        self._waiting = self._pinned = first.pinned
        for ask in first.pinned:
            self._asked.setdefault((ask.agent.name, ask.probe), 1)
        now = self._count(first.now)
        asked = {agent for agent, _ in self._asked}
        self._missing |= {
            a.name: "its policy allows no probe of this playbook" for a in self._ready if a.name not in asked
        }
        return now

    def take(self, seen: Observation) -> None:
        """Take one observation in; an answer that comes late takes the place of the word that its agent was lost."""
        self._judged = None
        if seen.failure is Failure.AGENT_LOST:
            self._silent.setdefault(seen.agent, {})[seen.request] = str(seen.detail.get("reason", ""))
        elif seen.request in self._silent.get(seen.agent, ()):
            del self._silent[seen.agent][seen.request]
            self._observations = [
                o
                for o in self._observations
                if (o.agent, o.request, o.failure) != (seen.agent, seen.request, Failure.AGENT_LOST)
            ]
        self._observations.append(seen)

    def more(self, *, elapsed_s: float) -> Sequence[ProbeRequest]:
        """What is worth asking now that this much is known: pinned probes, then what would decide the leaders."""
        ready, self._waiting = plan.pin(self._waiting, self._observations, elapsed_s=elapsed_s)
        return [*self._count(ready), *self._count(self._cross_check()), *self._count(self._follow_up(elapsed_s))]

    def _cross_check(self) -> Sequence[ProbeRequest]:
        found = plan.cross_check(self._pinned, self._observations, self._crossed) if not self._light else {}
        self._crossed |= found.keys()
        return [request for requests in found.values() for request in requests]

    def observations(self) -> Sequence[Observation]:
        """Everything seen, parts of one series merged, in a stable order."""
        return merge(self._observations)

    def picture(self) -> Picture:
        """What rules look at."""
        return picture(self._observations, self.agents, self.missing(), self._history)

    def verdict(self) -> Verdict:
        """The verdict as of now."""
        if self._judged is None:
            self._judged = diagnose(self.picture(), self._hypotheses)
        return self._judged

    def missing(self) -> tuple[str, ...]:
        """Names of what tells nothing: vantage points, and probe kinds nobody may ask; `gaps` tells them apart."""
        return tuple(self.why_missing())

    def why_missing(self) -> dict[str, str]:
        """{name: reason}, "" when it never was there."""
        silent = {name: next(reversed(reasons.values())) for name, reasons in self._silent.items() if reasons}
        return {**self._missing, **silent, **self._blind()}

    def gaps(self) -> tuple[Gap, ...]:
        """What is missing, with what kind of thing each is."""
        return gaps(self.why_missing(), self.agents, plan.unaskable(self.playbook, self.agents))

    def _blind(self) -> dict[str, str]:
        """{name: reason} of agents that answered and could measure nothing: that is no evidence of health either."""
        answers: dict[str, list[Observation]] = {}
        for seen in self._observations:
            if seen.layer in BY_ID:
                answers.setdefault(seen.agent, []).append(seen)
        return {name: _excuse(all_[0]) for name, all_ in answers.items() if all(_unmeasured(one) for one in all_)}

    def unlearned(self) -> tuple[str, ...]:
        """Names nobody could resolve, so that pinned probes could not run."""
        return tuple(dict.fromkeys(ask.pin for ask in self._waiting if not ask.pinned))

    def progress(self) -> tuple[int, int]:
        """(checks answered, checks asked); a series counts when its last part is in."""
        answered: dict[tuple[str, str], int] = {}
        for seen in self._observations:
            key = (seen.agent, seen.probe)
            answered[key] = answered.get(key, 0) + 1
        done = sum(1 for key, parts in self._asked.items() if answered.get(key, 0) >= parts)
        return done, len(self._asked)

    def _count(self, requests: Sequence[ProbeRequest]) -> Sequence[ProbeRequest]:
        parts: dict[tuple[str, str], int] = {}
        for request in requests:
            key = (request.agent, request.probe)
            parts[key] = parts.get(key, 0) + 1
        self._asked.update(parts)
        return requests

    def _follow_up(self, elapsed_s: float) -> Sequence[ProbeRequest]:
        wanted = [k for k in dict.fromkeys(step.kind for step in self.playbook.then) if k not in self._kinds_asked]
        if self._light or not wanted or elapsed_s < self._look_at_s:
            return ()
        self._look_at_s = elapsed_s + LOOK_EVERY_S
        verdict = self.verdict()
        for candidate in candidates(verdict, wanted):
            # Tried once, whether or not anybody may answer: the next kind is not held up by it.
            self._kinds_asked.add(candidate.kind)
            leader = candidate.ranked
            requests = plan.follow_up(
                candidate.kind, self.playbook, self._ready, leader.scope.agents, self._observations
            )
            if requests:
                agents = tuple(dict.fromkeys(r.agent for r in requests))
                other = next((r for r in verdict.ranked if r.hypothesis.id != leader.hypothesis.id), None)
                self.follow_ups.append(
                    FollowUp(hypothesis=leader, other=other, kind=candidate.kind, agents=agents, bits=candidate.bits)
                )
                return requests
        return ()


def _unmeasured(seen: Observation) -> bool:
    return not seen.ok and seen.fault_of in (FaultOf.AGENT, FaultOf.POLICY)


def _excuse(seen: Observation) -> str:
    word = seen.failure.value if seen.failure else "no measurement"
    reason = str(seen.detail.get("reason") or "")
    return f"{word}: {reason}" if reason else word


def merge(observations: Sequence[Observation]) -> Sequence[Observation]:
    """Parts of one series of DNS tries as one observation; everything else as it came."""
    series: dict[tuple[str, str, str], list[Observation]] = {}
    for seen in observations:
        key = (seen.agent, seen.probe, seen.layer if seen.kind == "dns" else str(id(seen)))
        series.setdefault(key, []).append(seen)
    merged = [parts[0] if len(parts) == 1 else _joined(parts) for parts in series.values()]
    return sorted(merged, key=lambda o: (o.agent, o.layer, o.probe))


def _joined(parts: Sequence[Observation]) -> Observation:
    measured = [p for p in parts if "tries" in p.detail]
    if not measured:
        return parts[0]
    first = measured[0]
    tries = sum(p.tries for p in measured)
    ok = sum(int(p.detail.get("ok", 0)) for p in measured)
    failures = _summed(measured, "failures")
    each = [t for p in measured for t in p.detail.get("each", ())]
    times = sorted(t["ms"] for t in each if t.get("failure") is None and t.get("ms") is not None)
    low, high = wilson(ok, tries)
    rate = ok / tries if tries else 0.0
    good = rate >= UP_RATE
    detail: dict[str, Any] = {
        **first.detail,
        "tries": tries,
        "ok": ok,
        "timeouts": sum(int(p.detail.get("timeouts", 0)) for p in measured),
        "low": round(low, 4),
        "high": round(high, 4),
        "rcodes": _summed(measured, "rcodes"),
        "failures": failures,
        "answers": sorted({a for p in measured for a in p.detail.get("answers", ())}),
        "resolvers": sorted({r for p in measured for r in p.detail.get("resolvers", ())}),
        "each": each[:60],
    }
    timings = dict(first.timings_ms)
    if times:
        detail["p50_ms"], detail["p95_ms"] = _quantile(times, 0.5), _quantile(times, 0.95)
        timings = {"dns": detail["p50_ms"], "dns_p95": detail["p95_ms"]}
    worst = max(failures, key=lambda f: (failures[f], f)) if failures and not good else None
    culprit = next((p for p in measured if p.failure and p.failure.value == worst), None)
    return replace(
        first,
        ok=good,
        failure=culprit.failure if culprit else (Failure(worst) if worst else None),
        fault_of=culprit.fault_of if culprit else None,
        success_rate=rate,
        timings_ms=timings,
        detail=detail,
        took_ms=max(p.took_ms for p in measured),
    )


def _summed(parts: Sequence[Observation], key: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in (part.detail.get(key) or {}).items():
            total[str(name)] = total.get(str(name), 0) + int(count)
    return total


def _quantile(ordered: Sequence[float], q: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(q * len(ordered)))], 3)
