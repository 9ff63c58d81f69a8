"""A past night judged again: the same observations always give the same verdict, and fewer never a wrong one.

A recording is what a run saw (`diag --format json` is one, and so is what the lab records). Replaying it needs no
network, so the engine's tests are fast, a change of weights can be tried on every night there ever was, and one can
ask what the verdict would have been without a probe kind or a vantage point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.diagnosis.history import NOTHING, History
from bot.diagnosis.hypothesis import INCONCLUSIVE, Hypothesis, Verdict
from bot.diagnosis.rank import diagnose, picture
from bot.diagnosis.worth import candidates
from bot.domain.playbook import SERVICE_KINDS
from bot.domain.probe import Agent, Observation

CONFIDENT = 0.8
"""A wrong cause with a larger share than this is confidently wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """What one run saw. `expected` are the right ids where they are known (a golden recording of the lab)."""

    name: str
    playbook: str
    agents: tuple[Agent, ...]
    observations: tuple[Observation, ...]
    missing: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    history: History = NOTHING
    verdict: tuple[str, ...] = ()
    """What was said at the time."""
    more: tuple[Observation, ...] = ()
    """What probes told that the run did not ask for: a replay may want them when it has less to go by."""

    @property
    def truth(self) -> tuple[str, ...]:
        """What is right as far as is known: what is expected, else what was said then."""
        return self.expected or self.verdict

    def judge(self, hypotheses: Sequence[Hypothesis]) -> Verdict:
        """The verdict of today's hypotheses on that night, with the further probes that a run would ask for."""
        known, left = self.observations, {o.kind for o in self.more}
        while True:
            verdict = diagnose(picture(known, self.agents, self.missing, self.history), hypotheses)
            worth = candidates(verdict, sorted(left))
            if not worth:
                return verdict
            left.discard(worth[0].kind)
            known = (*known, *(o for o in self.more if o.kind == worth[0].kind))

    def without_kind(self, kind: str) -> Recording:
        """As if no vantage point might ask that kind of probe."""
        left, more = (tuple(o for o in seen if o.kind != kind) for seen in (self.observations, self.more))
        missing = (*self.missing, kind) if kind in SERVICE_KINDS else self.missing
        return replace(self, observations=left, more=more, missing=missing)

    def without_agent(self, name: str) -> Recording:
        """As if that vantage point had been silent."""
        agents = tuple(replace(a, state="lost") if a.name == name else a for a in self.agents)
        left, more = (tuple(o for o in seen if o.agent != name) for seen in (self.observations, self.more))
        return replace(self, agents=agents, observations=left, more=more, missing=(*self.missing, name))


def read(name: str, document: Mapping[str, Any]) -> Recording:
    """A recording from JSON: a diag document, or one with "expect". Raises KeyError, TypeError or ValueError."""
    missing = [str(one).partition(":")[0] for one in document.get("missing") or ()]
    return Recording(
        name=name,
        playbook=str(document.get("playbook", "")),
        agents=tuple(_agent(row) for row in document["agents"]),
        observations=tuple(Observation.from_json(row) for row in document["observations"]),
        missing=tuple(missing),
        more=tuple(Observation.from_json(row) for row in document.get("more") or ()),
        history=History.from_json(document["recalled"]) if document.get("recalled") else NOTHING,
        expected=tuple((document.get("expect") or {}).get("verdict") or ()),
        verdict=tuple(document.get("verdict") or ()),
    )


def _agent(row: Mapping[str, Any]) -> Agent:
    def word(key: str, default: str = "") -> str:
        return str(row.get(key) or default)

    return Agent(
        name=word("name"),
        region=word("region"),
        vantage=word("vantage"),
        env=word("env"),
        vpc=word("vpc"),
        cluster=word("cluster"),
        state=word("state", "ready"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """The verdict with something left out. `wrong` is a cause that was not there and that was believed."""

    without: str
    ids: tuple[str, ...]
    wrong: str
    share: float


def sensitivity(night: Recording, hypotheses: Sequence[Hypothesis]) -> Iterator[Case]:
    """The night without each probe kind, and without each vantage point, in turn."""
    for kind in sorted({o.kind for o in night.observations}):
        yield _case(f"kind {kind}", night.without_kind(kind), night.truth, hypotheses)
    for agent in night.agents:
        if agent.name not in night.missing:
            yield _case(f"agent {agent.name}", night.without_agent(agent.name), night.truth, hypotheses)


def _case(without: str, night: Recording, expected: Sequence[str], hypotheses: Sequence[Hypothesis]) -> Case:
    verdict = night.judge(hypotheses)
    wrong = ""
    share = 0.0
    for ranked in verdict.ranked:
        ident = ranked.hypothesis.id
        if ident in verdict.ids and ident not in expected and ranked.share > max(CONFIDENT, share):
            wrong, share = ident, ranked.share
    return Case(without=without, ids=verdict.ids, wrong=wrong, share=share)


def brier(verdict: Verdict, expected: Sequence[str]) -> float:
    """Sum over ids of (share - target) squared (Brier 1950); two right ids have a target of one half each."""
    shares = {r.hypothesis.id: r.share for r in verdict.ranked}
    shares[INCONCLUSIVE] = verdict.inconclusive_share
    target = dict.fromkeys(expected, 1 / len(expected)) if expected else {}
    return sum((shares.get(i, 0.0) - target.get(i, 0.0)) ** 2 for i in {*shares, *target})
