"""A clock by the Date of an https server (RFC 9110 6.6.1): whole seconds, so several are laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Probe, ProbeContext
from bot.probes.params import Reader
from bot.probes.tries import Try, summarise
from bot.probes.web.exchange import Exchange, Repeat, Request, repeated, series

RESOLUTION_MS = 1000


@dataclass(frozen=True, slots=True)
class Span:
    """The server's clock minus ours lies between these, in ms."""

    low: float
    high: float


def prepare(read: Reader) -> Probe:
    """The parameters url, address, tries, spacing_ms and timeout_ms. Raises BadParams."""
    request = Request(url=read.url(), method="HEAD", address=read.optional_address())
    if request.url.scheme != "https":
        raise BadParams("url must be https: anybody on the way could set the time of another")
    # Spaced so that the tries fall on different parts of the second.
    wanted = repeated(read, spacing_ms=270)
    read.done()
    return partial(_run, request, wanted)


async def _run(request: Request, wanted: Repeat, ctx: ProbeContext) -> Outcome:
    done = await series("clock", lambda: request, _judge, ctx, wanted)
    spans = [span for span in map(_span, done.seen) if span]
    outcome = summarise(done.tries, method="http", resolution_ms=RESOLUTION_MS, **done.detail)
    if not spans:
        return outcome
    low, high = _overlap(spans)
    known: dict[str, Json] = {
        "offset_ms": round((low + high) / 2, 1),
        "uncertainty_ms": round((high - low) / 2, 1),
    }
    return replace(outcome, ok=True, failure=None, fault_of=None, detail={**outcome.detail, **known})


def _judge(found: Exchange) -> Try:
    return found.judged(Failure.HTTP_PROTOCOL if found.reply and _span(found) is None else None)


def _span(found: Exchange) -> Span | None:
    """The Date was cut to the second, and stamped at some time between our request and its first byte."""
    if found.reply is None or found.reply.date_skew_ms is None:
        return None
    if found.reply.headers.get("age", "0").strip() != "0":
        return None  # a cache's answer: the Date is of another time (RFC 9111 5.1)
    waited = found.done_ms.get("first_byte", 0.0)
    return Span(found.reply.date_skew_ms, found.reply.date_skew_ms + RESOLUTION_MS + waited)


def _overlap(spans: Sequence[Span]) -> tuple[float, float]:
    """What all agree on; the hull where they do not, for then a server behind one name has several clocks."""
    low, high = max(s.low for s in spans), min(s.high for s in spans)
    return (low, high) if low <= high else (min(s.low for s in spans), max(s.high for s in spans))
