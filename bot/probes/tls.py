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
from bot.probes import certificate, dial
from bot.probes.base import Probe, ProbeContext, failed
from bot.probes.classify import CAUGHT, classify
from bot.probes.params import Reader
from bot.probes.stream import Tls, trusting
from bot.probes.trace import Trace


def prepare(params: Mapping[str, Json]) -> Probe:
    """Connect and shake hands. timings_ms: tcp, tls. detail: certificate, version, cipher; reason on failure."""
    read = Reader(params)
    address, port = read.address(), read.port(default=443)
    sni = read.text("sni", address, limit=253)
    timeout_s = read.seconds("timeout_ms", 4000)
    read.done()
    return partial(_run, address, port, sni, timeout_s)


async def _run(address: str, port: int, sni: str, timeout_s: float, ctx: ProbeContext) -> Outcome:
    trusted, trace = trusting(ctx.ca_file), Trace()
    detail: dict[str, Json] = {"tries": 1, "address": address, "port": port, "sni": sni}
    try:
        async with asyncio.timeout(timeout_s):
            told = await _shake(address, port, sni, trusted, ctx, trace)
    except CAUGHT as exc:
        why = classify(exc, trace.phase)
        detail |= {"ok": 0, "failures": {why.failure.value: 1}, "reason": why.reason}
        timings = trace.reached()
        if why.failure in certificate.UNVERIFIED:
            detail["certificate"] = await certificate.shown("tls", address, port, sni, ctx, timeout_s)
        return failed(why.failure, fault=why.fault, timings_ms=timings, **detail)
    detail |= {"ok": 1, "failures": {}, **told}
    return Outcome(ok=True, success_rate=1.0, timings_ms=trace.reached(), detail=detail)


async def _shake(
    address: str, port: int, sni: str, trusted: ssl.SSLContext, ctx: ProbeContext, trace: Trace
) -> dict[str, Json]:
    trace.begin(Phase.TCP)
    connected = await dial.connect("tls", address, port, ctx)
    trace.end(connected.ms)
    with contextlib.closing(connected.sock):
        trace.begin(Phase.TLS)
        tls = Tls(connected.held(), trusted, sni)
        await tls.shake()
        trace.end()
    der, cipher = tls.object.getpeercert(binary_form=True), tls.object.cipher()
    return {
        "version": tls.object.version(),
        "cipher": cipher[0] if cipher else None,
        "certificate": certificate.describe(der, datetime.now(UTC)) if der else None,
    }
