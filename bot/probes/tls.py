"""`tls`: one handshake, and the certificate whether it verifies or not."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from bot.domain.failure import Phase
from bot.domain.probe import Json, Outcome
from bot.probes.base import Probe, ProbeContext, failed
from bot.probes.classify import CAUGHT, classify
from bot.probes.net import certificate, dial
from bot.probes.net.stopwatch import Stopwatch
from bot.probes.net.stream import Tls, trusting
from bot.probes.params import Place, Reader
from bot.probes.resolving import names


def prepare(params: Mapping[str, Json]) -> Probe:
    """Connect to an address or a host and shake hands; SNI is the place unless `sni` says otherwise.

    timings_ms: dns (by name only), tcp, tls. detail: certificate, version, cipher; reason on failure.
    """
    read = Reader(params)
    place, port = read.place(), read.port(default=443)
    sni = read.text("sni", str(place).rstrip("."), limit=253)
    timeout_s = read.seconds("timeout_ms", 4000)
    read.done()
    return partial(_run, place, port, sni, timeout_s)


async def _run(place: Place, port: int, sni: str, timeout_s: float, ctx: ProbeContext) -> Outcome:
    return await names.at(place, ctx, timeout_s, lambda address: _handshake(address, port, sni, timeout_s, ctx))


async def _handshake(address: str, port: int, sni: str, timeout_s: float, ctx: ProbeContext) -> Outcome:
    trusted, watch = trusting(ctx.ca_file), Stopwatch()
    detail: dict[str, Json] = {"tries": 1, "address": address, "port": port, "sni": sni}
    try:
        async with asyncio.timeout(timeout_s):
            told = await _shake(address, port, sni, trusted, ctx, watch)
    except CAUGHT as exc:
        why = classify(exc, watch.phase)
        detail |= {"ok": 0, "failures": {why.failure.value: 1}, "reason": why.reason}
        timings = watch.reached()
        if why.failure in certificate.UNVERIFIED:
            detail["certificate"] = await certificate.shown("tls", address, port, sni, ctx, timeout_s)
        return failed(why.failure, fault=why.fault, timings_ms=timings, **detail)
    detail |= {"ok": 1, "failures": {}, **told}
    return Outcome(ok=True, success_rate=1.0, timings_ms=watch.reached(), detail=detail)


async def _shake(
    address: str, port: int, sni: str, trusted: ssl.SSLContext, ctx: ProbeContext, watch: Stopwatch
) -> dict[str, Json]:
    watch.begin(Phase.TCP)
    connected = await dial.connect("tls", address, port, ctx)
    watch.end(connected.ms)
    with contextlib.closing(connected.sock):
        watch.begin(Phase.TLS)
        tls = Tls(connected.held(), trusted, sni)
        await tls.shake()
        watch.end()
    der, cipher = tls.object.getpeercert(binary_form=True), tls.object.cipher()
    return {
        "version": tls.object.version(),
        "cipher": cipher[0] if cipher else None,
        "certificate": certificate.describe(der, datetime.now(UTC)) if der else None,
    }
