"""`changes`: what was deployed, permitted or configured in the last hours: Kubernetes rollouts, Tencent CloudAudit.

Kubernetes: lists replicasets.apps and deployments.apps, in all namespaces or in those that are named.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from bot.domain.change import MOST, Change, newest
from bot.domain.failure import Failure, fault_of
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Credential, Denied, Probe, ProbeContext
from bot.probes.cluster import kubernetes
from bot.probes.cluster.kubernetes import Cluster, Unreadable, Wanted
from bot.probes.cluster.rollouts import rollouts
from bot.probes.params import Reader, Url
from bot.probes.redact import Redactor
from bot.probes.vendor import cloudaudit, tencent
from bot.probes.web import masking, service_api
from bot.probes.web.service_api import Credentials, Service

SOURCES = ("kubernetes", "cloudaudit")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CLOUDAUDIT = Url(scheme="https", host="cloudaudit.tencentcloudapi.com", port=443, target="/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters, read."""

    sources: tuple[str, ...]
    hours: int
    env: str
    want: Wanted
    namespaces: tuple[str, ...]
    audit: Service
    region: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What one source says: changes, whether it has more, or why it cannot say."""

    changes: Sequence[Change] = ()
    more: bool = False
    failure: Failure | None = None
    reason: str = ""


def prepare(params: Mapping[str, Json]) -> Probe:
    """Ask every source once. timings_ms: kubernetes, cloudaudit.

    detail: changes [{at, kind, title, who, env, service, url, source}] newest first (at most 100), total, more,
    hours, lacking (which sources could not say, and why). It fails when no source could say anything.
    """
    read = Reader(params)
    sources = read.texts("sources") if read.given("sources") else SOURCES
    want = kubernetes.wanted(read)
    plan = Plan(
        sources=sources,
        hours=read.integer("hours", 24, low=1, high=168),
        env=read.text("env", "", limit=60),
        want=want,
        namespaces=read.texts("namespaces", limit=20) if read.given("namespaces") else (),
        audit=Service(
            kind="changes",
            base=read.url("audit_url") if read.given("audit_url") else _CLOUDAUDIT,
            address=read.optional_address("audit_address"),
            timeout_s=want.timeout_s,
        ),
        region=read.region(),
    )
    read.done()
    if not set(sources) <= set(SOURCES):
        raise BadParams(f"sources must be of {', '.join(SOURCES)}")
    if not all(_NAMESPACE.fullmatch(name) for name in plan.namespaces):
        raise BadParams("namespaces must be names of namespaces")
    if plan.audit.base.scheme != "https" or plan.audit.base.target != "/":
        raise BadParams("audit_url must be https and without a path for a signed call")
    return partial(_run, plan)


async def _run(plan: Plan, ctx: ProbeContext) -> Outcome:
    until = datetime.now(UTC)
    since = until - timedelta(hours=plan.hours)
    timings: dict[str, float] = {}

    async def timed(source: str) -> Told:
        began = time.perf_counter()
        try:
            told = await (_kubernetes if source == "kubernetes" else _cloudaudit)(plan, ctx, since, until)
        except Denied as exc:
            told = Told(failure=Failure.POLICY_DENIED, reason=str(exc))
        timings[source] = round((time.perf_counter() - began) * 1000, 3)
        return told

    asked = list(dict.fromkeys(plan.sources))
    told = dict(zip(asked, await asyncio.gather(*(timed(source) for source in asked)), strict=True))
    return _outcome(plan, told, timings)


async def _kubernetes(plan: Plan, ctx: ProbeContext, since: datetime, until: datetime) -> Told:
    try:
        cluster = kubernetes.cluster("changes", plan.want, ctx)
        sets, more = await _all(cluster, "replicasets", plan.namespaces)
    except Unreadable as exc:
        return Told(failure=exc.failure, reason=exc.reason)
    try:
        deployments, _ = await _all(cluster, "deployments", plan.namespaces)
    except Unreadable:
        deployments = []  # only roll-backs stay unknown then
    return Told(changes=rollouts(sets, deployments, since=since, env=plan.env), more=more)


async def _all(cluster: Cluster, resource: str, namespaces: Sequence[str]) -> tuple[list[Mapping[str, Any]], bool]:
    paths = [f"namespaces/{name}/{resource}" for name in namespaces] or [resource]
    lists = [await cluster.items(f"/apis/apps/v1/{path}") for path in paths]
    return [row for rows, _ in lists for row in rows], any(more for _, more in lists)


async def _cloudaudit(plan: Plan, ctx: ProbeContext, since: datetime, until: datetime) -> Told:
    key = ctx.credentials.get("tencent")
    if key is None:
        return Told(failure=Failure.NO_CREDENTIAL, reason="no key for tencent on this agent")
    key.check(plan.audit.base.host)
    found: list[Change] = []
    token: int | None = None
    for _ in range(cloudaudit.MAX_PAGES):
        page = await _page(plan, key, ctx, since, until, token)
        if isinstance(page, Told):
            return page
        found += cloudaudit.events(page, plan.env)
        token = cloudaudit.onward(page)
        if token is None:
            break
    return Told(changes=found, more=token is not None)


async def _page(
    plan: Plan, key: Credential, ctx: ProbeContext, since: datetime, until: datetime, token: int | None
) -> Mapping[str, Any] | Told:
    own = Credentials(mask=Redactor([key.secret, key.id]))
    span = {"since": int(since.timestamp()), "until": int(until.timestamp())}
    request = cloudaudit.request(plan.audit, plan.region, key, token=token, **span)
    answer = await service_api.ask("changes", request, own, ctx, plan.audit.timeout_s)
    error = tencent.error_of(answer.object)
    if error is None:
        return Told(failure=answer.failure or Failure.HTTP_BODY, reason=answer.reason)
    code, message, _ = error
    if code:
        words = service_api.said(masking.of_others(f"{code}: {message}"[:2000]), own)
        return Told(failure=tencent.meaning(code), reason=words)
    response: Mapping[str, Any] = answer.object["Response"]
    return response


def _outcome(plan: Plan, told: Mapping[str, Told], timings: Mapping[str, float]) -> Outcome:
    found = [change for one in told.values() for change in one.changes]
    lacking = [f"{source}: {one.reason or one.failure.value}"[:300] for source, one in told.items() if one.failure]
    failures = [one.failure for one in told.values() if one.failure]
    failure = failures[0] if len(failures) == len(told) else None
    return Outcome(
        ok=failure is None,
        failure=failure,
        fault_of=fault_of(failure) if failure else None,
        success_rate=0.0 if failure else 1.0,
        timings_ms=timings,
        detail={
            "hours": plan.hours,
            "changes": [change.to_json() for change in newest(found)],
            "total": len(found),
            "more": len(found) > MOST or any(one.more for one in told.values()),
            "lacking": lacking,
            **({"reason": "; ".join(lacking)[:300]} if failure else {}),
        },
    )
