"""Who stands where, once every name has an address: values only. `bot.lab.netns.addresses` makes one of a scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

CORE, WORLD, CONTROL = "core", "world", "ctl"
"""Namespaces every scenario has: the Internet's router, its servers, and the way from agents to the hub."""
UPLINK = "up0"
"""Every router's interface towards the core."""
DATA, WIRE = "eth0", "ctl0"
"""A vantage point's interfaces: to the network under test, and to the hub."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VantagePlace:
    """A namespace with one agent. `resolvers` are its policy's; `log_of` is the VPC whose query log it may read."""

    name: str
    kind: str
    region: str
    env: str
    vpc: str
    cluster: str
    ns: str
    address: str
    control: str
    resolvers: Mapping[str, str]
    kinds: tuple[str, ...] | None = None
    log_of: str = ""
    capture: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterPlace:
    """The cluster DNS: one service address and one address for each replica, in one namespace."""

    name: str
    ns: str
    service: str
    pods: tuple[str, ...]
    nodes: int
    names: Mapping[str, str]
    loaded: bool = False
    """Whether others than the pods ask it as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VpcPlace:
    """A router namespace with the VPC's resolver in it, and a namespace for the VPC's other machines.

    `uplink` is the router's own address on the way out, from which its resolver asks the Internet.
    """

    name: str
    region: str
    env: str
    ns: str
    hosts_ns: str
    network: str
    gateway: str
    resolver: str
    uplink: str
    uplink_peer: str
    names: Mapping[str, str]
    machines: tuple[str, ...]
    """Addresses in `hosts_ns`: servers and sources of traffic."""
    vantages: tuple[VantagePlace, ...]
    cluster: ClusterPlace | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServicePlace:
    """A service. `addresses` maps a region, or "" for everybody else, to where it is served."""

    key: str
    host: str
    kind: str
    own: bool
    port: int
    addresses: Mapping[str, str]
    ns: str
    private_name: bool = False
    flaky: float = 0
    """Percent of connections it refuses, always."""

    @property
    def everywhere(self) -> Sequence[str]:
        """All its addresses."""
        return list(dict.fromkeys(self.addresses.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The whole world of one scenario. Controls are services of kind "web" here."""

    vpcs: tuple[VpcPlace, ...]
    outside: tuple[VantagePlace, ...]
    services: Mapping[str, ServicePlace]
    controls: Mapping[str, ServicePlace]
    public: str
    isp: str
    authority: str
    hub: str
    regions: tuple[str, ...] = field(default=())

    def vpc(self, name: str) -> VpcPlace:
        """By name. Raises LookupError, which says what there is."""
        return _find(name, {v.name: v for v in self.vpcs}, "VPC")

    def cluster(self, vpc: str) -> ClusterPlace:
        """The cluster of a VPC. Raises LookupError."""
        found = self.vpc(vpc).cluster
        if found is None:
            raise LookupError(f"VPC {vpc} has no cluster")
        return found

    def vantage(self, name: str) -> VantagePlace:
        """By name. Raises LookupError."""
        return _find(name, {v.name: v for v in self.vantages()}, "vantage point")

    def site(self, key: str) -> ServicePlace:
        """A service by key, or a control by host. Raises LookupError."""
        return _find(key, {**self.services, **self.controls}, "service or control")

    def vantages(self) -> Iterator[VantagePlace]:
        """Every place with an agent, in the order of the file."""
        for vpc in self.vpcs:
            yield from vpc.vantages
        yield from self.outside

    def within(self, *, region: str = "", vpc: str = "") -> Sequence[VpcPlace]:
        """The VPCs of a region, or the one that is named. Raises LookupError when there are none."""
        if vpc:
            return [self.vpc(vpc)]
        if region not in self.regions:
            raise LookupError(f"region {region!r} is not in the scenario ({', '.join(self.regions)})")
        return [v for v in self.vpcs if v.region == region]


def _find(name: str, known: Mapping[str, T], what: str) -> T:
    if name not in known:
        raise LookupError(f"{what} {name!r} is not in the scenario ({', '.join(known) or 'there is none'})")
    return known[name]
