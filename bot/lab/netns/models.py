"""A scenario file as strict models. Docs: docs/lab.md; JSON Schema: `warroom lab schema`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bot.lab.netns.faults import Fault
from bot.lab.netns.values import Host, Ip, Moment, Name, Network, Port, Rate, Strict

DATABASES = {"mysql": 3306, "redis": 6379, "postgres": 5432}


class VantageModel(Strict):
    """A place with an agent."""

    kind: Name = "vm"
    name: Name | Literal[""] = Field(default="", description="the agent's name; by default REGION-KIND or VPC-KIND")
    address: Ip | None = None
    env: Name | Literal[""] = Field(default="", description="by default its VPC's")
    kinds: list[str] | None = Field(default=None, description="the only kinds of probe its policy permits")
    query_log: bool = Field(default=True, description="a vm reads its VPC resolver's query log")
    capture: bool = Field(default=False, description="its policy allows it to capture the queries it sees")


class ClusterModel(Strict):
    """A Kubernetes cluster, as far as its DNS goes. `pod` vantage points of the VPC are in it."""

    name: Name
    replicas: Annotated[int, Field(ge=1, le=20)] = 2
    nodes: Annotated[int, Field(ge=1, le=20_000)] = 10
    service: Ip | None = Field(default=None, description="the cluster DNS' ClusterIP")
    names: dict[Host, Ip] = Field(default={}, description="further names the cluster DNS serves by itself")


class VpcModel(Strict):
    """A network with its own resolver."""

    env: Name = "prod"
    network: Network | None = None
    resolver: Ip | None = Field(default=None, description="several VPCs may have the same, as clouds do")
    vantages: list[VantageModel] = Field(default=[])
    cluster: ClusterModel | None = None
    names: dict[Host, Ip] = Field(default={}, description="names that only this VPC's resolver knows")


class RegionModel(Strict):
    """A cloud region."""

    vpcs: dict[Name, VpcModel] = Field(min_length=1)


class OutsideModel(Strict):
    """A place outside the cloud; its resolver is an Internet provider's."""

    name: Name
    region: Name
    kind: Name = "outside"
    env: Name = "prod"
    address: Ip | None = None
    kinds: list[str] | None = None


class ApiModel(Strict):
    """A read-only action the service knows and answers."""

    service: Name = "sms"
    action: Name = "DescribeSmsSignList"
    version: Name = "2021-01-11"
    region: Name | Literal[""] = "ap-guangzhou"
    payload: dict[str, Any] = Field(default={"International": 0, "SignIdSet": []})
    result: dict[str, Any] = Field(default={"DescribeSignListStatusSet": []})


class ServiceModel(Strict):
    """Something that may break: a vendor's API or bucket, an ordinary site, a database, an endpoint of our own."""

    host: Host
    kind: Literal["tencent_api", "cos", "web", "mysql", "redis", "postgres"] = "web"
    own: bool = Field(default=False, description="ours: its failures are our code's where its dependencies work")
    target: bool = Field(default=True, description="the generated playbook asks about it")
    port: Port | None = None
    address: Ip | dict[Name, Ip] | None = Field(
        default=None, description="one address, or one per region: a region's resolvers say their own, others the first"
    )
    vpc: Name | Literal[""] = Field(default="", description="it stands in this VPC instead of the Internet")
    private_name: bool = Field(default=False, description="only the resolver of its VPC knows its name")
    api: ApiModel = ApiModel()
    path: str = Field(default="/", description="what an HTTP probe fetches")
    connections: Annotated[int, Field(ge=1, le=10_000)] = Field(default=100, description="a database's limit")
    delay_ms: Annotated[float, Field(ge=0, le=5_000)] = Field(default=0, description="how long it always thinks")

    @property
    def listens(self) -> int:
        """The port it serves."""
        return self.port or DATABASES.get(self.kind, 443)

    @property
    def url(self) -> str:
        """How a playbook names it."""
        scheme = self.kind if self.kind in DATABASES else "https"
        usual = DATABASES.get(self.kind, 443)
        return f"{scheme}://{self.host}" + ("" if self.listens == usual else f":{self.listens}")


class ControlModel(Strict):
    """A site nobody suspects. A flaky one refuses some connections and has nothing to do with the fault."""

    host: Host
    address: Ip | None = None
    flaky: Annotated[float, Field(ge=0, le=100)] = Field(default=0, description="percent of connections it refuses")


class InternetModel(Strict):
    """The resolvers of the world."""

    public: Ip | None = None
    isp: Ip | None = None
    ttl_s: Annotated[int, Field(ge=0, le=86_400)] = Field(default=5, description="of every public record")


class TrafficModel(Strict):
    """Background load: distinct external names asked at a steady rate."""

    vpc: Name
    to: Literal["resolver", "cluster"] = "resolver"
    rate: Rate
    address: Ip | None = Field(default=None, description="who asks; a culprit if the limit is hit")
    start: Moment = 0
    end: Moment | None = None


class MissingModel(Strict):
    """A vantage point that does not answer as it should."""

    vantage: Name
    how: Literal["never", "killed", "frozen", "slow", "disconnected"] = Field(
        default="never",
        description="not started; killed or stopped by a signal; stopped half of the time; cut off from the hub",
    )
    after: Moment = Field(default=0, description="seconds after the command; 0 is just before it")


class ChangeModel(Strict):
    """A deploy or another change that the bot is told of."""

    kind: Literal["deploy", "permission", "config", "other"] = "deploy"
    title: str
    minutes_ago: Annotated[float, Field(ge=0, le=100_000)] = 10
    service: str = ""
    env: str = ""
    who: str = ""


class HistoryModel(Strict):
    """An earlier incident, kept in what is recorded for tools that look at the past."""

    title: str
    days_ago: Annotated[float, Field(ge=0, le=10_000)] = 30
    verdict: list[Name] = Field(default=[])


class ExpectModel(Strict):
    """What is right."""

    verdict: list[Name] = Field(min_length=1, max_length=2, description="one id, or two for two faults")
    culprit: dict[str, Any] = Field(default={}, description="keys the culprit must have; qps within 40 %")
    never: list[Name] = Field(default=[], description="verdicts that would be harmful")


class ScenarioModel(Strict):
    """One night."""

    scenario: Name
    about: str
    regions: dict[Name, RegionModel] = Field(min_length=1)
    outside: list[OutsideModel] = Field(default=[])
    services: dict[Name, ServiceModel] = Field(min_length=1)
    controls: list[ControlModel] = Field(default=[], description="sites that must work if we are not cut off")
    internet: InternetModel = InternetModel()
    playbook: str | dict[str, Any] | None = Field(
        default=None, description="a shipped playbook's name, a playbook, or nothing: one is made from the services"
    )
    expected_vantages: bool = Field(default=True, description="the generated playbook expects every vantage point")
    faults: list[Fault] = Field(default=[])
    traffic: list[TrafficModel] = Field(default=[])
    missing: list[MissingModel] = Field(default=[])
    history: list[HistoryModel] = Field(default=[])
    changes: list[ChangeModel] = Field(default=[])
    command: str = Field(default="", description="by default /diag and the playbook's name")
    rehearse: bool = Field(
        default=False,
        description="the command is typed once before the faults begin: that shows what normal looks like",
    )
    expect: ExpectModel

    @property
    def vpcs(self) -> Iterator[tuple[str, str, VpcModel]]:
        """(region, name, VPC), in the order of the file."""
        for region, inside in self.regions.items():
            for name, vpc in inside.vpcs.items():
                yield region, name, vpc

    @model_validator(mode="after")
    def _known(self) -> ScenarioModel:
        vpcs = {name: vpc for _, name, vpc in self.vpcs}
        if len(vpcs) != sum(1 for _ in self.vpcs):
            raise ValueError("a VPC's name must be unique over all regions")
        for service in self.services.values():
            _must(service.vpc, vpcs, "vpc", allow_empty=True)
            if service.private_name and not service.vpc:
                raise ValueError(f"{service.host}: private_name needs a vpc")
            if service.vpc and isinstance(service.address, dict):
                raise ValueError(f"{service.host}: a service in a VPC has one address")
        for traffic in self.traffic:
            _must(traffic.vpc, vpcs, "vpc")
            if traffic.to == "cluster" and vpcs[traffic.vpc].cluster is None:
                raise ValueError(f"traffic to the cluster DNS of {traffic.vpc}, which has no cluster")
        for vpc in vpcs.values():
            if vpc.cluster is None and any(v.kind == "pod" for v in vpc.vantages):
                raise ValueError("a VPC with a pod needs a cluster")
        return self


def _must(name: str, known: Mapping[str, Any], what: str, *, allow_empty: bool = False) -> None:
    if name not in known and not (allow_empty and not name):
        raise ValueError(f"{what} {name!r} is not in the scenario ({', '.join(known)})")
