"""`mtu`: the largest packet that passes, and whether larger ones vanish without a word (a black hole)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from bot.domain.failure import Failure, FaultOf, Phase
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Probe, ProbeContext, failed
from bot.probes.classify import CAUGHT, classify
from bot.probes.net import mtu_tcp
from bot.probes.net.echo import MAX_PAYLOAD, leave
from bot.probes.net.mtu_echo import Sweep
from bot.probes.net.mtu_found import Bounds, Found
from bot.probes.params import Place, Reader
from bot.probes.resolving import names

LEAST_V4, LEAST_V6 = 576, 1280
"""What every host must take (RFC 791) and every link must carry (RFC 8200 5)."""
USUAL = 1500
"""Searched up to this unless `high` says more: TCP peers seldom agree on larger segments."""
_UNANSWERED = {Failure.TCP_TIMEOUT, Failure.TCP_REFUSED, Failure.TCP_RESET}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters, read; sizes in bytes of whole IP packets."""

    place: Place
    port: int
    port_given: bool
    method: str
    low: int
    high: int
    timeout_s: float


def prepare(params: Mapping[str, Json]) -> Probe:
    """Search between `low` and `high` by echoes with DF; by TCP at `port` where echoes are filtered or not permitted.

    timings_ms: dns (by name only), rtt. detail: path_mtu (the largest that was seen to pass), local_mtu (echoes only),
    low_bytes, high_bytes, capped (path_mtu is `high`: larger ones were not tried), black_hole (null where nothing can
    be said), reported_by (the router that said "too big"), method (icmp, icmp_raw, tcp), tries (packets, or TCP
    connections), lacking, reason. Without leave to send echoes, a port that nobody named and that does not answer is
    `not_permitted`: it says nothing of the target.
    """
    read = Reader(params)
    largest = MAX_PAYLOAD + 28
    wanted = Plan(
        place=read.place(),
        port=read.port(default=443),
        port_given=read.given("port"),
        method=read.choice("method", ("auto", "icmp", "tcp"), "auto"),
        low=read.integer("low", LEAST_V4, low=128, high=largest),
        high=read.integer("high", USUAL, low=128, high=largest),
        timeout_s=read.seconds("timeout_ms", 1000),
    )
    read.done()
    if wanted.low >= wanted.high:
        raise BadParams("low must be less than high")
    return partial(_run, wanted)


async def _run(wanted: Plan, ctx: ProbeContext) -> Outcome:
    return await names.at(wanted.place, ctx, wanted.timeout_s, lambda address: _measure(address, wanted, ctx))


async def _measure(address: str, wanted: Plan, ctx: ProbeContext) -> Outcome:
    low = max(wanted.low, LEAST_V6) if ":" in address else wanted.low
    bounds = Bounds(low=min(low, wanted.high - 1), high=wanted.high)
    shown: dict[str, Json] = {"address": address, "low_bytes": bounds.low, "high_bytes": bounds.high}
    found, lacking = None, ""
    if wanted.method != "tcp":
        may = leave(address, ctx)
        if may.lacking:
            shown["lacking"], lacking = list(may.lacking), "; ".join(may.lacking)
        if may.method is not None:
            found = await _by_echo(address, may.method, bounds, ctx, wanted.timeout_s)
            shown["method"] = may.method
        elif wanted.method == "icmp":
            return failed(Failure.NOT_PERMITTED, reason=lacking, **shown)
    if found is None or (found.failure is Failure.PING_TIMEOUT and wanted.method == "auto"):
        shown |= {"method": "tcp", "port": wanted.port}
        by_tcp = await mtu_tcp.search(address, wanted.port, bounds, ctx, wanted.timeout_s)
        if by_tcp.failure in _UNANSWERED:
            by_tcp = _silent(by_tcp, found, wanted, lacking)
        found = replace(by_tcp, tries=by_tcp.tries + (found.tries if found else 0))
    return _outcome(found, shown)


def _silent(by_tcp: Found, by_echo: Found | None, wanted: Plan, lacking: str) -> Found:
    """No answer by TCP either, seen together with why there was none by echoes."""
    if by_echo is not None:
        both = f"{by_echo.reason}; tcp: {by_tcp.failure}"
        return replace(by_tcp, failure=Failure.PING_TIMEOUT, reason=both)
    if lacking and not wanted.port_given:
        # Nobody said that the target listens there: it is us who could not measure.
        why = f"{lacking}; tcp at port {wanted.port}: {by_tcp.failure}"
        return replace(by_tcp, failure=Failure.NOT_PERMITTED, fault=FaultOf.AGENT, reason=why)
    return by_tcp


async def _by_echo(address: str, method: str, bounds: Bounds, ctx: ProbeContext, timeout_s: float) -> Found:
    try:
        return await Sweep(address, method, bounds, ctx, timeout_s).run()
    except CAUGHT as exc:
        why = classify(exc, Phase.ICMP)
        return Found(failure=why.failure, fault=why.fault, reason=why.reason)


def _outcome(found: Found, shown: Mapping[str, Json]) -> Outcome:
    detail: dict[str, Json] = {
        **shown,
        "path_mtu": found.path_mtu,
        "local_mtu": found.local_mtu,
        "capped": found.path_mtu == shown["high_bytes"] and found.path_mtu != found.local_mtu,
        "black_hole": found.black_hole,
        "reported_by": found.reported_by,
        "tries": max(1, found.tries),
        **({"reason": found.reason} if found.reason else {}),
    }
    timings = {} if found.rtt_ms is None else {"rtt": round(found.rtt_ms, 3)}
    failure = found.failure or (Failure.MTU_BLACK_HOLE if found.black_hole else None)
    if failure:
        return failed(failure, fault=found.fault, timings_ms=timings, **detail)
    return Outcome(ok=True, success_rate=1.0, timings_ms=timings, detail=detail)
