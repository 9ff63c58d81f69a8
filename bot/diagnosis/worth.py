"""What another probe is worth: how much it is expected to tell the leading causes apart, per second and per load.

The weights of a piece of evidence are log-likelihood ratios, so they say how likely it is to hold if the cause is the
true one and if it is not. With that, what is expected of a probe before it is asked is the mutual information between
the cause and what the probe would show (Lindley 1956): zero when every cause predicts the same, most when they differ.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.diagnosis.hypothesis import Evidence, Ranked, Verdict

CONSIDERED = 4
"""Causes looked at: the rest hold next to nothing."""
MOST_EVIDENCE = 4
"""Pieces of evidence of one probe that are reckoned together; 2 ** n outcomes each."""
NAMING = 0.35
"""Bits it is worth to name the culprit of a cause that is the leader anyway, in proportion to its share."""
ENOUGH = 0.02
"""Bits per second below which nothing more is asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A probe kind that is asked only when it is worth it (docs/probes.md says what each asks).

    `fact` is the name under which its result stands among the facts; `seconds` how long it takes; `load` what it
    costs besides, as a factor on the time (a capture of a busy interface weighs more than reading a list).
    """

    fact: str
    seconds: float
    load: float = 1.0


KINDS: Mapping[str, Kind] = {
    "changes": Kind(fact="changes", seconds=1.0),
    "status_page": Kind(fact="status", seconds=1.5),
    "coredns": Kind(fact="coredns", seconds=2.5),
    "mtu": Kind(fact="mtu", seconds=2.5),
    "trace": Kind(fact="trace", seconds=2.5, load=1.2),
    "dns_top": Kind(fact="top", seconds=3.5, load=1.5),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A kind worth asking for the sake of one leading cause. `bits` is what is expected of it."""

    kind: str
    ranked: Ranked
    bits: float

    @property
    def rate(self) -> float:
        """Bits per second and load."""
        kind = KINDS[self.kind]
        return self.bits / (kind.seconds * kind.load)


def candidates(verdict: Verdict, kinds: Sequence[str]) -> Sequence[Candidate]:
    """The kinds that are worth asking, best first. Empty when the leader is clear or nothing can tell any more."""
    leaders = [r for r in verdict.ranked if r.share > 0.01][:CONSIDERED]
    found = []
    for kind in kinds:
        asking = next((r for r in leaders if kind in r.hypothesis.next), None)
        if asking is None:
            continue
        bits = _information(kind, leaders, verdict.inconclusive_share) + _naming(kind, leaders)
        found.append(Candidate(kind=kind, ranked=asking, bits=bits))
    worth = [c for c in found if c.rate >= ENOUGH]
    return sorted(worth, key=lambda c: (-c.rate, c.kind))


def likelihoods(evidence: Evidence) -> tuple[float, float]:
    """(P(holds | the cause), P(holds | another)) of the weights, which are the logs of the two likelihood ratios."""
    yes, no = math.exp(evidence.yes), math.exp(evidence.no)
    if yes <= 1 or no >= 1:
        # Weights of one sign say nothing that is a probability; what they add is a shift of the prior.
        return 0.5, 0.5
    other = (1 - no) / (yes - no)
    return min(1.0, yes * other), other


def _information(kind: str, leaders: Sequence[Ranked], rest: float) -> float:
    """Mutual information in bits between which cause it is and what the probe would show."""
    asked = _unknown(kind, leaders)
    if not asked:
        return 0.0
    shares = [r.share for r in leaders] + [rest]
    total = sum(shares)
    shares = [s / total for s in shares]
    # For each cause: how likely each piece of evidence is to hold if that cause is the true one.
    chances = [[likelihoods(e)[0 if owner is leader else 1] for owner, e in asked] for leader in leaders] + [
        [likelihoods(e)[1] for _, e in asked]
    ]
    expected = 0.0
    for outcome in itertools.product((True, False), repeat=len(asked)):
        joint = [
            share * math.prod(p if holds else 1 - p for p, holds in zip(chance, outcome, strict=True))
            for share, chance in zip(shares, chances, strict=True)
        ]
        seen = sum(joint)
        expected += sum(j * math.log2(j / (share * seen)) for j, share in zip(joint, shares, strict=True) if j > 0)
    return max(0.0, expected)


def _unknown(kind: str, leaders: Sequence[Ranked]) -> list[tuple[Ranked, Evidence]]:
    """Evidence of the leaders that nobody has measured and that the kind would decide, the weightiest."""
    reads = re.compile(rf"\b(?:inside|outside|near|far|all|pods|vms)\.{KINDS[kind].fact}\b|\b{KINDS[kind].fact}\.")
    found = [
        (leader, finding.evidence)
        for leader in leaders
        for finding in leader.findings
        if finding.holds is None and reads.search(finding.evidence.when.source)
    ]
    return sorted(found, key=lambda pair: -(pair[1].yes - pair[1].no))[:MOST_EVIDENCE]


def _naming(kind: str, leaders: Sequence[Ranked]) -> float:
    """What it is worth that the probe would name whom to stop."""
    first = leaders[0] if leaders else None
    if first is None or first.hypothesis.culprit is None or first.culprit() is not None:
        return 0.0
    fact = KINDS[kind].fact
    named = any(f".{fact}." in field.source for field in first.hypothesis.culprit.fields.values())
    return NAMING * first.share if named else 0.0
