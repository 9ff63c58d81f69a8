"""`dns_top`: who asks how much of DNS here, for a few seconds. Opt-in by the agent's policy."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Denied, Probe, ProbeContext, failed
from bot.probes.cluster import coredns_metrics
from bot.probes.cluster.coredns_metrics import Between
from bot.probes.cluster.coredns_scrape import scrape
from bot.probes.cluster.kubernetes import Unreadable
from bot.probes.params import Reader, endpoint, show
from bot.probes.resolving import query_log
from bot.probes.resolving.query_log import Line

COUNTERS = "coredns_metrics"
TOP = 10
MAX_CLIENTS = 10_000
MAX_NAMES = 20_000
MAX_NAMES_OF_ALL = 100_000
"""Bounds of memory under a flood of spoofed clients or random names; counts of queries stay exact."""


@dataclass(slots=True)
class Client:
    """What one address asked."""

    queries: int = 0
    replies: int = 0
    nxdomain: int = 0
    names: set[int] = field(default_factory=set)


class Tally:
    """Counts by client."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.queries = 0
        self._names = 0

    def take(self, line: Line) -> None:
        """Count one query or reply."""
        self.queries += line.query
        client = self.clients.get(line.client)
        if client is None:
            if len(self.clients) >= MAX_CLIENTS:
                return
            client = self.clients[line.client] = Client()
        client.queries += line.query
        if line.query and len(client.names) < MAX_NAMES and self._names < MAX_NAMES_OF_ALL:
            before = len(client.names)
            client.names.add(hash(line.name))
            self._names += len(client.names) - before
        if line.nxdomain is not None:
            client.replies += 1
            client.nxdomain += line.nxdomain

    def rows(self, seconds: float) -> list[dict[str, Json]]:
        """The busiest clients: address, qps, share, distinct, nxdomain_share (null where no reply was seen)."""
        busiest = sorted(self.clients.items(), key=lambda item: (-item[1].queries, item[0]))
        return [
            {
                "address": address,
                "qps": round(c.queries / seconds, 1),
                "share": round(c.queries / self.queries, 4),
                "distinct": len(c.names),
                "nxdomain_share": round(c.nxdomain / c.replies, 4) if c.replies else None,
            }
            for address, c in busiest[:TOP]
            if c.queries
        ]


def prepare(params: Mapping[str, Json]) -> Probe:
    """Watch for `seconds`. detail: qps, seconds, source, clients (top 10).

    Nothing is sent, unless `metrics` names CoreDNS pods ("ip" or "ip:port") and nothing else tells: they count
    queries by zone and never by client, so clients is empty then, zones has what there is, and lacking says why.
    """
    read = Reader(params)
    seconds = read.integer("seconds", 3, low=1, high=15)
    wanted = read.choice("source", ("auto", "capture", "query_log", COUNTERS), "auto")
    port = read.port(default=53)
    given = read.texts("metrics", limit=16) if read.given("metrics") else ()
    read.done()
    pods = tuple(endpoint(text, "metrics", port=9153) for text in given)
    if wanted == COUNTERS and not pods:
        raise BadParams(f"metrics must name the pods for source {COUNTERS}")
    return partial(_run, seconds, wanted, port, pods)


async def _run(seconds: int, wanted: str, port: int, pods: Sequence[tuple[str, int]], ctx: ProbeContext) -> Outcome:
    lacking: list[str] = []
    # The log of a resolver knows all of its clients, a capture only those that pass this machine.
    for source in {"auto": ("query_log", "capture"), COUNTERS: ()}.get(wanted, (wanted,)):
        why = await _watch(source, seconds, port, ctx)
        if isinstance(why, Outcome):
            return why
        lacking.append(why)
    if pods and wanted in ("auto", COUNTERS):
        return await _count(pods, seconds, lacking, ctx)
    return failed(Failure.NOT_PERMITTED, reason="; ".join(lacking), lacking=lacking)


async def _watch(source: str, seconds: int, port: int, ctx: ProbeContext) -> Outcome | str:
    tally, dropped = Tally(), 0
    try:
        if source == "query_log":
            if ctx.query_log is None:
                return "query_log: the agent's policy names none"
            await query_log.follow(ctx.query_log.path, ctx.query_log.format, seconds, tally.take)
        else:
            if not ctx.capture:
                return "capture: the agent's policy does not allow it (capture: true)"
            from bot.probes.net import capture

            if port not in _dns_ports(ctx):
                return f"capture: port {port} is neither 53 nor the port of a resolver that the agent's policy names"
            dropped = await capture.watch(port, seconds, tally.take)
    except OSError as exc:
        code = errno.errorcode.get(exc.errno or 0, "?")
        needs = "the agent may not read the file" if source == "query_log" else "the agent lacks CAP_NET_RAW"
        return f"{source}: {needs} ({code})"
    except AttributeError:
        return f"{source}: this system has no packet sockets"
    return _outcome(tally, source, seconds, dropped)


def _dns_ports(ctx: ProbeContext) -> set[int]:
    """Leave to look at DNS is no leave to look at anything else that passes."""
    return {53, *(endpoint(text, "resolvers", port=53)[1] for group in ctx.resolvers.values() for text in group)}


async def _count(pods: Sequence[tuple[str, int]], seconds: int, lacking: list[str], ctx: ProbeContext) -> Outcome:
    """What CoreDNS counts: the rate of each zone over all pods that answer."""
    failures: list[Failure] = []

    async def one(address: str, port: int) -> Between | None:
        try:
            before = await scrape("dns_top", address, port, ctx)
            await asyncio.sleep(seconds)
            return Between(before, await scrape("dns_top", address, port, ctx))
        except Unreadable as exc:
            failures.append(exc.failure)
            lacking.append(f"{COUNTERS} of {show(address, port)}: {exc.failure.value}")
        except Denied as exc:
            failures.append(Failure.POLICY_DENIED)
            lacking.append(f"{COUNTERS}: {exc}")
        return None

    seen = [found for found in await asyncio.gather(*(one(*pod) for pod in pods)) if found is not None]
    if not seen:
        return failed(failures[0], reason="; ".join(lacking)[:300], lacking=lacking)
    zones = coredns_metrics.zones(seen)
    qps = round(sum(row["qps"] for row in zones), 1)
    lacking.append(f"{COUNTERS}: CoreDNS counts no clients")
    told: dict[str, Json] = {"seconds": seconds, "source": COUNTERS, "pods_seen": len(seen), "lacking": lacking}
    return Outcome(ok=True, success_rate=1.0, detail={"tries": 1, "qps": qps, **told, "zones": zones, "clients": []})


def _outcome(tally: Tally, source: str, seconds: int, dropped: int) -> Outcome:
    detail: dict[str, Json] = {
        "tries": 1,
        "qps": round(tally.queries / seconds, 1),
        "seconds": seconds,
        "source": source,
        "clients": tally.rows(seconds),
    }
    if dropped:
        detail["dropped"] = dropped
    return Outcome(ok=True, success_rate=1.0, detail=detail)
