"""`clock`: how far our clock is from a server's, by NTP or, to half a second, by the Date of an https server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bot.domain.failure import Failure, FaultOf, Phase
from bot.domain.probe import Json, Outcome
from bot.probes.base import Probe, ProbeContext
from bot.probes.classify import CAUGHT, classify
from bot.probes.net import dial, ntp
from bot.probes.net.ntp import Reply, Sample
from bot.probes.params import Place, Reader
from bot.probes.resolving import names
from bot.probes.tries import Try, summarise
from bot.probes.web import clock_http


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters of method ntp, read."""

    place: Place
    port: int
    tries: int
    spacing_s: float
    timeout_s: float


def prepare(params: Mapping[str, Json]) -> Probe:
    """Ask several times and believe the exchange with the least delay. Method http takes `url` (and `address`) instead.

    timings_ms: dns (by name only), rtt. detail: offset_ms (the server's clock minus ours), delay_ms, uncertainty_ms,
    method, stratum, leap, reference_id (ntp), resolution_ms (http), tries, ok, failures, reason, each.
    """
    read = Reader(params)
    if read.choice("method", ("ntp", "http"), "ntp") == "http":
        return clock_http.prepare(read)
    wanted = Plan(
        place=read.place(),
        port=read.port(default=ntp.PORT),
        tries=read.integer("tries", 4, low=1, high=10),
        spacing_s=read.seconds("spacing_ms", 200, low=0),
        timeout_s=read.seconds("timeout_ms", 1500),
    )
    read.done()
    return partial(_run, wanted)


async def _run(wanted: Plan, ctx: ProbeContext) -> Outcome:
    return await names.at(wanted.place, ctx, wanted.timeout_s, lambda address: _measure(address, wanted, ctx))


async def _measure(address: str, wanted: Plan, ctx: ProbeContext) -> Outcome:
    tries: list[Try] = []
    samples: list[Sample] = []
    for index in range(wanted.tries):
        if index:
            await asyncio.sleep(wanted.spacing_s)
        found, tried = await _exchange(address, wanted, ctx)
        tries.append(tried)
        if found and found.reply.synchronised:
            samples.append(found)
        elif found and found.reply.kiss:
            break  # a server that says "go away" is not asked again (RFC 5905 7.4)
    shown: dict[str, Json] = {"method": "ntp", "address": address, "port": wanted.port}
    return _outcome(tries, samples, shown)


def _outcome(tries: Sequence[Try], samples: Sequence[Sample], shown: Mapping[str, Json]) -> Outcome:
    reasons = [str(t.row["reason"]) for t in tries if "reason" in t.row]
    told = {"reason": reasons[-1]} if reasons else {}
    if not samples:
        return summarise(tries, **shown, **told)
    best = min(samples, key=lambda s: s.delay_ms)
    detail = {
        "offset_ms": round(best.offset_ms, 3),
        "delay_ms": round(best.delay_ms, 3),
        "uncertainty_ms": round(best.uncertainty_ms, 3),
        "stratum": best.reply.stratum,
        "leap": best.reply.leap,
        "reference_id": best.reply.reference,
    }
    # One good answer is enough to know the time: a lost datagram is nothing against the server.
    return replace(summarise(tries, **shown, **detail, **told), ok=True, failure=None, fault_of=None)


async def _exchange(address: str, wanted: Plan, ctx: ProbeContext) -> tuple[Sample | None, Try]:
    """One request and what came of it."""
    packet, nonce = ntp.request()
    strangers = 0

    def accept(data: bytes) -> Reply | None:
        nonlocal strangers
        reply = ntp.read(data, nonce)
        strangers += reply is None
        return reply

    try:
        with contextlib.closing(dial.datagrams("clock", address, wanted.port, ctx)) as sock:
            sent_s = time.time()
            reply, rtt_ms = await dial.ask(sock, packet, accept, wanted.timeout_s)
    except CAUGHT as exc:
        why = classify(exc, Phase.CLOCK)
        reason = f"{strangers} answers to no request of ours" if strangers else why.reason
        return None, _failed(why.failure, why.fault, reason)
    found = ntp.sample(reply, sent_s, rtt_ms)
    if not reply.synchronised:
        said = f"kiss-o'-death {reply.kiss}" if reply.kiss else f"leap {reply.leap}, stratum {reply.stratum}"
        return found, _failed(Failure.CLOCK_UNSYNCHRONISED, None, said)
    row: dict[str, Json] = {"ms": round(rtt_ms, 3), "failure": None, "offset_ms": round(found.offset_ms, 3)}
    return found, Try(timings_ms={"rtt": rtt_ms}, row=row)


def _failed(failure: Failure, fault: FaultOf | None, reason: str) -> Try:
    row: dict[str, Json] = {"ms": None, "failure": failure.value, **({"reason": reason} if reason else {})}
    return Try(failure=failure, fault=fault, row=row)
