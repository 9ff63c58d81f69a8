"""`object_store`: HEAD of a bucket. A private bucket that says 403 is reachable and healthy.

Signed, the same HEAD says whether our key may still enter.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from urllib.parse import unquote

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Credential, Probe, ProbeContext, failed
from bot.probes.params import Reader
from bot.probes.redact import Redactor
from bot.probes.tries import Try, summarise
from bot.probes.vendor import aws, cos
from bot.probes.web.exchange import Exchange, Repeat, Reply, Request, repeated, series

MARKS = {"cos": ("x-cos-request-id", "x-cos-trace-id"), "s3": ("x-amz-request-id", "x-amz-id-2")}
"""Response headers that only the vendor itself sets (Tencent COS and AWS S3, common response headers)."""
CODES = {"cos": "x-cos-error-code", "s3": "x-amz-error-code"}
KEYS = {"cos": "tencent", "s3": "aws"}
"""Whose key signs for it."""
_GOOD_FOR_S = 300
_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters, read."""

    vendor: str
    request: Request
    signed: bool
    region: str
    wanted: Repeat


def prepare(params: Mapping[str, Json]) -> Probe:
    """HEAD `tries` times. timings_ms as http. detail: as http, with `code`, the vendor's own where it gives one."""
    read = Reader(params)
    plan = Plan(
        vendor=read.choice("vendor", MARKS),
        request=Request(url=read.url(), method="HEAD", address=read.optional_address()),
        signed=read.flag("signed", False),
        region=read.region(default="us-east-1"),
        wanted=repeated(read),
    )
    read.done()
    if plan.signed and (plan.request.url.scheme != "https" or "?" in plan.request.url.target):
        raise BadParams("url must be https and without a query for a signed request")
    return partial(_run, plan)


async def _run(plan: Plan, ctx: ProbeContext) -> Outcome:
    owner = KEYS[plan.vendor]
    key = ctx.credentials.get(owner) if plan.signed else None
    if plan.signed and key is None:
        return failed(
            Failure.NO_CREDENTIAL, vendor=plan.vendor, signed=True, reason=f"no key for {owner} on this agent"
        )
    if key is not None:
        key.check(plan.request.url.host)

    def build() -> Request:
        return plan.request if key is None else signed(plan, key, time.time())

    def come_to(found: Exchange) -> Try:
        told = judge_signed if key else judge
        return found.judged(told(found.reply, plan.vendor) if found.reply else None)

    done = await series("object_store", build, come_to, ctx, plan.wanted)
    code = done.reply.headers.get(CODES[plan.vendor], "")[:100] or None if done.reply else None
    outcome = summarise(done.tries, **done.detail, vendor=plan.vendor, code=code, signed=plan.signed)
    return Redactor([key.secret, key.id]).outcome(outcome) if key else outcome


def signed(plan: Plan, key: Credential, now: float) -> Request:
    """The same request with a signature, good for five minutes from `now` (epoch seconds)."""
    url = plan.request.url
    if plan.vendor == "cos":
        begins = int(now) - 60  # clocks differ; COS refuses what is not good yet
        headers = {"host": url.authority}
        span = {"begins": begins, "ends": begins + _GOOD_FOR_S}
        proof = cos.authorization(key, method="HEAD", path=unquote(url.target), params={}, headers=headers, **span)
        return replace(plan.request, headers={"authorization": proof})
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = {"x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    proof = aws.authorization(
        key,
        method="HEAD",
        path=url.target,
        query="",
        headers={**sent, "host": url.authority},
        payload_hash=_EMPTY,
        region=plan.region,
        service="s3",
        stamp=stamp,
    )
    return replace(plan.request, headers={**sent, "authorization": proof})


def judge(reply: Reply, vendor: str) -> Failure | None:
    """None when the store itself has answered: success, or a refusal that carries the vendor's own headers."""
    theirs = any(mark in reply.headers for mark in MARKS[vendor])
    if 200 <= reply.status < 300 or (theirs and reply.status in (301, 307, 400, 403, 404)):
        return None
    return Failure.HTTP_STATUS


def judge_signed(reply: Reply, vendor: str) -> Failure | None:
    """What a signed HEAD came to. A HEAD has no body: only some refusals say their code, in a header."""
    theirs = any(mark in reply.headers for mark in MARKS[vendor])
    if 200 <= reply.status < 300 or not theirs:
        return None if 200 <= reply.status < 300 else Failure.HTTP_STATUS
    told = aws.meaning(reply.headers.get(CODES[vendor], ""))
    return told or {403: Failure.API_DENIED, 503: Failure.API_THROTTLED}.get(reply.status, Failure.HTTP_STATUS)
