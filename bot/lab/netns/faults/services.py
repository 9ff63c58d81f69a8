"""Faults of services: a vendor's, our own, and their databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from bot.lab.netns.effects import Effects, Rule, loss
from bot.lab.netns.faults.base import FaultModel, Services
from bot.lab.netns.layout import Layout, ServicePlace
from bot.lab.netns.values import Name, Percent

Phase = Literal["host", "tcp", "refuse", "tls", "http", "slow"]
HANG = "hang"


class VendorDown(FaultModel):
    """A service is down for everybody, at one phase: its machine is gone (host), TCP is not answered or refused,
    TLS hangs, HTTP says 5xx, or an answer takes too long (slow).
    """

    kind: Literal["vendor_down"]
    services: Services
    phase: Phase = "http"
    share: Percent = Field(default=100, description="of connections (tcp) or requests (http)")
    status: Annotated[int, Field(ge=500, le=599)] = 503

    def effects(self, layout: Layout) -> Effects:
        places = [layout.site(key) for key in self.services]
        rules = [rule for p in places for a in p.everywhere for rule in _down(p, a, self.phase, self.share)]
        settings = _settings(self.phase, self.share, self.status)
        return Effects(rules=rules, sites={p.key: settings for p in places if settings})


class VendorDownRegion(FaultModel):
    """One regional address of a service is down, for whoever asks it."""

    kind: Literal["vendor_down_region"]
    service: Name
    region: Name
    phase: Phase = "tcp"
    share: Percent = 100
    status: Annotated[int, Field(ge=500, le=599)] = 503

    def effects(self, layout: Layout) -> Effects:
        place = layout.site(self.service)
        address = place.addresses.get(self.region)
        if address is None:
            raise LookupError(f"{self.service} has no address of its own in {self.region}")
        settings = _settings(self.phase, self.share, self.status)
        rules = _down(place, address, self.phase, self.share)
        return Effects(rules=rules, sites={f"{place.key}@{address}": settings} if settings else {})


class Certificate(FaultModel):
    """A service shows a certificate that is expired, of an unknown authority, or another host's."""

    kind: Literal["cert_expired", "cert_untrusted", "cert_wrong_host"]
    services: Services
    region: Name | None = Field(default=None, description="only at that region's address")

    def effects(self, layout: Layout) -> Effects:
        return Effects(sites=_at(layout, self.services, self.region, {"certificate": self.kind.removeprefix("cert_")}))


class Refusal(FaultModel):
    """The vendor refuses our key: its permission was taken away, it is gone, its quota is used up."""

    kind: Literal["permission_revoked", "key_dead", "quota"]
    services: Services

    def effects(self, layout: Layout) -> Effects:
        mode = {"permission_revoked": "denied", "key_dead": "bad_credential", "quota": "quota"}[self.kind]
        return Effects(sites=_at(layout, self.services, None, {"api": mode}))


class Throttled(FaultModel):
    """The vendor throttles our key: a share of its calls is answered RequestLimitExceeded."""

    kind: Literal["throttled"]
    services: Services
    share: Percent = 70

    def effects(self, layout: Layout) -> Effects:
        return Effects(sites=_at(layout, self.services, None, {"api": "throttled", "api_share": self.share}))


class Allowlist(FaultModel):
    """The vendor takes our key from some places only."""

    kind: Literal["allowlist"]
    services: Services
    refuse: Annotated[list[Name], Field(min_length=1, description="VPCs or vantage points it does not take")]

    def effects(self, layout: Layout) -> Effects:
        vpcs = {v.name: v for v in layout.vpcs}
        networks = [vpcs[n].network if n in vpcs else f"{layout.vantage(n).address}/32" for n in self.refuse]
        return Effects(sites=_at(layout, self.services, None, {"refuse": networks}))


class ClockSkew(FaultModel):
    """A clock is wrong: of one vantage point's machine, or of a service."""

    kind: Literal["clock_skew"]
    vantage: Name | None = None
    service: Name | None = None
    minutes: float = 15

    def effects(self, layout: Layout) -> Effects:
        if (self.vantage is None) == (self.service is None):
            raise LookupError("clock_skew needs either a vantage or a service")
        if self.service:
            return Effects(sites=_at(layout, [self.service], None, {"clock_s": self.minutes * 60}))
        name = layout.vantage(self.vantage or "").name
        return Effects(environ={name: {"FAKETIME": f"{self.minutes * 60:+.0f}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}})


class Slow(FaultModel):
    """A service answers, far later than it used to."""

    kind: Literal["slow"]
    services: Services
    phase: Literal["tls", "http"] = "http"
    ms: Annotated[float, Field(gt=0, le=20_000)] = 1500
    region: Name | None = None

    def effects(self, layout: Layout) -> Effects:
        return Effects(sites=_at(layout, self.services, self.region, {f"{self.phase}_delay_ms": self.ms}))


class OwnService(FaultModel):
    """Our own endpoint says 5xx, whatever its dependencies do."""

    kind: Literal["own_service"]
    service: Name
    status: Annotated[int, Field(ge=500, le=599)] = 500
    share: Percent = 100

    def effects(self, layout: Layout) -> Effects:
        settings = {"status": self.status, "status_share": self.share}
        return Effects(sites=_at(layout, [self.service], None, settings))


class ConnectionsExhausted(FaultModel):
    """A database has no connection left for us."""

    kind: Literal["connections_exhausted"]
    services: Services

    def effects(self, layout: Layout) -> Effects:
        return Effects(sites=_at(layout, self.services, None, {"full": True}))


def _at(
    layout: Layout, keys: Sequence[str], region: str | None, settings: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    places = [layout.site(key) for key in keys]
    if region is None:
        return {place.key: settings for place in places}
    missing = [p.key for p in places if region not in p.addresses]
    if missing:
        raise LookupError(f"{missing[0]} has no address of its own in {region}")
    return {f"{place.key}@{place.addresses[region]}": settings for place in places}


def _settings(phase: Phase, share: float, status: int) -> Mapping[str, Any]:
    if phase == "tls":
        return {"tls": HANG}
    if phase == "http":
        return {"status": status, "status_share": share}
    return {"http_delay_ms": 20_000} if phase == "slow" else {}


def _down(place: ServicePlace, address: str, phase: Phase, share: float) -> Sequence[Rule]:
    """The packets that the machine at `address` no longer takes."""
    if phase == "host":
        return [Rule(ns=place.ns, chain="input", text=f"ip daddr {address} {loss(share)}drop")]
    if phase == "tcp":
        new = f"ip daddr {address} tcp dport {place.port} tcp flags & (syn|ack) == syn {loss(share)}drop"
        return [Rule(ns=place.ns, chain="input", text=new)]
    if phase == "refuse":
        text = f"ip daddr {address} tcp dport {place.port} {loss(share)}reject with tcp reset"
        return [Rule(ns=place.ns, chain="input", text=text)]
    return []
