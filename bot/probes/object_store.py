"""`object_store`: HEAD of a bucket. A private bucket that says 403 is reachable and healthy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import Probe, ProbeContext
from bot.probes.exchange import Exchange, Repeat, Reply, Request, repeated, series
from bot.probes.params import Reader
from bot.probes.tries import Try, summarise

MARKS = {"cos": ("x-cos-request-id", "x-cos-trace-id"), "s3": ("x-amz-request-id", "x-amz-id-2")}
"""Response headers that only the vendor itself sets (Tencent COS and AWS S3, common response headers)."""
CODES = {"cos": "x-cos-error-code", "s3": "x-amz-error-code"}


def prepare(params: Mapping[str, Json]) -> Probe:
    """HEAD `tries` times. timings_ms as http. detail: as http, with `code`, the vendor's own where it gives one."""
    read = Reader(params)
    vendor = read.choice("vendor", MARKS)
    request = Request(url=read.url(), method="HEAD", address=read.optional_address())
    wanted = repeated(read)
    read.done()
    return partial(_run, vendor, request, wanted)


async def _run(vendor: str, request: Request, wanted: Repeat, ctx: ProbeContext) -> Outcome:
    def come_to(found: Exchange) -> Try:
        return found.judged(judge(found.reply, vendor) if found.reply else None)

    done = await series("object_store", lambda: request, come_to, ctx, wanted)
    code = done.reply.headers.get(CODES[vendor], "")[:100] or None if done.reply else None
    return summarise(done.tries, **done.detail, vendor=vendor, code=code)


def judge(reply: Reply, vendor: str) -> Failure | None:
    """None when the store itself has answered: success, or a refusal that carries the vendor's own headers."""
    theirs = any(mark in reply.headers for mark in MARKS[vendor])
    if 200 <= reply.status < 300 or (theirs and reply.status in (301, 307, 400, 403, 404)):
        return None
    return Failure.HTTP_STATUS
