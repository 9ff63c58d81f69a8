"""`ping`: ICMP echo where the system allows it, else how long a TCP connect takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, pstdev

from bot.domain.failure import Failure, FaultOf, Phase
from bot.domain.probe import Json, Outcome
from bot.probes import tcp
from bot.probes.base import BadParams, Probe, ProbeContext, failed
from bot.probes.classify import CAUGHT, classify
from bot.probes.net import dial, flight, icmp_errors
from bot.probes.net.echo import MAX_PAYLOAD, Echo, leave, open_socket
from bot.probes.net.icmp_errors import Report
from bot.probes.params import Place, Reader
from bot.probes.resolving import names
from bot.probes.tries import Try, spaced, summarise


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters, read. `size` is in bytes of payload, as `ping -s` counts."""

    place: Place
    port: int
    method: str
    size: int
    df: bool
    tries: int
    spacing_s: float
    timeout_s: float


def prepare(params: Mapping[str, Json]) -> Probe:
    """Ping `tries` times with `size` bytes, forbidding fragments if `df`. timings_ms: dns (by name only), rtt (median).

    The method is the first that works of a datagram socket, a raw one and, for method "auto" without size or df, TCP.
    detail: method (icmp, icmp_raw or tcp), lacking (why no better method), size, df, tries, ok, loss, min_ms, avg_ms,
    max_ms, mdev_ms, failures, each.
    """
    read = Reader(params)
    wanted = Plan(
        place=read.place(),
        port=read.port(default=443),
        method=read.choice("method", ("auto", "icmp", "tcp"), "auto"),
        size=read.integer("size", 40, low=0, high=MAX_PAYLOAD),
        df=read.flag("df", False),
        tries=read.integer("tries", 5, low=1, high=50),
        spacing_s=read.seconds("spacing_ms", 200, low=0),
        timeout_s=read.seconds("timeout_ms", 1500),
    )
    read.done()
    if read.given("size") or wanted.df:
        if wanted.method == "tcp":
            raise BadParams("size and df are for echoes: method must not be tcp")
        wanted = replace(wanted, method="icmp")
    return partial(_run, wanted)


async def _run(wanted: Plan, ctx: ProbeContext) -> Outcome:
    return await names.at(wanted.place, ctx, wanted.timeout_s, lambda address: _ping(address, wanted, ctx))


async def _ping(address: str, wanted: Plan, ctx: ProbeContext) -> Outcome:
    if wanted.method == "tcp":
        return await _connects(address, wanted, ctx)
    may = leave(address, ctx)
    lacking: dict[str, Json] = {"lacking": list(may.lacking)} if may.lacking else {}
    if may.method is None and wanted.method == "auto":
        return await _connects(address, wanted, ctx, **lacking)
    if may.method is None:
        return failed(Failure.NOT_PERMITTED, reason="; ".join(may.lacking), address=address, **lacking)
    method = may.method
    results = await spaced(wanted.tries, wanted.spacing_s, lambda _: _echo(address, method, wanted, ctx))
    shown = {"size": wanted.size, "df": wanted.df, **lacking}
    return _with_times(summarise(results, address=address, method=method, **shown), results)


async def _connects(address: str, wanted: Plan, ctx: ProbeContext, **shown: Json) -> Outcome:
    async def one(_: int) -> Try:
        return _as_ping(await tcp.one("ping", address, wanted.port, ctx, wanted.timeout_s))

    results = await spaced(wanted.tries, wanted.spacing_s, one)
    return _with_times(summarise(results, address=address, method="tcp", port=wanted.port, **shown), results)


async def _echo(address: str, method: str, wanted: Plan, ctx: ProbeContext) -> Try:
    echo = Echo(address, method, size=wanted.size)
    try:
        ctx.guard.check("ping", address, 0)
        sock = open_socket(method, address, ctx)
        with dial.attach(sock, address, 0) as sock:
            if wanted.df:
                icmp_errors.dont_fragment(sock)
            landed = await flight.datagram(sock, echo.wire, echo.answered, echo.quoted, wanted.timeout_s)
    except CAUGHT as exc:
        why = classify(exc, Phase.ICMP)
        return Try(failure=why.failure, fault=why.fault, row={"ms": None, "failure": why.failure.value})
    if landed.report is not None:
        return _refused(landed.report)
    return Try(timings_ms={"rtt": landed.ms}, row={"ms": round(landed.ms, 3), "failure": None})


_SAID = {"host_unreachable": Failure.HOST_UNREACHABLE, "network_unreachable": Failure.NETWORK_UNREACHABLE}


def _refused(report: Report) -> Try:
    """An ICMP error instead of a reply; an echo too big for our own interface is our own trouble."""
    failure, fault = _SAID.get(report.said, Failure.PING_TIMEOUT), FaultOf.TARGET
    reason = f"{report.said} from {report.offender or 'this machine'}"
    if report.said == icmp_errors.TOO_BIG:
        reason += f": the next hop takes {report.mtu} bytes"
        failure, fault = (failure, fault) if report.offender else (Failure.UNSUPPORTED, FaultOf.AGENT)
    return Try(failure=failure, fault=fault, row={"ms": None, "failure": failure.value, "reason": reason})


def _as_ping(tried: Try) -> Try:
    """A refused connection is an answer: the host is there."""
    if tried.failure is Failure.TCP_REFUSED:
        return Try(timings_ms={"rtt": tried.spent_ms["tcp"]}, row={**tried.row, "failure": None, "refused": True})
    timings = {"rtt": tried.timings_ms["tcp"]} if tried.ok else {}
    return replace(tried, timings_ms=timings, spent_ms={})


def _with_times(outcome: Outcome, results: list[Try]) -> Outcome:
    times = [t.timings_ms["rtt"] for t in results if "rtt" in t.timings_ms]
    stats: dict[str, Json] = {"loss": round(1.0 - (outcome.success_rate or 0.0), 4)}
    if times:
        stats |= {
            "min_ms": round(min(times), 3),
            "avg_ms": round(fmean(times), 3),
            "max_ms": round(max(times), 3),
            "mdev_ms": round(pstdev(times), 3),
        }
    return replace(outcome, detail={**outcome.detail, **stats})
