"""A scenario's names get addresses where it gives none: scenario in, layout out. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from bot.lab.netns.layout import WORLD, ClusterPlace, Layout, ServicePlace, VantagePlace, VpcPlace
from bot.lab.netns.models import ScenarioModel, ServiceModel, VantageModel, VpcModel

PUBLIC_RESOLVER, ISP_RESOLVER, AUTHORITY = "198.51.100.53", "198.51.100.54", "192.0.2.53"
SERVICES, OUTSIDE = "203.0.113.", "192.0.2."
"""Documentation blocks (RFC 5737): they look public, and nobody is there."""
HUB = "100.127.0.1"
"""Carrier-grade NAT space (RFC 6598), for links and for the way to the hub: no scenario's VPC should be there."""
CLUSTER_NAMES = ("kubernetes.default.svc.cluster.local", "kube-dns.kube-system.svc.cluster.local")


class AddressError(ValueError):
    """Two things at one address, or one that does not fit; the message says which."""


def lay_out(scenario: ScenarioModel) -> Layout:
    """Addresses for everything. Raises AddressError."""
    free = _Free(scenario)
    control = (f"100.127.{n // 250}.{n % 250 + 2}" for n in range(1000))
    public = scenario.internet.public or PUBLIC_RESOLVER
    isp = scenario.internet.isp or ISP_RESOLVER
    services = _services(scenario, free)
    vpcs = tuple(
        _vpc(scenario, n, region, name, vpc, control=control, public=public, services=services)
        for n, (region, name, vpc) in enumerate(scenario.vpcs)
    )
    outside = tuple(
        VantagePlace(
            name=place.name,
            kind=place.kind,
            region=place.region,
            env=place.env,
            vpc="",
            cluster="",
            ns=f"o{n}",
            address=place.address or free.next(OUTSIDE, 100),
            control=next(control),
            resolvers={"host": isp, "public": public},
            kinds=tuple(place.kinds) if place.kinds is not None else None,
        )
        for n, place in enumerate(scenario.outside)
    )
    controls = {
        c.host: ServicePlace(
            key=c.host,
            host=c.host,
            kind="web",
            own=False,
            port=443,
            addresses={"": c.address or free.next(SERVICES, 200)},
            ns=WORLD,
            flaky=c.flaky,
        )
        for c in scenario.controls
    }
    found = Layout(
        vpcs=vpcs,
        outside=outside,
        services=services,
        controls=controls,
        public=public,
        isp=isp,
        authority=AUTHORITY,
        hub=HUB,
        regions=tuple(scenario.regions),
    )
    _check(found)
    return found


def source(scenario: ScenarioModel, number: int) -> str:
    """Who sends the traffic of this number: an address of its VPC."""
    traffic = scenario.traffic[number]
    n = next(i for i, (_, name, _) in enumerate(scenario.vpcs) if name == traffic.vpc)
    return traffic.address or _in(_network(scenario, n), 0, 200 + number)


class _Free:
    """Hands out addresses of a block that the scenario itself does not use."""

    def __init__(self, scenario: ScenarioModel) -> None:
        self._taken = {str(a) for a in _written(scenario.model_dump())} | {PUBLIC_RESOLVER, ISP_RESOLVER, AUTHORITY}

    def next(self, block: str, first: int) -> str:
        for n in range(first, 255):
            address = f"{block}{n}"
            if address not in self._taken:
                self._taken.add(address)
                return address
        raise AddressError(f"no address is left in {block}0/24; name some in the scenario")


def _written(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _written(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _written(item)
    else:
        yield value


def _services(scenario: ScenarioModel, free: _Free) -> dict[str, ServicePlace]:
    hosts = {name: f"h{n}" for n, (_, name, _) in enumerate(scenario.vpcs)}
    in_vpc = dict.fromkeys(hosts, 0)
    found = {}
    for key, service in scenario.services.items():
        if service.vpc:
            in_vpc[service.vpc] += 1
            n = next(i for i, (_, name, _) in enumerate(scenario.vpcs) if name == service.vpc)
            given = service.address if isinstance(service.address, str) else ""
            addresses = {"": given or _in(_network(scenario, n), 3, in_vpc[service.vpc])}
        else:
            addresses = _public(service, free)
        found[key] = ServicePlace(
            key=key,
            host=service.host,
            kind=service.kind,
            own=service.own,
            port=service.listens,
            addresses=addresses,
            ns=hosts[service.vpc] if service.vpc else WORLD,
            private_name=service.private_name,
        )
    return found


def _public(service: ServiceModel, free: _Free) -> dict[str, str]:
    if isinstance(service.address, dict):
        return {"": next(iter(service.address.values())), **service.address}
    return {"": service.address or free.next(SERVICES, 10)}


def _network(scenario: ScenarioModel, n: int) -> ipaddress.IPv4Network:
    given = [vpc.network for _, _, vpc in scenario.vpcs][n]
    return ipaddress.IPv4Network(given or f"10.{20 + n}.0.0/16")


def _in(network: ipaddress.IPv4Network, third: int, last: int) -> str:
    """The address `third`.`last` of a network; small ones have four thirds."""
    return str(network.network_address + (third % (network.num_addresses // 256)) * 256 + last)


def _vpc(
    scenario: ScenarioModel,
    n: int,
    region: str,
    name: str,
    vpc: VpcModel,
    *,
    control: Iterator[str],
    public: str,
    services: Mapping[str, ServicePlace],
) -> VpcPlace:
    network = _network(scenario, n)
    resolver = vpc.resolver or _in(network, 0, 2)
    loaded = any(t.vpc == name and t.to == "cluster" for t in scenario.traffic)
    cluster = _cluster(n, vpc, network, loaded=loaded)
    asking = [source(scenario, i) for i, t in enumerate(scenario.traffic) if t.vpc == name]
    serving = [s.addresses[""] for s in services.values() if s.ns == f"h{n}"]
    private = {s.host: s.addresses[""] for s in services.values() if s.ns == f"h{n}" and s.private_name}
    vantages = []
    for k, place in enumerate(vpc.vantages):
        in_cluster = place.kind == "pod" and cluster is not None
        host = cluster.service if in_cluster and cluster else resolver
        vantages.append(
            VantagePlace(
                name=place.name or _name(scenario, region, name, place),
                kind=place.kind,
                region=region,
                env=place.env or vpc.env,
                vpc=name,
                cluster=cluster.name if in_cluster and cluster else "",
                ns=f"a{n}x{k}",
                address=place.address or _in(network, 2, 10 + k),
                control=next(control),
                resolvers={"host": host, "vpc": resolver, "public": public},
                kinds=tuple(place.kinds) if place.kinds is not None else None,
                log_of=name if place.query_log and not in_cluster else "",
                capture=place.capture,
            )
        )
    return VpcPlace(
        name=name,
        region=region,
        env=vpc.env,
        ns=f"v{n}",
        hosts_ns=f"h{n}",
        network=str(network),
        gateway=_in(network, 0, 1),
        resolver=resolver,
        uplink=f"100.64.{n}.2",
        uplink_peer=f"100.64.{n}.1",
        names={**vpc.names, **private},
        machines=tuple(dict.fromkeys([*serving, *asking])),
        vantages=tuple(vantages),
        cluster=cluster,
    )


def _name(scenario: ScenarioModel, region: str, vpc: str, place: VantageModel) -> str:
    """REGION-KIND where that is unique, VPC-KIND otherwise."""
    same = sum(1 for _, v in scenario.regions[region].vpcs.items() for p in v.vantages if p.kind == place.kind)
    return f"{region}-{place.kind}" if same == 1 else f"{vpc}-{place.kind}"


def _cluster(n: int, vpc: VpcModel, network: ipaddress.IPv4Network, *, loaded: bool) -> ClusterPlace | None:
    if vpc.cluster is None:
        return None
    service = vpc.cluster.service or _in(network, 0, 10)
    names = {CLUSTER_NAMES[0]: _in(network, 0, 9), CLUSTER_NAMES[1]: service, **vpc.cluster.names}
    pods = tuple(_in(network, 1, 2 + i) for i in range(vpc.cluster.replicas))
    return ClusterPlace(
        name=vpc.cluster.name,
        ns=f"k{n}",
        service=service,
        pods=pods,
        nodes=vpc.cluster.nodes,
        names=names,
        loaded=loaded,
    )


def _check(layout: Layout) -> None:
    names = [v.name for v in layout.vantages()]
    for name in names:
        if names.count(name) > 1:
            raise AddressError(f"two vantage points are called {name}; give one of them a name:")
    seen: dict[str, str] = {}
    for owner, address in _claims(layout):
        if seen.setdefault(address, owner) != owner:
            raise AddressError(f"{owner} and {seen[address]} are both at {address}")


def _claims(layout: Layout) -> Iterator[tuple[str, str]]:
    yield "the public resolver", layout.public
    yield "the ISP's resolver", layout.isp
    yield "the authority", layout.authority
    for place in (*layout.services.values(), *layout.controls.values()):
        # one host may offer several things at one address, on different ports
        yield from ((f"{place.host}:{place.port}", f"{a}:{place.port}") for a in place.everywhere)
    for vantage in layout.vantages():
        yield vantage.name, vantage.address
    for vpc in layout.vpcs:
        yield f"the gateway of {vpc.name}", vpc.gateway
        if vpc.cluster:
            yield f"the cluster DNS of {vpc.name}", vpc.cluster.service
