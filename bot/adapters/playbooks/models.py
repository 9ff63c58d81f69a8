"""The YAML of playbooks and hypotheses as strict models; `value()` turns each into the domain's value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from bot.adapters.playbooks.targets import check_fits, read_site, read_target
from bot.diagnosis.expressions import Expression
from bot.diagnosis.facts import SCOPE_KINDS, ScopeKind
from bot.diagnosis.hypothesis import Culprit, Evidence, Hypothesis
from bot.domain.playbook import Expected, Playbook, Step
from bot.domain.text import Text

DURATION = r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)\s*$"


def _seconds(value: Any) -> Any:
    """Accept 5, 5.0, "5s", "500ms", "24h"."""
    if isinstance(value, str):
        match = re.match(DURATION, value)
        if not match:
            raise ValueError('must be a duration such as "5s", "500ms" or "24h"')
        return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]]
    return value


def _yes_no(value: Any) -> Any:
    """YAML 1.2 reads `no` and `yes` as words; people mean booleans."""
    return {"no": False, "yes": True}.get(value, value) if isinstance(value, str) else value


class _Listed:
    """Marks a list that may be written as its one item; the JSON Schema for editors says so too."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        many = handler(schema)
        return {"anyOf": [many, many["items"]]}


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _both(value: Any) -> Any:
    """A title that is the same in both languages may be plain text."""
    return {"zh": value, "en": value} if isinstance(value, str) else value


Written = float | Annotated[str, Field(pattern=DURATION)]
Seconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=Written), Field(gt=0, le=86400)]
YesNo = Annotated[bool, BeforeValidator(_yes_no, json_schema_input_type=bool | Literal["yes", "no"])]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class TextModel(_Strict):
    """Text in both languages."""

    zh: str
    en: str

    def text(self) -> Text:
        return Text(zh=self.zh, en=self.en)


Bilingual = Annotated[TextModel, BeforeValidator(_both, json_schema_input_type=TextModel | str)]
Names = Annotated[list[str], _Listed()]


class _Step(_Strict):
    from_: Names = Field(
        default=[], alias="from", description="only from these regions, vantage points, environments, VPCs or agents"
    )


class DnsStep(_Step):
    """Resolve a target's name."""

    of: Names = Field(description="which targets' names")
    via: Annotated[list[Literal["host", "vpc", "public"]], _Listed()] = Field(
        default=["host", "vpc", "public"], description="through which resolvers"
    )
    tries: Annotated[int, Field(ge=1, le=100)] = 20
    within: Seconds = Field(default=5.0, description="the tries take at most so long; a VPC's DNS budget goes first")


class HttpStep(_Step):
    """Fetch a target, by name and pinned to an address learned elsewhere."""

    to: Names
    also: Annotated[list[Literal["pinned"]], _Listed()] = ["pinned"]
    path: str = "/"
    method: Literal["GET", "HEAD"] = "GET"
    expect_status: list[int] = []
    tries: Annotated[int, Field(ge=1, le=20)] = 4


class TcpStep(_Step):
    """Connect to other ports of the target's address: tells a firewall from an outage."""

    to: Names
    ports: Annotated[list[int], _Listed()]
    tries: Annotated[int, Field(ge=1, le=20)] = 2


class PingStep(_Step):
    """Ping the target's address."""

    to: Names
    tries: Annotated[int, Field(ge=1, le=50)] = 5
    method: Literal["auto", "icmp", "tcp"] = "auto"


class ApiStep(_Step):
    """Call a read-only action of the vendor's API, unsigned and signed."""

    to: str
    vendor: str = ""
    service: str
    action: str
    version: str = ""
    region: str = ""
    signed: Annotated[list[YesNo], _Listed()] = [False, True]
    payload: dict[str, Any] = {}
    tries: Annotated[int, Field(ge=1, le=20)] = 6


class ObjectStoreStep(_Step):
    """HEAD a bucket."""

    to: str
    vendor: Literal["cos", "s3"] = "cos"
    tries: Annotated[int, Field(ge=1, le=20)] = 6


class DatabaseStep(_Step):
    """The first word of a MySQL, Redis or PostgreSQL server, and with a login how full it is."""

    to: Names
    login: str = Field(default="", description="the name of a login of the agents' policy files")
    tls: Literal["none", "require", "verify"] = "none"
    tries: Annotated[int, Field(ge=1, le=10)] = 2


class DnsTopStep(_Step):
    """Who asks the resolver most: a capture or a query log of an agent that may read one."""

    seconds: Annotated[float, BeforeValidator(_seconds, json_schema_input_type=Written), Field(ge=1, le=15)] = 3.0
    source: Literal["auto", "capture", "query_log"] = "auto"


class ProbeLine(_Strict):
    """One line under `probe:` or `then:`; exactly one kind each."""

    dns: DnsStep | None = None
    http: HttpStep | None = None
    tcp: TcpStep | None = None
    ping: PingStep | None = None
    api: ApiStep | None = None
    object_store: ObjectStoreStep | None = None
    dns_top: DnsTopStep | None = None
    mysql: DatabaseStep | None = None
    redis: DatabaseStep | None = None
    postgres: DatabaseStep | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: Any) -> Any:
        """`- dns_top:` without options means all defaults."""
        if isinstance(value, Mapping):
            return {k: ({} if v is None else v) for k, v in value.items()}
        return value

    def step(self) -> Step:
        kind = next(iter(self.model_fields_set))
        return Step(kind=kind, options=getattr(self, kind).model_dump())

    @model_validator(mode="after")
    def _one(self) -> ProbeLine:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"name exactly one probe kind of {', '.join(type(self).model_fields)}")
        return self


def _at_once(line: ProbeLine) -> ProbeLine:
    if line.dns_top is not None:
        raise ValueError("dns_top is asked under then:, when a leading hypothesis wants it")
    return line


def _later(line: ProbeLine) -> ProbeLine:
    if line.dns_top is None:
        raise ValueError("only dns_top is asked under then: in this version; the rest belongs under probe:")
    return line


class ExpectModel(_Strict):
    """A vantage point that must answer before anything is called healthy."""

    vantage: str = ""
    region: str = ""


class PlaybookModel(_Strict):
    """A service, what to ask about it, and whom to tell."""

    playbook: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="the name people type after /diag")
    title: Bilingual
    vendor: str = ""
    env: list[str] = []
    targets: dict[str, str] = Field(
        min_length=1, description="name: https://host[:port], or mysql://, redis://, postgres://"
    )
    controls: list[str] = Field(default=[], description="sites that must work if we are not cut off")
    internal: list[str] = Field(default=[], description="names the cluster DNS serves by itself")
    resolvers: dict[Literal["host", "vpc", "public"], list[str]] = {}
    probe: list[Annotated[ProbeLine, AfterValidator(_at_once)]] = Field(min_length=1)
    then: list[Annotated[ProbeLine, AfterValidator(_later)]] = Field(
        default=[], description="asked only when a leading hypothesis wants it"
    )
    expect: list[ExpectModel] = []
    owners: dict[str, str] = {}
    escalate: str = ""

    @model_validator(mode="after")
    def _known_targets(self) -> PlaybookModel:
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
            controls=tuple(read_site(f"control{i + 1}", url) for i, url in enumerate(self.controls)),
            internal=tuple(self.internal),
            steps=tuple(line.step() for line in self.probe),
            then=tuple(line.step() for line in self.then),
            expect=tuple(Expected(vantage=e.vantage, region=e.region) for e in self.expect),
            owners=dict(self.owners),
            escalate=self.escalate,
            resolvers={k: tuple(v) for k, v in self.resolvers.items()},
        )


class EvidenceModel(_Strict):
    """One CEL expression over the facts, with its weights in log-odds."""

    id: str
    when: str
    yes: float
    no: float = 0.0
    text: TextModel
    otherwise: TextModel | None = None


class HypothesisModel(_Strict):
    """One possible cause."""

    hypothesis: str = Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")
    title: TextModel
    scope: Literal["everywhere", "region", "vpc", "cluster", "agent"]
    prior: float = -1.5
    explains: str
    evidence: list[EvidenceModel] = Field(min_length=1)
    next: list[str] = []
    culprit: dict[str, str] | None = None
    remedy: TextModel
    remedy_unnamed: TextModel | None = Field(default=None, description="the remedy while the culprit is unknown")
    owner: TextModel

    def value(self) -> Hypothesis:
        scope: ScopeKind = self.scope
        culprit = self.culprit and Culprit(
            kind=self.culprit["kind"],
            fields={k: Expression(v) for k, v in self.culprit.items() if k != "kind"},
        )
        return Hypothesis(
            id=self.hypothesis,
            title=self.title.text(),
            scope=scope,
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
            remedy_unnamed=self.remedy_unnamed.text() if self.remedy_unnamed else None,
            owner=self.owner.text(),
        )


assert set(SCOPE_KINDS) == set(HypothesisModel.model_fields["scope"].annotation.__args__)  # type: ignore[union-attr]
