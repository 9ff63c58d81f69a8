"""`trace`: the routers on the way to a place, all hops asked at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from statistics import fmean, median

from bot.domain.failure import Failure, Phase
from bot.domain.probe import Json, Outcome
from bot.probes.base import Probe, ProbeContext, failed
from bot.probes.classify import CAUGHT, Diagnosis, classify
from bot.probes.net import hop
from bot.probes.net.echo import leave
from bot.probes.net.flight import Landed
from bot.probes.net.hop import Way
from bot.probes.net.icmp_errors import TIME_EXCEEDED
from bot.probes.params import Place, Reader
from bot.probes.resolving import names

PORTS = {"auto": 443, "icmp": 443, "udp": 33434, "tcp": 443}
PACE_S = 0.01
"""Between two packets: routers limit how many errors they send, and nobody needs a burst."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters, read."""

    place: Place
    proto: str
    port: int
    max_hops: int
    queries: int
    timeout_s: float


@dataclass(slots=True)
class _Hop:
    """What came of the packets that were to die at one distance."""

    sent: int = 0
    landed: list[Landed] = field(default_factory=list)


def prepare(params: Mapping[str, Json]) -> Probe:
    """Trace by icmp, udp or tcp; "auto" is icmp where this agent may send echoes, else tcp.

    All packets are on their way within max_hops * queries * 10 ms, so it takes about one timeout in all.
    timings_ms: dns (by name only), rtt (the target's median). detail: hops [{ttl, address, sent, received, loss,
    min_ms, avg_ms, max_ms, jitter_ms, said, others}], reached, proto, method, port, lacking. A hop that is silent
    while later ones answer is normal; rows end at the target, else with the first of those that stay silent.
    """
    read = Reader(params)
    proto = read.choice("proto", PORTS, "auto")
    wanted = Plan(
        place=read.place(),
        proto=proto,
        port=read.port(default=PORTS[proto]),
        max_hops=read.integer("max_hops", 20, low=1, high=30),
        queries=read.integer("queries", 3, low=1, high=10),
        timeout_s=read.seconds("timeout_ms", 1000),
    )
    read.done()
    return partial(_run, wanted)


async def _run(wanted: Plan, ctx: ProbeContext) -> Outcome:
    return await names.at(wanted.place, ctx, wanted.timeout_s, lambda address: _trace(address, wanted, ctx))


async def _trace(address: str, wanted: Plan, ctx: ProbeContext) -> Outcome:
    way = Way(address=address, method=wanted.proto, port=wanted.port)
    lacking: tuple[str, ...] = ()
    if wanted.proto in ("auto", "icmp"):
        may = leave(address, ctx)
        lacking = may.lacking
        if may.method is not None:
            way = Way(address=address, method=may.method)
        elif wanted.proto == "icmp":
            return failed(Failure.NOT_PERMITTED, reason="; ".join(lacking), lacking=list(lacking), address=address)
        else:
            way = replace(way, method="tcp")
    ctx.guard.check("trace", address, way.port)
    walk = _Walk(way, wanted, ctx)
    await walk.go()
    shown: dict[str, Json] = {"address": address, "proto": way.proto, "method": way.method}
    if way.port:
        shown["port"] = way.port
    if lacking:
        shown["lacking"] = list(lacking)
    return walk.outcome(shown)


class _Walk:
    """Sends the packets and remembers, per distance, what came back."""

    def __init__(self, way: Way, wanted: Plan, ctx: ProbeContext) -> None:
        self._way, self._wanted, self._ctx = way, wanted, ctx
        self._hops = {ttl: _Hop() for ttl in range(1, wanted.max_hops + 1)}
        self._target = self._stop = wanted.max_hops + 1
        self._own: Diagnosis | None = None

    async def go(self) -> None:
        """One packet per distance in turn, `queries` times over, never beyond where the target has answered."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._wanted.queries):
                for ttl in self._hops:
                    if ttl <= min(self._target, self._stop):
                        group.create_task(self._one(ttl))
                        await asyncio.sleep(PACE_S)

    async def _one(self, ttl: int) -> None:
        try:
            landed = await hop.send(self._way, ttl, self._ctx, self._wanted.timeout_s)
        except TimeoutError:
            self._hops[ttl].sent += 1
            return
        except CAUGHT as exc:
            # Nothing was sent, or not by the network's fault: not counted as loss.
            self._own = classify(exc, Phase.PATH)
            return
        self._hops[ttl].sent += 1
        self._hops[ttl].landed.append(landed)
        if self._from_target(landed):
            self._target = min(self._target, ttl)
        elif landed.report and landed.report.said != TIME_EXCEEDED:
            self._stop = min(self._stop, ttl)  # a router that lets nothing through

    def _from_target(self, landed: Landed) -> bool:
        report = landed.report
        return report is None or (report.offender == self._way.address and report.said != TIME_EXCEEDED)

    def outcome(self, shown: Mapping[str, Json]) -> Outcome:
        """The rows, and whether the target was among them."""
        if self._own and not any(h.sent for h in self._hops.values()):
            return failed(self._own.failure, fault=self._own.fault, reason=self._own.reason, **shown)
        if self._target in self._hops:
            times = [one.ms for one in self._hops[self._target].landed if self._from_target(one)]
            detail = {**shown, "hops": self._rows(self._target), "reached": True}
            return Outcome(ok=True, success_rate=1.0, timings_ms={"rtt": round(median(times), 3)}, detail=detail)
        answering = [ttl for ttl, seen in self._hops.items() if seen.landed]
        last = min(self._stop, max(answering, default=0) + 1, self._wanted.max_hops)
        return failed(Failure.TRACE_UNREACHED, **shown, hops=self._rows(last), reached=False)

    def _rows(self, last: int) -> list[dict[str, Json]]:
        return [self._row(ttl) for ttl in range(1, last + 1)]

    def _row(self, ttl: int) -> dict[str, Json]:
        seen = self._hops[ttl]
        by = Counter(one.report.offender if one.report else self._way.address for one in seen.landed)
        addresses = [name for name, _ in by.most_common()]
        said = {one.report.said for one in seen.landed if one.report} - {TIME_EXCEEDED}
        row: dict[str, Json] = {"ttl": ttl, "address": addresses[0] if addresses else None}
        row |= {"sent": seen.sent, "received": len(seen.landed)}
        row["loss"] = round(1 - len(seen.landed) / seen.sent, 4) if seen.sent else None
        row |= _times([one.ms for one in seen.landed])
        if addresses[1:]:
            row["others"] = addresses[1:]
        if said:
            row["said"] = ", ".join(sorted(said))
        return row


def _times(ms: list[float]) -> dict[str, Json]:
    """Jitter is the mean difference of one round trip from the one before."""
    steps = [abs(b - a) for a, b in pairwise(ms)]
    return {
        "min_ms": round(min(ms), 3) if ms else None,
        "avg_ms": round(fmean(ms), 3) if ms else None,
        "max_ms": round(max(ms), 3) if ms else None,
        "jitter_ms": round(fmean(steps), 3) if steps else None,
    }
