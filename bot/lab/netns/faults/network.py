"""Faults of the network between a vantage point and a service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from bot.lab.netns.effects import Effects, Rule, Tweak, loss
from bot.lab.netns.faults.base import AtRegion, FaultModel
from bot.lab.netns.layout import CORE, DATA, UPLINK, Layout
from bot.lab.netns.values import Ip, Name, Percent, Port

BOTH_WAYS = (f"iifname {UPLINK}", f"oifname {UPLINK}")


class EgressLoss(AtRegion):
    """A share of all packets in and out of a region is lost. The provider's resolvers have ways of their own."""

    kind: Literal["egress_loss"]
    loss: Percent

    def effects(self, layout: Layout) -> Effects:
        return Effects(rules=_egress(self, layout, f"{loss(self.loss)}drop"))


class EgressDown(AtRegion):
    """Nothing gets in or out of a region."""

    kind: Literal["egress_down"]

    def effects(self, layout: Layout) -> Effects:
        return Effects(rules=_egress(self, layout, "drop"))


class Block(AtRegion):
    """A security group or firewall: some sources do not reach some targets."""

    kind: Literal["block"]
    vantages: list[Name] = Field(default=[], description="only these; otherwise the whole region or VPC")
    services: list[Name] = Field(default=[])
    addresses: list[Ip] = Field(default=[], description="further targets")
    port: Port | None = Field(default=None, description="by default the services' own ports; every port of addresses")
    how: Literal["drop", "reject"] = "drop"

    def effects(self, layout: Layout) -> Effects:
        targets = [(a, self.port or layout.site(k).port) for k in self.services for a in layout.site(k).everywhere]
        targets += [(address, self.port or 0) for address in self.addresses]
        if not targets:
            raise LookupError("block needs services or addresses")
        verdict = "drop" if self.how == "drop" else "reject with tcp reset"
        texts = [f"ip daddr {a} " + (f"tcp dport {p} " if p else "meta l4proto tcp ") + verdict for a, p in targets]
        return Effects(rules=[Rule(ns=n, chain=c, text=t) for n, c in self._where(layout) for t in texts])

    def _where(self, layout: Layout) -> Sequence[tuple[str, str]]:
        if self.vantages:
            return [(layout.vantage(name).ns, "output") for name in self.vantages]
        return [(vpc.ns, "forward") for vpc in self.vpcs(layout)]


class MtuBlackHole(AtRegion):
    """A hop towards a region carries small packets only, and the word of it is filtered."""

    kind: Literal["mtu_black_hole"]
    mtu: Annotated[int, Field(ge=600, le=1499)] = 1300

    def effects(self, layout: Layout) -> Effects:
        tweaks, rules = [], []
        silence = "icmp type destination-unreachable icmp code frag-needed drop"
        for vpc in self.vpcs(layout):
            for ns, link in ((CORE, vpc.ns), (vpc.ns, UPLINK)):
                undo = f"link set {link} mtu 1500"
                tweaks.append(Tweak(ns=ns, do=f"link set {link} mtu {self.mtu}", undo=undo))
            rules.append(Rule(ns=vpc.ns, chain="output", text=silence))
        rules.append(Rule(ns=CORE, chain="output", text=silence))
        return Effects(tweaks=tweaks, rules=rules)


class Bandwidth(AtRegion):
    """A link that is too narrow: tbf on the way in."""

    kind: Literal["bandwidth"]
    kbit: Annotated[int, Field(ge=8, le=1_000_000)]

    def effects(self, layout: Layout) -> Effects:
        tweaks = [
            Tweak(
                ns=CORE,
                do=f"qdisc add dev {vpc.ns} root tbf rate {self.kbit}kbit burst 3200 latency 800ms",
                undo=f"qdisc del dev {vpc.ns} root",
                tool="tc",
            )
            for vpc in self.vpcs(layout)
        ]
        return Effects(tweaks=tweaks)


class VantageFaulty(FaultModel):
    """One vantage point is cut off from the network under test; its agent still talks to the hub."""

    kind: Literal["vantage_faulty"]
    vantage: Name
    loss: Percent = 100

    def effects(self, layout: Layout) -> Effects:
        ns = layout.vantage(self.vantage).ns
        text = f"{loss(self.loss)}drop"
        ways = (("input", f"iifname {DATA}"), ("output", f"oifname {DATA}"))
        return Effects(rules=[Rule(ns=ns, chain=chain, text=f"{way} {text}") for chain, way in ways])


def _egress(fault: AtRegion, layout: Layout, text: str) -> Sequence[Rule]:
    return [Rule(ns=vpc.ns, chain="forward", text=f"{way} {text}") for vpc in fault.vpcs(layout) for way in BOTH_WAYS]
