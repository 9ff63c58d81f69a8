"""`http`: one request as a client would make it, by name or to a pinned address, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import Probe, ProbeContext
from bot.probes.params import Reader
from bot.probes.tries import Try, summarise
from bot.probes.web.exchange import Exchange, Repeat, Reply, Request, repeated, series

BODY_HEAD = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What the reply must be; empty means any status below 500 and any body."""

    statuses: tuple[int, ...] = ()
    body: str = ""


def prepare(params: Mapping[str, Json]) -> Probe:
    """Ask `tries` times. timings_ms: dns (by name only), tcp, tls, first_byte, total.

    detail: tries, ok, failures, status, address, date_skew_ms, body_head, location, certificate, reason, each.
    """
    read = Reader(params)
    request = Request(
        url=read.url(),
        method=read.choice("method", ("GET", "HEAD"), "GET"),
        address=read.optional_address(),
    )
    expected = Expected(statuses=read.statuses("expect_status"), body=read.text("expect_body", ""))
    wanted = repeated(read)
    read.done()
    return partial(_run, request, expected, wanted)


async def _run(request: Request, expected: Expected, wanted: Repeat, ctx: ProbeContext) -> Outcome:
    def come_to(found: Exchange) -> Try:
        return found.judged(judge(found.reply, expected) if found.reply else None)

    done = await series("http", lambda: request, come_to, ctx, wanted)
    return summarise(done.tries, **done.detail, **_shown(done.reply))


def judge(reply: Reply, expected: Expected) -> Failure | None:
    """Whether the reply is as expected."""
    if reply.status not in expected.statuses if expected.statuses else reply.status >= 500:
        return Failure.HTTP_STATUS
    if expected.body and expected.body.encode() not in reply.body:
        return Failure.HTTP_BODY
    return None


def _shown(reply: Reply | None) -> dict[str, Json]:
    if reply is None:
        return {}
    text = reply.body[: BODY_HEAD * 4].decode("utf-8", "replace")
    head = "".join(c if c.isprintable() else " " for c in text)[:BODY_HEAD]
    location = reply.headers.get("location")
    return {"body_head": head, **({"location": location[:500]} if location else {})}
