"""A playbook's YAML as a strict model; `value()` turns it into the domain's value."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from bot.adapters.playbooks.steps import ProbeLine, at_once, later
from bot.adapters.playbooks.targets import check_fits, read_site, read_target
from bot.domain.playbook import ErrorMeaning, Expected, Playbook
from bot.yamlfile.words import Bilingual, Names, Strict


class ExpectModel(Strict):
    """A vantage point that must answer before anything is called healthy."""

    vantage: str = ""
    region: str = ""


class ErrorModel(Strict):
    """What one of the service's own error codes really says."""

    means: Literal["dependency", "our code"]
    text: Bilingual


class PlaybookModel(Strict):
    """A service, what to ask about it, and whom to tell."""

    playbook: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="the name people type after /diag")
    title: Bilingual
    vendor: str = ""
    env: list[str] = []
    targets: dict[str, str] = Field(
        min_length=1, description="name: https://host[:port], or mysql://, redis://, postgres://"
    )
    own: Names = Field(default=[], description="targets that are our own service, and not what it depends on")
    controls: list[str] = Field(default=[], description="sites that must work if we are not cut off")
    internal: list[str] = Field(default=[], description="names the cluster DNS serves by itself")
    resolvers: dict[Literal["host", "vpc", "public"], list[str]] = {}
    probe: list[Annotated[ProbeLine, AfterValidator(at_once)]] = Field(min_length=1)
    then: list[Annotated[ProbeLine, AfterValidator(later)]] = Field(
        default=[], description="asked only when a leading hypothesis wants it"
    )
    expect: list[ExpectModel] = []
    owners: dict[str, str] = {}
    errors: dict[str, ErrorModel] = Field(default={}, description="the service's own error codes, and what they mean")
    escalate: str = ""

    @model_validator(mode="after")
    def _known_targets(self) -> PlaybookModel:
        for name in self.own:
            if name not in self.targets:
                raise ValueError(f'own: "{name}" is not under targets: ({", ".join(self.targets)})')
        for line in self.probe + self.then:
            options = line.step().options
            for key in ("of", "to"):
                names = options.get(key, [])
                for name in [names] if isinstance(names, str) else names:
                    if name not in self.targets:
                        raise ValueError(f'target "{name}" is not under targets: ({", ".join(self.targets)})')
                    check_fits(line.step(), name, read_target(name, self.targets[name]))
        return self

    def value(self) -> Playbook:
        return Playbook(
            name=self.playbook,
            title=self.title.text(),
            vendor=self.vendor,
            env=tuple(self.env),
            targets={key: read_target(key, url) for key, url in self.targets.items()},
            own=tuple(self.own),
            controls=tuple(read_site(f"control{i + 1}", url) for i, url in enumerate(self.controls)),
            internal=tuple(self.internal),
            steps=tuple(line.step() for line in self.probe),
            then=tuple(line.step() for line in self.then),
            expect=tuple(Expected(vantage=e.vantage, region=e.region) for e in self.expect),
            owners=dict(self.owners),
            errors={code: ErrorMeaning(means=e.means, text=e.text.text()) for code, e in self.errors.items()},
            escalate=self.escalate,
            resolvers={k: tuple(v) for k, v in self.resolvers.items()},
        )
