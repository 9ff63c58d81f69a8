"""`dns`: many spaced tries of one name, each a single datagram, so that a limit shows as the share it drops."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bot.domain.failure import Failure, Phase
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Probe, ProbeContext
from bot.probes.classify import CAUGHT, classify
from bot.probes.params import Reader
from bot.probes.resolving import dns_message, names
from bot.probes.resolving.dns_message import Answer, Question
from bot.probes.resolving.names import Resolver
from bot.probes.tries import Try, percentile, spaced, summarise

MAX_ANSWERS = 64
"""Addresses that are told: a server that makes up thousands must not make the result too large to be sent."""
_FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters, read."""

    name: str
    type: str
    servers: tuple[str, ...]
    proto: str
    tries: int
    spacing_s: float
    start_s: float
    timeout_s: float
    nonce: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One try with what only DNS knows of it."""

    result: Try
    resolver: str
    ms: float | None = None
    rcode: str | None = None
    answers: tuple[str, ...] = ()


def plan(params: Mapping[str, Json]) -> Plan:
    """Read the parameters. Raises BadParams."""
    read = Reader(params)
    read_plan = Plan(
        name=read.text("name", limit=255),
        type=read.text("type", "A", limit=16).upper(),
        servers=read.texts("server"),
        proto=read.choice("proto", names.PORTS, "udp"),
        tries=read.integer("tries", 20, low=1, high=200),
        spacing_s=read.seconds("spacing_ms", 100, low=0),
        start_s=read.seconds("start_ms", 0, low=0),
        timeout_s=read.seconds("timeout_ms", 1500),
        nonce=read.flag("nonce", False),
    )
    read.done()
    return read_plan


def prepare(params: Mapping[str, Json]) -> Probe:
    """Ask `tries` times; ok when 95 % got NOERROR and an answer. With `nonce`, any authoritative "no" is an answer.

    detail: tries, ok, timeouts, low, high, p50_ms, p95_ms, rcodes, failures, answers, resolvers, by_resolver, each.
    """
    wanted = plan(params)
    asked = dns_message.question(wanted.name, wanted.type)
    return partial(_run, wanted, asked)


async def _run(wanted: Plan, asked: Question, ctx: ProbeContext) -> Outcome:
    # One random name for the whole probe: providers punish random names, and one is enough to get past a cache.
    name = wanted.name
    if wanted.nonce:
        name = f"{secrets.token_hex(6)}.{wanted.name}"
        asked = dns_message.question(name, wanted.type)
    servers = names.resolvers(wanted.servers, wanted.proto, ctx)
    if any(not s.address for s in servers) and wanted.type not in _FAMILIES:
        raise BadParams("type must be A or AAAA where the host's own library is asked")
    seen: list[Seen] = []

    async def one(index: int) -> Try:
        found = await _one(servers[index % len(servers)], name, asked, wanted, ctx)
        seen.append(found)
        return found.result

    results = await spaced(wanted.tries, wanted.spacing_s, one, start_s=wanted.start_s)
    return _outcome(results, seen, [str(s) for s in servers], name=name, type=wanted.type, proto=wanted.proto)


async def _one(server: Resolver, name: str, asked: Question, wanted: Plan, ctx: ProbeContext) -> Seen:
    try:
        if server.address:
            answer, ms = await names.ask(server, asked, wanted.proto, ctx, wanted.timeout_s)
        else:
            answer, ms = await names.library(name, _FAMILIES[wanted.type], ctx, wanted.timeout_s)
    except CAUGHT as exc:
        why = classify(exc, Phase.DNS)
        row: dict[str, Json] = {"ms": None, "rcode": None, "failure": why.failure.value, "resolver": str(server)}
        if why.reason:
            row["reason"] = why.reason
        return Seen(result=Try(failure=why.failure, fault=why.fault, row=row), resolver=str(server))
    return _answered(answer, ms, str(server), nonce=wanted.nonce)


def _answered(answer: Answer, ms: float, resolver: str, *, nonce: bool) -> Seen:
    failure = names.judge(answer)
    if nonce and failure in (Failure.DNS_NXDOMAIN, Failure.DNS_NO_ANSWER):
        failure = None
    rcode = dns_message.rcode_text(answer.rcode)
    row = {
        "ms": round(ms, 3),
        "rcode": rcode,
        "failure": failure.value if failure else None,
        "resolver": resolver,
    }
    result = Try(failure=failure, timings_ms={"dns": ms}, row=row)
    return Seen(result=result, resolver=resolver, ms=ms, rcode=rcode, answers=answer.addresses)


def _outcome(results: Sequence[Try], seen: Sequence[Seen], servers: Sequence[str], **asked: Any) -> Outcome:
    times = [s.ms for s in seen if s.ms is not None]
    p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
    rcodes: dict[str, int] = {}
    by_resolver: dict[str, dict[str, int]] = {s: {"tries": 0, "ok": 0} for s in servers}
    for one in seen:
        if one.rcode:
            rcodes[one.rcode] = rcodes.get(one.rcode, 0) + 1
        by_resolver[one.resolver]["tries"] += 1
        by_resolver[one.resolver]["ok"] += one.result.ok
    outcome = summarise(
        results,
        **asked,
        timeouts=sum(s.result.failure is Failure.DNS_TIMEOUT for s in seen),
        p50_ms=_round(p50),
        p95_ms=_round(p95),
        rcodes=rcodes,
        answers=sorted({a for s in seen for a in s.answers})[:MAX_ANSWERS],
        resolvers=list(dict.fromkeys(servers)),
        by_resolver=by_resolver,
    )
    timings = {"dns": round(p50, 3), "dns_p95": round(p95, 3)} if p50 is not None and p95 is not None else {}
    return replace(outcome, timings_ms=timings)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
