"""The lines under `probe:` and `then:` as strict models: one probe kind each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from bot.diagnosis.worth import KINDS
from bot.domain.playbook import Step
from bot.yamlfile.words import Listed, Names, Seconds, Strict, Written, YesNo, in_seconds

LATER = tuple(KINDS)
"""Kinds that are asked only when a leading hypothesis wants them."""
WholeSeconds = Annotated[int, BeforeValidator(in_seconds, json_schema_input_type=Written)]


class _Step(Strict):
    from_: Names = Field(
        default=[], alias="from", description="only from these regions, vantage points, environments, VPCs or agents"
    )


class DnsStep(_Step):
    """Resolve a target's name."""

    of: Names = Field(description="which targets' names")
    via: Annotated[list[Literal["host", "vpc", "public"]], Listed()] = Field(
        default=["host", "vpc", "public"], description="through which resolvers"
    )
    tries: Annotated[int, Field(ge=1, le=100)] = 20
    within: Seconds = Field(default=5.0, description="the tries take at most so long; a VPC's DNS budget goes first")


class HttpStep(_Step):
    """Fetch a target, by name and pinned to an address learned elsewhere."""

    to: Names
    also: Annotated[list[Literal["pinned"]], Listed()] = ["pinned"]
    path: str = "/"
    method: Literal["GET", "HEAD"] = "GET"
    expect_status: list[int] = []
    tries: Annotated[int, Field(ge=1, le=20)] = 4


class TcpStep(_Step):
    """Connect to other ports of the target's address: tells a firewall from an outage."""

    to: Names
    ports: Annotated[list[int], Listed()]
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
    signed: Annotated[list[YesNo], Listed()] = [False, True]
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


class MtuStep(_Step):
    """How large a packet reaches the target, and whether larger ones vanish."""

    to: Names


class TraceStep(_Step):
    """The routers on the way to the target."""

    to: Names
    proto: Literal["auto", "icmp", "udp", "tcp"] = "tcp"


class CorednsStep(_Step):
    """CoreDNS from inside: replicas, pods asked one by one, rates."""

    seconds: Annotated[WholeSeconds, Field(ge=1, le=10)] = 2
    pods: list[str] = Field(default=[], description="addresses of CoreDNS pods where the Kubernetes API is not allowed")
    login: str = ""


class ChangesStep(_Step):
    """What was deployed or permitted lately: CloudAudit and Kubernetes roll-outs."""

    within: Annotated[float, BeforeValidator(in_seconds, json_schema_input_type=Written), Field(ge=3600, le=604800)] = (
        86400.0
    )
    sources: Annotated[list[Literal["kubernetes", "cloudaudit"]], Listed()] = ["kubernetes", "cloudaudit"]
    login: str = ""


class StatusPageStep(_Step):
    """The vendor's own word."""

    url: str = Field(pattern=r"^https?://")
    match: Annotated[list[str], Listed()] = []


class DnsTopStep(_Step):
    """Who asks the resolver most: a capture or a query log of an agent that may read one."""

    seconds: Annotated[float, BeforeValidator(in_seconds, json_schema_input_type=Written), Field(ge=1, le=15)] = 3.0
    source: Literal["auto", "capture", "query_log"] = "auto"


class ProbeLine(Strict):
    """One line under `probe:` or `then:`; exactly one kind each."""

    dns: DnsStep | None = None
    http: HttpStep | None = None
    tcp: TcpStep | None = None
    ping: PingStep | None = None
    api: ApiStep | None = None
    object_store: ObjectStoreStep | None = None
    mysql: DatabaseStep | None = None
    redis: DatabaseStep | None = None
    postgres: DatabaseStep | None = None
    dns_top: DnsTopStep | None = None
    mtu: MtuStep | None = None
    trace: TraceStep | None = None
    coredns: CorednsStep | None = None
    changes: ChangesStep | None = None
    status_page: StatusPageStep | None = None

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


def at_once(line: ProbeLine) -> ProbeLine:
    """A line under `probe:`. Raises ValueError."""
    if line.step().kind in LATER:
        raise ValueError(f"{line.step().kind} is asked under then:, when a leading hypothesis wants it")
    return line


def later(line: ProbeLine) -> ProbeLine:
    """A line under `then:`. Raises ValueError."""
    if line.step().kind not in LATER:
        raise ValueError(f"under then: stand {', '.join(LATER)}; {line.step().kind} belongs under probe:")
    return line
