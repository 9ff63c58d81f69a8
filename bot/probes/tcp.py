"""`tcp`: connect and hang up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from bot.domain.failure import Phase
from bot.domain.probe import Json, Outcome
from bot.probes.base import Probe, ProbeContext
from bot.probes.classify import CAUGHT, classify
from bot.probes.net import dial
from bot.probes.params import Place, Reader
from bot.probes.resolving import names
from bot.probes.tries import Try, spaced, summarise


def prepare(params: Mapping[str, Json]) -> Probe:
    """Connect `tries` times to an address or a host.

    timings_ms: dns (by name only), tcp. detail: tries, ok, failures, address, host, port, retransmits, each.
    """
    read = Reader(params)
    place, port = read.place(), read.port()
    tries = read.integer("tries", 1, low=1, high=50)
    spacing_s = read.seconds("spacing_ms", 100, low=0)
    timeout_s = read.seconds("timeout_ms", 2000)
    read.done()
    return partial(_run, place, port, tries, spacing_s, timeout_s)


async def _run(place: Place, port: int, tries: int, spacing_s: float, timeout_s: float, ctx: ProbeContext) -> Outcome:
    async def measure(address: str) -> Outcome:
        return await _connects(address, port, tries, spacing_s, timeout_s, ctx)

    return await names.at(place, ctx, timeout_s, measure)


async def _connects(
    address: str, port: int, tries: int, spacing_s: float, timeout_s: float, ctx: ProbeContext
) -> Outcome:
    results = await spaced(tries, spacing_s, lambda _: one("tcp", address, port, ctx, timeout_s))
    outcome = summarise(results, address=address, port=port)
    retransmits = sum(int(t.row.get("retransmits", 0)) for t in results)
    return replace(outcome, detail={**outcome.detail, "retransmits": retransmits})


async def one(kind: str, address: str, port: int, ctx: ProbeContext, timeout_s: float) -> Try:
    """One connection attempt."""
    began = time.perf_counter()
    try:
        connected = await dial.connect(kind, address, port, ctx, timeout_s=timeout_s)
        with contextlib.closing(connected.sock):
            connected.held()
    except CAUGHT as exc:
        why = classify(exc, Phase.TCP)
        spent = (time.perf_counter() - began) * 1000
        failed: dict[str, Json] = {"ms": round(spent, 3), "failure": why.failure.value}
        return Try(failure=why.failure, fault=why.fault, spent_ms={"tcp": spent}, row=failed)
    row: dict[str, Json] = {"ms": round(connected.ms, 3), "failure": None, "retransmits": connected.retransmits}
    return Try(timings_ms={"tcp": connected.ms}, row=row)
