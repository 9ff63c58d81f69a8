"""The words a scenario is written with: names, hosts, addresses, and models that forbid what they do not know."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _ip(value: str) -> str:
    address = ipaddress.IPv4Address(value)
    if str(address) != value:
        raise ValueError(f"write the address as {address}")
    return value


def _network(value: str) -> str:
    network = ipaddress.IPv4Network(value)
    if network.prefixlen > 22 or network.prefixlen < 8:
        raise ValueError("a VPC's network must be a /8 to a /22")
    return str(network)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
Host = Annotated[str, Field(pattern=r"^[a-z0-9_]([a-z0-9_.-]{0,250}[a-z0-9])?$")]
Ip = Annotated[str, AfterValidator(_ip)]
Network = Annotated[str, AfterValidator(_network)]
Port = Annotated[int, Field(ge=1, le=65535)]
Percent = Annotated[float, Field(gt=0, le=100)]
Rate = Annotated[int, Field(ge=1, le=20_000, description="packets or queries a second")]
Moment = Annotated[float, Field(ge=0, le=60, description="seconds after the command was typed")]


class Strict(BaseModel):
    """Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
