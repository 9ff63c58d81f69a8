"""Was the verdict right, and how sure was it? Pure (definitions: docs/lab.md)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, Literal

from bot.lab.netns.models import ExpectModel

Half = Literal["tuning", "held_out"]
HEALTHY = "healthy"
UNDECIDED = "inconclusive"
SURE = 0.8
"""A wrong cause with a larger share than this is confidently wrong."""
QPS_WITHIN = 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What came of one run. `queries` are all that agents sent to VPC resolvers, `busiest_qps` the most a second that
    one of them got, averaged over the run.
    """

    scenario: str
    expected: tuple[str, ...]
    verdict: tuple[str, ...]
    right: bool
    culprit_right: bool
    within_two: bool
    brier: float
    confidently_wrong: str = ""
    """The cause that was, "" for none."""
    harmful: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    took_s: float = 0.0
    queries: int = 0
    busiest_qps: float = 0.0

    @property
    def half(self) -> Half:
        """Which half the scenario is in."""
        return half(self.scenario)

    @property
    def false_alarm(self) -> bool:
        """Whether a healthy world was said to have a fault."""
        return self.expected == (HEALTHY,) and not {HEALTHY, UNDECIDED} & set(self.verdict)

    def to_json(self) -> dict[str, Any]:
        """As `lab run --format json` prints it."""
        return {
            "right": self.right,
            "culprit_right": self.culprit_right,
            "within_two": self.within_two,
            "brier": round(self.brier, 4),
            "false_alarm": self.false_alarm,
            "confidently_wrong": self.confidently_wrong or None,
            "harmful": list(self.harmful),
            "half": self.half,
            "queries": self.queries,
            "busiest_qps": round(self.busiest_qps, 1),
        }


def half(name: str) -> Half:
    """Tuning or held out, by the first bit of the name's SHA-256: nobody chooses."""
    return "tuning" if hashlib.sha256(name.encode()).digest()[0] < 128 else "held_out"


def judge(
    name: str, expect: ExpectModel, document: Mapping[str, Any], *, queries: Mapping[str, int] | None = None
) -> Judgement:
    """Compare a diag document with what was expected. Causes named at several places count together."""
    verdict = tuple(document["verdict"])
    shares: dict[str, float] = {}
    for row in document["hypotheses"]:
        shares[row["id"]] = shares.get(row["id"], 0.0) + float(row["share"])
    wanted = {name: 1 / len(expect.verdict) for name in expect.verdict}
    brier = math.fsum((shares.get(i, 0.0) - wanted.get(i, 0.0)) ** 2 for i in {*shares, *wanted})
    first_two = sorted(shares, key=lambda i: -shares[i])[:2]
    sure = [i for i, share in shares.items() if share > SURE and i not in wanted and i != UNDECIDED]
    took_s = float(document["took_s"])
    counted = queries or {}
    culprit_right = _culprit(expect.culprit, document.get("culprit"))
    return Judgement(
        scenario=name,
        expected=tuple(expect.verdict),
        verdict=verdict,
        right=set(verdict) == set(wanted) and culprit_right,
        culprit_right=culprit_right,
        within_two=set(wanted) <= set(first_two),
        brier=brier,
        confidently_wrong=sure[0] if sure else "",
        harmful=tuple(i for i in verdict if i in expect.never),
        shares={i: shares[i] for i in sorted(shares, key=lambda i: -shares[i])[:4]},
        took_s=took_s,
        queries=sum(counted.values()),
        busiest_qps=max(counted.values(), default=0) / max(took_s, 1.0),
    )


def _culprit(wanted: Mapping[str, Any], found: Any) -> bool:
    if not wanted:
        return True
    if not isinstance(found, Mapping):
        return False
    return all(
        math.isclose(float(found.get(key) or 0), float(value), rel_tol=QPS_WITHIN)
        if key == "qps"
        else found.get(key) == value
        for key, value in wanted.items()
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Figures over several runs; shares are 0..1, times in seconds. Healthy figures count healthy scenarios only."""

    runs: int
    top1: float
    within_two: float
    healthy: int
    healthy_right: int
    false_alarms: int
    brier: float
    confidently_wrong: int
    median_s: float
    worst_s: float
    queries_per_minute: float

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def score(runs: Sequence[Judgement]) -> Score:
    """Raises ValueError for no runs."""
    if not runs:
        raise ValueError("there is no run to score")
    healthy = [r for r in runs if r.expected == (HEALTHY,)]
    return Score(
        runs=len(runs),
        top1=round(fmean(r.right for r in runs), 4),
        within_two=round(fmean(r.within_two for r in runs), 4),
        healthy=len(healthy),
        healthy_right=sum(r.right for r in healthy),
        false_alarms=sum(r.false_alarm for r in healthy),
        brier=round(fmean(r.brier for r in runs), 4),
        confidently_wrong=sum(bool(r.confidently_wrong) for r in runs),
        median_s=round(median(r.took_s for r in runs), 2),
        worst_s=round(max(r.took_s for r in runs), 2),
        queries_per_minute=round(60 * max(r.busiest_qps for r in runs), 0),
    )
