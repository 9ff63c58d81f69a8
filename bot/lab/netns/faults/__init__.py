"""The faults a scenario may name: physical ones, each a model with the effects it has. Never a verdict's id."""

from typing import Annotated

from pydantic import Field

from bot.lab.netns.faults.base import FaultModel
from bot.lab.netns.faults.dns import ConntrackRace, CorednsLimit, DnsDown, DnsLimit, DnsServfail, DnsWrong
from bot.lab.netns.faults.network import Bandwidth, Block, EgressDown, EgressLoss, MtuBlackHole, VantageFaulty
from bot.lab.netns.faults.services import (
    Allowlist,
    Certificate,
    ClockSkew,
    ConnectionsExhausted,
    OwnService,
    Refusal,
    Slow,
    Throttled,
    VendorDown,
    VendorDownRegion,
)

Fault = Annotated[
    DnsLimit
    | DnsDown
    | DnsWrong
    | DnsServfail
    | CorednsLimit
    | ConntrackRace
    | EgressLoss
    | EgressDown
    | Block
    | MtuBlackHole
    | Bandwidth
    | VantageFaulty
    | VendorDown
    | VendorDownRegion
    | Certificate
    | Refusal
    | Throttled
    | Allowlist
    | ClockSkew
    | Slow
    | OwnService
    | ConnectionsExhausted,
    Field(discriminator="kind"),
]

__all__ = ["Fault", "FaultModel"]
