"""Faults of resolvers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bot.lab.netns.effects import Effects, Rule, loss
from bot.lab.netns.faults.base import FaultModel, Services
from bot.lab.netns.layout import Layout
from bot.lab.netns.values import Ip, Name, Percent, Rate

DNS = "meta l4proto { tcp, udp } th dport 53"


class DnsLimit(FaultModel):
    """The provider limits DNS over UDP for the whole VPC: a token bucket in front of its resolver."""

    kind: Literal["dns_limit"]
    vpc: Name
    rate: Rate
    burst: Annotated[int, Field(ge=1, le=5000)] = 30

    def effects(self, layout: Layout) -> Effects:
        vpc = layout.vpc(self.vpc)
        text = f"iifname != lo ip daddr {vpc.resolver} udp dport 53 limit rate over {self.rate}/second "
        return Effects(rules=[Rule(ns=vpc.ns, chain="input", text=f"{text}burst {self.burst} packets drop")])


class DnsDown(FaultModel):
    """The VPC's resolver says nothing, or its port is closed."""

    kind: Literal["dns_down"]
    vpc: Name
    how: Literal["drop", "reject"] = "drop"

    def effects(self, layout: Layout) -> Effects:
        vpc = layout.vpc(self.vpc)
        start = f"iifname != lo ip daddr {vpc.resolver}"
        if self.how == "drop":
            return Effects(rules=[Rule(ns=vpc.ns, chain="input", text=f"{start} {DNS} drop")])
        closed = (f"{start} udp dport 53 reject", f"{start} tcp dport 53 reject with tcp reset")
        return Effects(rules=[Rule(ns=vpc.ns, chain="input", text=text) for text in closed])


class DnsWrong(FaultModel):
    """The VPC's resolver answers another address for some services' names."""

    kind: Literal["dns_wrong"]
    vpc: Name
    services: Services
    address: Ip = Field(description="what it says; nobody need listen there")

    def effects(self, layout: Layout) -> Effects:
        lies = {layout.site(key).host: self.address for key in self.services}
        return Effects(lies={layout.vpc(self.vpc).name: lies})


class DnsServfail(FaultModel):
    """The VPC's resolver answers, but its upstream refuses to: SERVFAIL for every external name."""

    kind: Literal["dns_servfail"]
    vpc: Name

    def effects(self, layout: Layout) -> Effects:
        return Effects(servfail=[layout.vpc(self.vpc).name])


class CorednsLimit(FaultModel):
    """The cluster DNS is overloaded, for its own names as well: it answers so many a second, or loses a share."""

    kind: Literal["coredns_limit"]
    vpc: Name
    rate: Rate | None = Field(default=None, description="needs traffic to the cluster that exceeds it")
    loss: Percent | None = None

    def effects(self, layout: Layout) -> Effects:
        ns = layout.cluster(self.vpc).ns
        if (self.rate is None) == (self.loss is None):
            raise LookupError("coredns_limit needs either a rate or a loss")
        if self.rate is not None:
            text = f"udp dport 53 limit rate over {self.rate}/second burst 30 packets drop"
            return Effects(rules=[Rule(ns=ns, chain="input", text=f"iifname != lo {text}")])
        return Effects(rules=[Rule(ns=ns, chain="input", text=f"iifname != lo {DNS} {loss(self.loss or 100)}drop")])


class ConntrackRace(FaultModel):
    """A share of the UDP queries to the cluster DNS' service address is lost; a replica asked directly answers.

    In life two packets of one socket race for one entry of the NAT table and the second is dropped.
    """

    kind: Literal["conntrack_race"]
    vpc: Name
    loss: Percent

    def effects(self, layout: Layout) -> Effects:
        place = layout.cluster(self.vpc)
        text = f"iifname != lo ip daddr {place.service} udp dport 53 {loss(self.loss)}drop"
        return Effects(rules=[Rule(ns=place.ns, chain="input", text=text)])
