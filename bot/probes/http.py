"""`http`: one request as a client would make it, by name or to a pinned address, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import ProbeContext
from bot.probes.exchange import Exchange, Reply, Request, certificate_of, common, exchange
from bot.probes.params import Reader
from bot.probes.tries import Try, spaced, summarise

BODY_HEAD = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What the reply must be; empty means any status below 500 and any body."""

    statuses: tuple[int, ...] = ()
    body: str = ""


async def probe(params: Mapping[str, Json], ctx: ProbeContext) -> Outcome:
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
    tries = read.integer("tries", 1, low=1, high=50)
    spacing_s = read.seconds("spacing_ms", 100, low=0)
    timeout_s = read.seconds("timeout_ms", 4000)
    read.done()
    seen: list[Exchange] = []

    async def one(index: int) -> Try:
        found = await exchange("http", request, ctx, timeout_s, turn=index)
        seen.append(found)
        return found.judged(judge(found.reply, expected) if found.reply else None)

    results = await spaced(tries, spacing_s, one)
    detail = common(seen)
    certificate = await certificate_of("http", request, results, ctx)
    if certificate:
        detail["certificate"] = certificate
    return summarise(results, **detail, **_reply(seen))


def judge(reply: Reply, expected: Expected) -> Failure | None:
    """Whether the reply is as expected."""
    if reply.status not in expected.statuses if expected.statuses else reply.status >= 500:
        return Failure.HTTP_STATUS
    if expected.body and expected.body.encode() not in reply.body:
        return Failure.HTTP_BODY
    return None


def _reply(seen: list[Exchange]) -> dict[str, Json]:
    reply = next((e.reply for e in reversed(seen) if e.reply), None)
    if reply is None:
        return {}
    text = reply.body[: BODY_HEAD * 4].decode("utf-8", "replace")
    head = "".join(c if c.isprintable() else " " for c in text)[:BODY_HEAD]
    location = reply.headers.get("location")
    return {"body_head": head, **({"location": location[:500]} if location else {})}
