"""A hypothesis as data: where it may lie, what speaks for and against it, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.diagnosis.cells import Key
from bot.diagnosis.expressions import Bound, Expression
from bot.diagnosis.facts import Scope, ScopeKind
from bot.domain.text import Text

_PLACE = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """One expression with its weights: `yes` and `no` are added log-odds; unknown adds nothing.

    `text` is said when it holds, `otherwise` (where given) when it does not.
    """

    id: str
    when: Expression
    yes: float
    no: float
    text: Text
    otherwise: Text | None = None

    def told(self, holds: bool | None) -> Text:
        """The sentence for an outcome; what does not hold is never told as if it did."""
        if holds is not False:
            return self.text
        return self.otherwise or Text(f"不成立：{self.text.zh}", f"not so: {self.text.en}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Culprit:
    """Who causes it: `kind` is a fixed word, the rest are expressions over the facts."""

    kind: str
    fields: Mapping[str, Expression]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hypothesis:
    """One row of the differential table; `id` is fixed for ever.

    `scopes` are the kinds of place it may lie in: it is tried at each there is. `explains` holds for a red cell (as
    `cell`) that this cause would make red. `next` names the probe kinds that would decide it. `remedy_unnamed` is said
    instead of `remedy` while the culprit is unknown.
    """

    id: str
    title: Text
    scopes: tuple[ScopeKind, ...]
    prior: float
    evidence: tuple[Evidence, ...]
    explains: Expression
    remedy: Text
    owner: Text
    next: tuple[str, ...] = ()
    culprit: Culprit | None = None
    each_service: bool = False
    """Whether it may be the trouble of one service among several: then it is tried for each by itself as well."""
    remedy_unnamed: Text | None = None

    @property
    def family(self) -> Text:
        """The title for lists of causes, in which no certain place is meant."""
        return Text(_PLACE.sub("某处", self.title.zh).replace("某处 ", "某处"), _PLACE.sub("one place", self.title.en))


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One piece of evidence as it fell out: `holds` None is unknown."""

    evidence: Evidence
    holds: bool | None
    text: Text

    @property
    def weight(self) -> float:
        """Log-odds it added."""
        if self.holds is None:
            return 0.0
        return self.evidence.yes if self.holds else self.evidence.no


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranked:
    """A hypothesis at its best scope. `explained` are the red cells it accounts for."""

    hypothesis: Hypothesis
    scope: Scope
    logit: float
    findings: tuple[Finding, ...]
    explained: frozenset[Key]
    facts: Mapping[str, Any]
    share: float = 0.0

    @property
    def title(self) -> Text:
        """The title with the scope's name in it, and the service's where it is one of several."""
        of = self.scope.service
        return self.hypothesis.title.fill(self.facts) + (Text(f"（{of}）", f" ({of})") if of else Text("", ""))

    @property
    def remedy(self) -> Text:
        """What to do, with names filled in."""
        unnamed = self.hypothesis.remedy_unnamed
        said = unnamed if unnamed is not None and self.culprit() is None else self.hypothesis.remedy
        return said.fill(self.facts)

    def culprit(self) -> dict[str, Any] | None:
        """{"kind", ...fields} when every field is known, else None."""
        culprit = self.hypothesis.culprit
        if culprit is None:
            return None
        known = Bound(self.facts)
        values = {name: expression.value(known) for name, expression in culprit.fields.items()}
        return None if any(v is None for v in values.values()) else {"kind": culprit.kind, **values}


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The answer. `ids` is one hypothesis id, two for a double fault, ["healthy"] or ["inconclusive"]."""

    ids: tuple[str, ...]
    ranked: tuple[Ranked, ...]
    inconclusive_share: float = 0.0
    missing: tuple[str, ...] = ()
    unexplained: frozenset[Key] = field(default_factory=frozenset)

    @property
    def share(self) -> float:
        """The share of the verdict: of the double, the sum."""
        if self.ids == (INCONCLUSIVE,):
            return self.inconclusive_share
        return sum(r.share for r in self.ranked if r.hypothesis.id in self.ids)

    def leaders(self) -> tuple[Ranked, ...]:
        """The hypotheses the verdict names."""
        return tuple(r for r in self.ranked if r.hypothesis.id in self.ids)


HEALTHY = "healthy"
INCONCLUSIVE = "inconclusive"
