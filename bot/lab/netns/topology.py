"""The namespaces, cables, addresses and routes of a layout, as lines for `ip -batch`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.lab.netns.effects import Rule, loss
from bot.lab.netns.layout import CONTROL, CORE, DATA, UPLINK, WIRE, WORLD, Layout, VantagePlace, VpcPlace

WORLD_UPLINK, WORLD_PEER = "100.65.0.2", "100.65.0.1"
CORE_GATEWAY = "100.66.0.1"
"""What outside vantage points route through."""
FORWARDING = {"net.ipv4.ip_forward": "1"}
EVERYWHERE = {
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv4.icmp_ratelimit": "0",
}
"""A fresh namespace lets nobody ping (`1 0`), and rations the ICMP errors that tests count on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cable:
    """A veth pair between two namespaces."""

    a: str
    a_name: str
    b: str
    b_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Wiring:
    """Short namespace names here; the executor puts a run's prefix in front.

    `lines` are lines of `ip -batch` inside a namespace, `rules` packet rules that are there from the start.
    """

    namespaces: Sequence[str]
    cables: Sequence[Cable]
    lines: Mapping[str, Sequence[str]]
    sysctls: Mapping[str, Mapping[str, str]]
    rules: Sequence[Rule]


def wire(layout: Layout) -> Wiring:
    """How to build it."""
    build = _Build()
    build.router(CORE)
    build.host(WORLD)
    build.host(CONTROL)
    build.link(CORE, "world", WORLD_PEER, WORLD, UPLINK, WORLD_UPLINK)
    build.add(WORLD, f"route add default via {WORLD_PEER}")
    for address in _world(layout):
        build.add(WORLD, f"addr add {address}/32 dev lo")
        build.add(CORE, f"route add {address}/32 via {WORLD_UPLINK}")
    for vpc in layout.vpcs:
        _vpc(build, vpc)
    for place in layout.outside:
        build.leaf(CORE, place.ns, place.ns, place.address, CORE_GATEWAY)
    for place in layout.vantages():
        _control(build, place, layout.hub)
    return Wiring(
        namespaces=build.namespaces,
        cables=build.cables,
        lines=build.lines,
        sysctls=build.sysctls,
        rules=[*_counters(layout), *_flaky(layout)],
    )


class _Build:
    def __init__(self) -> None:
        self.namespaces: list[str] = []
        self.cables: list[Cable] = []
        self.lines: dict[str, list[str]] = {}
        self.sysctls: dict[str, dict[str, str]] = {}

    def host(self, ns: str) -> None:
        self.namespaces.append(ns)
        self.lines[ns] = ["link set lo up"]
        self.sysctls[ns] = dict(EVERYWHERE)

    def router(self, ns: str) -> None:
        self.host(ns)
        self.sysctls[ns] |= FORWARDING

    def add(self, ns: str, line: str) -> None:
        self.lines[ns].append(line)

    def link(self, a: str, a_name: str, a_address: str, b: str, b_name: str, b_address: str) -> None:
        """A cable with one address at each end and nothing else on it."""
        self.cables.append(Cable(a=a, a_name=a_name, b=b, b_name=b_name))
        for ns, name, own, peer in ((a, a_name, a_address, b_address), (b, b_name, b_address, a_address)):
            self.lines[ns] += [
                f"addr add {own}/32 dev {name}",
                f"link set {name} up",
                f"route add {peer}/32 dev {name}",
            ]

    def leaf(self, router: str, port: str, ns: str, address: str, gateway: str, more: Sequence[str] = ()) -> None:
        """A machine behind a router: its first address is the one it speaks with."""
        self.host(ns)
        self.link(router, port, gateway, ns, DATA, address)
        self.add(ns, f"route add default via {gateway} src {address}")
        for other in more:
            self.add(ns, f"addr add {other}/32 dev {DATA}")
            self.add(router, f"route add {other}/32 dev {port}")


def _world(layout: Layout) -> Iterator[str]:
    addresses = [layout.public, layout.isp, layout.authority]
    for place in (*layout.services.values(), *layout.controls.values()):
        if place.ns == WORLD:
            addresses += place.everywhere
    yield from dict.fromkeys(addresses)


def _vpc(build: _Build, vpc: VpcPlace) -> None:
    build.router(vpc.ns)
    build.link(CORE, vpc.ns, vpc.uplink_peer, vpc.ns, UPLINK, vpc.uplink)
    build.add(CORE, f"route add {vpc.network} via {vpc.uplink}")
    build.add(vpc.ns, f"route add default via {vpc.uplink_peer}")
    build.add(vpc.ns, f"addr add {vpc.resolver}/32 dev lo")
    # what the VPC has not got is not looked for in the core, which would send it back
    build.add(vpc.ns, f"route add unreachable {vpc.network} metric 4000")
    if vpc.machines:
        build.leaf(vpc.ns, "hosts", vpc.hosts_ns, vpc.machines[0], vpc.gateway, vpc.machines[1:])
    if vpc.cluster:
        first, *others = vpc.cluster.pods
        build.leaf(vpc.ns, "cluster", vpc.cluster.ns, first, vpc.gateway, [*others, vpc.cluster.service])
    for n, place in enumerate(vpc.vantages):
        build.leaf(vpc.ns, f"p{n}", place.ns, place.address, vpc.gateway)


def _control(build: _Build, place: VantagePlace, hub: str) -> None:
    """The way to the hub: a cable of its own, which no fault of the data network touches."""
    build.link(CONTROL, place.ns, hub, place.ns, WIRE, place.control)


def _counters(layout: Layout) -> Iterator[Rule]:
    """How many queries the agents cause at each VPC resolver. Pods ask it through the cluster DNS, which is counted
    unless other machines load it as well.
    """
    for vpc in layout.vpcs:
        relays = vpc.cluster.pods if vpc.cluster and not vpc.cluster.loaded else ()
        asking = [*(v.address for v in vpc.vantages), *relays]
        if asking:
            text = f"ip saddr {{ {', '.join(asking)} }} udp dport 53 counter"
            yield Rule(ns=vpc.ns, chain="input", text=text)


def _flaky(layout: Layout) -> Iterator[Rule]:
    """Sites that always refuse some connections."""
    for place in layout.controls.values():
        if place.flaky:
            new = f"ip daddr {place.addresses['']} tcp flags & (syn|ack) == syn"
            yield Rule(ns=place.ns, chain="input", text=f"{new} {loss(place.flaky)}reject with tcp reset")
