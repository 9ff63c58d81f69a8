"""`coredns`: the cluster's DNS from inside: what Kubernetes runs of it, what each pod counts, how each pod answers.

Each part is optional: what this agent may not ask is named under `lacking`, and the rest is told.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median

from bot.domain.failure import Failure, Phase, fault_of
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Denied, Probe, ProbeContext
from bot.probes.classify import CAUGHT, classify
from bot.probes.cluster import coredns_inventory, coredns_metrics, kubernetes
from bot.probes.cluster.coredns_inventory import Inventory
from bot.probes.cluster.coredns_metrics import Between
from bot.probes.cluster.coredns_scrape import scrape
from bot.probes.cluster.kubernetes import Unreadable, Wanted
from bot.probes.params import Reader, literal
from bot.probes.resolving import dns_message, names
from bot.probes.resolving.dns_message import Question
from bot.probes.resolving.names import Resolver
from bot.probes.tries import Try, spaced, summarise

MAX_PODS = 16
"""Pods that are asked themselves."""
PARTS = ("api", "metrics", "dns")
_SELECTOR = re.compile(r"[A-Za-z0-9./_=,!() -]{1,200}")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters, read."""

    want: Wanted
    parts: tuple[str, ...]
    namespace: str
    selector: str
    pods: tuple[str, ...]
    cluster_ip: str | None
    name: str
    tries: int
    dns_port: int
    metrics_port: int
    seconds: int


@dataclass(slots=True)
class Pod:
    """What was learned of one address."""

    address: str
    told: dict[str, Json] = field(default_factory=dict)
    tries: Sequence[Try] = ()


def prepare(params: Mapping[str, Json]) -> Probe:
    """Read the inventory, then ask every pod (at most 16) and the ClusterIP. timings_ms: api, dns.

    detail: replicas {wanted, ready}, nodes, sizing, pods [{address, node, restarts, oom_at, qps, rcodes, upstreams,
    cpu_cores, tries, ok, ms, ...}], cluster_ip {address, tries, ok, ms}, qps and rcodes of all, seconds, lacking;
    and tries, ok, failures, each of the DNS queries. It fails when DNS does, or when no part could be done at all.
    """
    read = Reader(params)
    pods = read.texts("pods", limit=MAX_PODS) if read.given("pods") else ()
    parts = read.texts("parts") if read.given("parts") else PARTS
    plan = Plan(
        want=kubernetes.wanted(read),
        parts=parts,
        namespace=read.text("namespace", "kube-system", limit=63),
        selector=read.text("selector", "k8s-app=kube-dns", limit=200),
        pods=tuple(literal(text, "pods") for text in pods),
        cluster_ip=read.optional_address("cluster_ip"),
        name=read.text("name", "kubernetes.default.svc.cluster.local.", limit=255),
        tries=read.integer("tries", 3, low=1, high=20),
        dns_port=read.port("dns_port", 53),
        metrics_port=read.port("metrics_port", 9153),
        seconds=read.integer("seconds", 3, low=1, high=15),
    )
    read.done()
    if not set(parts) <= set(PARTS):
        raise BadParams(f"parts must be of {', '.join(PARTS)}")
    if not _NAMESPACE.fullmatch(plan.namespace) or not _SELECTOR.fullmatch(plan.selector):
        raise BadParams("namespace or selector is not one of Kubernetes")
    return partial(_run, plan, dns_message.question(plan.name, "A"))


async def _run(plan: Plan, asked: Question, ctx: ProbeContext) -> Outcome:
    began = time.perf_counter()
    known = await _inventory(plan, ctx) if "api" in plan.parts else Inventory()
    api_ms = (time.perf_counter() - began) * 1000
    found = plan.pods or tuple(str(row["address"]) for row in known.pods if row["address"])
    pods = [Pod(address) for address in dict.fromkeys(found)][:MAX_PODS]
    virtual = Pod(plan.cluster_ip or known.cluster_ip or "")
    lacking = list(known.lacking)
    work = []
    if "metrics" in plan.parts:
        work += [_count(pod, plan, ctx, lacking) for pod in pods]
    if "dns" in plan.parts:
        work += [_ask(pod, asked, plan, ctx, lacking) for pod in [*pods, virtual] if pod.address]
    await asyncio.gather(*work)
    if not pods and plan.parts != ("api",):
        lacking.append("pods: none is known; the API shows them, or the parameter pods names them")
    detail = _detail(plan, known, pods, virtual, lacking)
    timings = {"api": round(api_ms, 3)} if "api" in plan.parts else {}
    return _outcome([*pods, virtual], known, timings, detail)


async def _inventory(plan: Plan, ctx: ProbeContext) -> Inventory:
    try:
        cluster = kubernetes.cluster("coredns", plan.want, ctx)
        return await coredns_inventory.inventory(cluster, plan.namespace, plan.selector)
    except Unreadable as exc:
        return Inventory(lacking=[f"api: {exc.reason}"], failure=exc.failure)
    except Denied as exc:
        return Inventory(lacking=[f"api: {exc}"], failure=Failure.POLICY_DENIED)


async def _count(pod: Pod, plan: Plan, ctx: ProbeContext, lacking: list[str]) -> None:
    """Scrape twice, `seconds` apart."""
    try:
        before = await scrape("coredns", pod.address, plan.metrics_port, ctx)
        await asyncio.sleep(plan.seconds)
        after = await scrape("coredns", pod.address, plan.metrics_port, ctx)
    except Denied as exc:
        lacking.append(f"metrics: {exc}")
    except Unreadable as exc:
        pod.told["metrics_failure"] = exc.failure.value
        lacking.append(f"metrics of {pod.address}: {exc.failure.value}")
    else:
        pod.told |= coredns_metrics.told(Between(before, after))


async def _ask(pod: Pod, asked: Question, plan: Plan, ctx: ProbeContext, lacking: list[str]) -> None:
    """Ask it directly: one datagram per try, no cache or Service in between."""
    server = Resolver(pod.address, plan.dns_port)
    try:
        pod.tries = await spaced(plan.tries, 0.1, lambda _: _one(server, asked, ctx))
    except Denied as exc:
        lacking.append(f"dns: {exc}")


async def _one(server: Resolver, asked: Question, ctx: ProbeContext) -> Try:
    try:
        answer, ms = await names.ask(server, asked, "udp", ctx, 2.0)
    except CAUGHT as exc:
        why = classify(exc, Phase.DNS)
        lost: dict[str, Json] = {"ms": None, "failure": why.failure.value, "resolver": str(server)}
        return Try(failure=why.failure, fault=why.fault, row=lost)
    failure = names.judge(answer)
    row: dict[str, Json] = {"ms": round(ms, 3), "failure": failure.value if failure else None, "resolver": str(server)}
    return Try(failure=failure, timings_ms={"dns": ms}, row=row)


def _answered(pod: Pod) -> dict[str, Json]:
    if not pod.tries:
        return {}
    times = [one.timings_ms["dns"] for one in pod.tries if "dns" in one.timings_ms]
    failures = [one.failure.value for one in pod.tries if one.failure]
    return {
        "tries": len(pod.tries),
        "ok": sum(one.ok for one in pod.tries),
        "ms": round(median(times), 3) if times else None,
        **({"failure": failures[-1]} if failures else {}),
    }


def _detail(plan: Plan, known: Inventory, pods: Sequence[Pod], virtual: Pod, lacking: Sequence[str]) -> dict[str, Json]:
    by_address = {pod.address: {**pod.told, **_answered(pod)} for pod in pods}
    rows = [{**row, **by_address.pop(str(row["address"]), {})} for row in known.pods]
    rows += [{"address": address, **told} for address, told in by_address.items()]
    rates = [row["qps"] for row in rows if isinstance(row.get("qps"), float)]
    qps = round(sum(rates), 1) if rates else None
    rcodes: dict[str, int] = {}
    for row in rows:
        for rcode, count in row.get("rcodes", {}).items():
            rcodes[rcode] = rcodes.get(rcode, 0) + count
    detail: dict[str, Json] = {
        "replicas": known.replicas,
        "nodes": known.nodes,
        "sizing": coredns_inventory.sizing(known.nodes, qps) if known.nodes else None,
        "pods": rows,
        "cluster_ip": {"address": virtual.address, **_answered(virtual)} if virtual.address else None,
        "qps": qps,
        "rcodes": rcodes,
        "seconds": plan.seconds if rates else None,
        "lacking": list(dict.fromkeys(lacking))[:10],
    }
    return {key: value for key, value in detail.items() if value not in (None, {})}


def _outcome(
    asked: Sequence[Pod], known: Inventory, timings: Mapping[str, float], detail: Mapping[str, Json]
) -> Outcome:
    tries = [one for pod in asked for one in pod.tries]
    if tries:
        outcome = summarise(tries, **detail)
        return replace(outcome, timings_ms={**timings, **outcome.timings_ms})
    something = known.replicas is not None or known.nodes is not None or bool(known.pods)
    something = something or any("qps" in pod.told for pod in asked)
    failure = None if something else _why(asked, known)
    return Outcome(
        ok=failure is None,
        failure=failure,
        fault_of=fault_of(failure) if failure else None,
        success_rate=1.0 if something else 0.0,
        timings_ms=timings,
        detail={**detail, **({} if something else {"reason": "; ".join(detail["lacking"])[:300]})},
    )


def _why(asked: Sequence[Pod], known: Inventory) -> Failure:
    told = [pod.told["metrics_failure"] for pod in asked if "metrics_failure" in pod.told]
    if told:
        return Failure(told[0])
    return known.failure or Failure.NOT_PERMITTED
