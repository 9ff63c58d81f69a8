"""One HTTP exchange with its phases, for every probe that speaks HTTP. No redirect is followed."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING

from bot.domain.failure import Failure, FaultOf, Phase
from bot.domain.probe import Json
from bot.probes.base import ProbeContext
from bot.probes.classify import CAUGHT, Classified, Closed, classify
from bot.probes.net import certificate, dial
from bot.probes.net.stopwatch import Stopwatch
from bot.probes.net.stream import Plain, Stream, Tls, trusting
from bot.probes.params import Reader, Url
from bot.probes.resolving import names
from bot.probes.tries import Try, spaced
from bot.probes.web import http_message
from bot.probes.web.http_message import Whole

if TYPE_CHECKING:
    import h11

MAX_BODY = 64 * 1024
"""Bytes of a body that are read unless the request says otherwise; the rest is left on the wire."""
MAX_INTERIM = 16
"""Interim (1xx) replies that are waited through; RFC 9110 15.2 allows any number."""
BREATH = 200
"""Pieces of a reply that are taken in before other work gets its turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What to send. `address` pins the connection: DNS is not asked, SNI and Host stay those of the URL.

    `max_body` is how many bytes of the reply's body are read.
    """

    url: Url
    method: str = "GET"
    address: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    max_body: int = MAX_BODY


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What came back; header names are in lower case, `date_skew_ms` is the server's Date minus our clock.

    `cut` says that the body went on after what was read of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    date_skew_ms: float | None
    cut: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """One exchange. Without a reply there is a failure; with one the caller judges it."""

    reply: Reply | None = None
    failure: Failure | None = None
    fault: FaultOf | None = None
    reason: str = ""
    address: str = ""
    done_ms: Mapping[str, float] = field(default_factory=dict)
    spent_ms: Mapping[str, float] = field(default_factory=dict)
    total_ms: float = 0.0

    def judged(self, failure: Failure | None, **extra: object) -> Try:
        """The exchange as one try, with the caller's judgement of the reply."""
        worst = self.failure or failure
        row: dict[str, object] = {
            "ms": round(self.total_ms, 3),
            "status": self.reply.status if self.reply else None,
            "failure": worst.value if worst else None,
            "address": self.address,
            "timings_ms": {k: round(v, 3) for k, v in {**self.spent_ms, **self.done_ms}.items()},
            **({"reason": self.reason} if self.reason else {}),
            **extra,
        }
        total = {"total": self.total_ms}
        done = {**self.done_ms, **({} if self.failure else total)}
        spent = {**self.spent_ms, **(total if self.failure else {})}
        return Try(failure=worst, fault=self.fault, timings_ms=done, spent_ms=spent, row=row)


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """How often, how far apart (from start to start), and how long each may take."""

    tries: int
    spacing_s: float
    timeout_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Several exchanges of one kind. `detail` has status, address, date_skew_ms, and reason or certificate if any."""

    tries: Sequence[Try]
    seen: Sequence[Exchange]
    detail: dict[str, Json]

    @property
    def reply(self) -> Reply | None:
        """The last one that came."""
        return next((e.reply for e in reversed(self.seen) if e.reply), None)


def repeated(read: Reader, *, spacing_ms: int = 100) -> Repeat:
    """The parameters tries, spacing_ms and timeout_ms. Raises BadParams."""
    return Repeat(
        tries=read.integer("tries", 1, low=1, high=50),
        spacing_s=read.seconds("spacing_ms", spacing_ms, low=0),
        timeout_s=read.seconds("timeout_ms", 4000),
    )


async def exchange(kind: str, request: Request, ctx: ProbeContext, timeout_s: float, *, turn: int = 0) -> Exchange:
    """Resolve, connect, shake hands, ask and read, all within `timeout_s`. Raises Denied and BadParams only."""
    trusted = trusting(ctx.ca_file) if request.url.scheme == "https" else None
    watch = Stopwatch()
    address = request.address or ""
    reply, why = None, None
    try:
        async with asyncio.timeout(timeout_s):
            address = address or await _address(request, ctx, watch, timeout_s, turn)
            watch.begin(Phase.TCP)
            connected = await dial.connect(kind, address, request.url.port, ctx)
            watch.end(connected.ms)
            with contextlib.closing(connected.sock):
                watch.begin(Phase.HTTP if trusted is None else Phase.TLS)
                stream: Stream = Plain(connected.held())
                if trusted is not None:
                    stream = tls = Tls(connected.sock, trusted, request.url.host)
                    await tls.shake()
                    watch.end()
                watch.begin(Phase.HTTP)
                reply = await _talk(stream, request, watch)
    except CAUGHT as exc:
        why = classify(exc, watch.phase)
    return Exchange(
        reply=reply,
        failure=why.failure if why else None,
        fault=why.fault if why else None,
        reason=why.reason if why else "",
        address=address,
        done_ms=watch.done_ms,
        spent_ms=watch.spent(),
        total_ms=watch.total(),
    )


async def _address(request: Request, ctx: ProbeContext, watch: Stopwatch, timeout_s: float, turn: int) -> str:
    literal = _literal(request.url.host)
    if literal:
        return literal
    watch.begin(Phase.DNS)
    found = await names.lookup(request.url.host, ctx, timeout_s, turn=turn)
    watch.end()
    return found[0]


@lru_cache(maxsize=256)
def _literal(host: str) -> str:
    """The canonical spelling of an IP literal, "" for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


async def _talk(stream: Stream, request: Request, watch: Stopwatch) -> Reply:
    headers = _headers(request)
    await stream.send(http_message.written(request.method, request.url.target, headers, request.body))
    first = await stream.receive()
    if not first:
        raise Closed
    local = time.time()
    watch.end()
    seen, cut = http_message.whole(first, request.method), False
    if seen is None:
        seen, cut = await _piecemeal(stream, request, headers, first)
    skew, body = _skew(seen.headers.get("date"), local), seen.body[: request.max_body]
    cut = cut or len(body) < len(seen.body)
    return Reply(status=seen.status, headers=seen.headers, body=body, date_skew_ms=skew, cut=cut)


def _headers(request: Request) -> list[tuple[str, str]]:
    headers = [("host", request.url.authority), ("user-agent", "warroom-probe"), ("accept", "*/*")]
    headers += [("accept-encoding", "identity"), ("connection", "close"), *request.headers.items()]
    if request.body:
        headers.append(("content-length", str(len(request.body))))
    return headers


async def _piecemeal(
    stream: Stream, request: Request, headers: list[tuple[str, str]], first: bytes
) -> tuple[Whole, bool]:
    """A reply in pieces, in chunks, or in any way out of the ordinary; and whether there was more of it."""
    import h11

    connection = h11.Connection(h11.CLIENT)
    try:
        connection.send(h11.Request(method=request.method, target=request.url.target, headers=headers))
        if request.body:
            connection.send(h11.Data(data=request.body))
        connection.send(h11.EndOfMessage())
        connection.receive_data(first)
        return await _converse(connection, stream, request.max_body)
    except h11.RemoteProtocolError as exc:
        # What breaks the protocol may be an echo of what was sent: with a credential in it, it is not shown.
        said = "a malformed reply" if "authorization" in request.headers else str(exc)[:200]
        raise Classified(Failure.HTTP_PROTOCOL, reason=said) from exc


async def _converse(connection: h11.Connection, stream: Stream, max_body: int) -> tuple[Whole, bool]:
    import h11

    response: h11.Response | None = None
    body, interim, pieces, cut = bytearray(), 0, 0, True
    while len(body) <= max_body:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            received = await stream.receive()
            if not received and response is None:
                raise Closed
            connection.receive_data(received)
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += event.data
            pieces += 1
            if pieces % BREATH == 0:
                await asyncio.sleep(0)
        elif isinstance(event, h11.InformationalResponse) and interim < MAX_INTERIM:
            interim += 1
        elif isinstance(event, h11.InformationalResponse):
            raise Classified(Failure.HTTP_PROTOCOL, reason="interim replies without end")
        else:
            cut = False
            break
    if response is None:
        raise Closed
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
    return Whole(response.status_code, fields, bytes(body)), cut


def _skew(date: str | None, local: float) -> float | None:
    """The server's Date (whole seconds, RFC 9110 6.6.1) minus our clock at the first byte, in ms."""
    stamp = _stamp(date) if date else None
    return None if stamp is None else round((stamp - local) * 1000, 0)


@lru_cache(maxsize=16)
def _stamp(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


async def series(
    kind: str, build: Callable[[], Request], judge: Callable[[Exchange], Try], ctx: ProbeContext, repeat: Repeat
) -> Series:
    """Make the same exchange `repeat.tries` times; `build` gives each its request, `judge` says what it came to."""
    seen: list[Exchange] = []

    async def one(index: int) -> Try:
        found = await exchange(kind, build(), ctx, repeat.timeout_s, turn=index)
        seen.append(found)
        return judge(found)

    tries = await spaced(repeat.tries, repeat.spacing_s, one)
    detail = _common(seen)
    certificate = await _certificate(kind, tries, build().url, ctx)
    if certificate:
        detail["certificate"] = certificate
    return Series(tries=tries, seen=seen, detail=detail)


async def _certificate(kind: str, tries: Sequence[Try], url: Url, ctx: ProbeContext) -> Mapping[str, Json] | None:
    """The certificate that did not verify in one of these tries, read once more; None when all verified."""
    for one in tries:
        if one.failure in certificate.UNVERIFIED:
            address = str(one.row["address"])
            return await certificate.shown(kind, address, url.port, url.host, ctx, timeout_s=2.0)
    return None


def _common(seen: Sequence[Exchange]) -> dict[str, Json]:
    """What several exchanges say together: the last status, address and reason, the median date_skew_ms."""
    replies = [e.reply for e in seen if e.reply]
    skews = [r.date_skew_ms for r in replies if r.date_skew_ms is not None]
    reasons = [e.reason for e in seen if e.reason]
    return {
        "status": replies[-1].status if replies else None,
        "address": next((e.address for e in reversed(seen) if e.address), None),
        "date_skew_ms": median(skews) if skews else None,
        **({"reason": reasons[-1]} if reasons else {}),
    }
