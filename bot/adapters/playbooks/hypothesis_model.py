"""A hypothesis' YAML as a strict model; `value()` turns it into the diagnosis' value."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bot.diagnosis.expressions import Expression
from bot.diagnosis.hypothesis import Culprit, Evidence, Hypothesis
from bot.yamlfile.words import Listed, Strict, TextModel


class EvidenceModel(Strict):
    """One CEL expression over the facts, with its weights in log-odds."""

    id: str
    when: str
    yes: float
    no: float = 0.0
    text: TextModel
    otherwise: TextModel | None = None


class HypothesisModel(Strict):
    """One possible cause."""

    hypothesis: str = Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")
    title: TextModel
    scope: Annotated[list[Literal["everywhere", "region", "vpc", "cluster", "agent"]], Listed()] = Field(
        min_length=1, description="where it may lie: tried at each such place there is"
    )
    prior: float = -1.5
    explains: str
    evidence: list[EvidenceModel] = Field(min_length=1)
    next: list[str] = []
    culprit: dict[str, str] | None = None
    remedy: TextModel
    each_service: bool = Field(
        default=False, description="it may be the trouble of one service among several; tried for each as well"
    )
    remedy_unnamed: TextModel | None = Field(default=None, description="the remedy while the culprit is unknown")
    owner: TextModel

    def value(self) -> Hypothesis:
        culprit = self.culprit and Culprit(
            kind=self.culprit["kind"],
            fields={k: Expression(v) for k, v in self.culprit.items() if k != "kind"},
        )
        return Hypothesis(
            id=self.hypothesis,
            title=self.title.text(),
            scopes=tuple(self.scope),
            prior=self.prior,
            explains=Expression(self.explains),
            evidence=tuple(
                Evidence(
                    id=e.id,
                    when=Expression(e.when),
                    yes=e.yes,
                    no=e.no,
                    text=e.text.text(),
                    otherwise=e.otherwise.text() if e.otherwise else None,
                )
                for e in self.evidence
            ),
            next=tuple(self.next),
            culprit=culprit or None,
            remedy=self.remedy.text(),
            each_service=self.each_service,
            remedy_unnamed=self.remedy_unnamed.text() if self.remedy_unnamed else None,
            owner=self.owner.text(),
        )
