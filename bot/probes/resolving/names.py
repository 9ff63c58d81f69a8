"""Resolvers and names: whom to ask, and one try of asking, by datagram, TCP, TLS or the host's own library."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bot.domain.failure import Failure, FaultOf, Phase
from bot.domain.probe import Outcome
from bot.probes.base import BadParams, ProbeContext, failed
from bot.probes.classify import CAUGHT, Classified, classify
from bot.probes.net import dial
from bot.probes.net.stream import Plain, Stream, Tls, trusting
from bot.probes.params import Place, endpoint, show
from bot.probes.resolving import dns_message
from bot.probes.resolving.dns_message import Answer, Question

PORTS = {"udp": 53, "tcp": 53, "dot": 853}
GETADDRINFO = "getaddrinfo"
_LIBRARY_CALLS = threading.BoundedSemaphore(64)


@dataclass(frozen=True, slots=True)
class Resolver:
    """A resolver to ask; address "" is the host's own library."""

    address: str
    port: int

    def __str__(self) -> str:
        return show(self.address, self.port) if self.address else GETADDRINFO


def resolvers(servers: tuple[str, ...], proto: str, ctx: ProbeContext) -> tuple[Resolver, ...]:
    """Read "@host", "@vpc", "@public", "ip" or "ip:port". Raises BadParams when the agent knows no such group."""
    found: list[Resolver] = []
    for server in servers:
        if server == "@host" and ctx.host_engine == GETADDRINFO and proto == "udp":
            found.append(Resolver("", 0))
        elif server.startswith("@"):
            named = ctx.resolvers.get(server[1:], ())
            if not named:
                raise BadParams(f"server: this agent knows no resolver {server[:40]!r}; name it in its policy")
            found += [_read(text, proto) for text in named]
        else:
            found.append(_read(server, proto))
    return tuple(found)


def _read(text: str, proto: str) -> Resolver:
    address, port = endpoint(text, "server", port=PORTS[proto])
    # A resolver that a policy names for datagrams at :53 speaks DNS over TLS at its own port.
    return Resolver(address, PORTS["dot"] if proto == "dot" and port == PORTS["udp"] else port)


async def ask(
    resolver: Resolver, asked: Question, proto: str, ctx: ProbeContext, timeout_s: float
) -> tuple[Answer, float]:
    """One query with an id and a source port of its own, sent once; (answer, ms).

    Raises Denied, OSError and its kin (`classify.CAUGHT`), or Classified for a malformed answer.
    """
    await within_budget(ctx)
    if ctx.pace is None:
        return await _ask(resolver, asked, proto, ctx, timeout_s)
    if not await ctx.pace.ask(resolver.address):
        reason = f"the agent's budget for {resolver.address} is used up"
        raise Classified(Failure.AGENT_OVERLOADED, fault=FaultOf.AGENT, reason=reason)
    try:
        return await _ask(resolver, asked, proto, ctx, timeout_s)
    finally:
        ctx.pace.asked(resolver.address)


async def _ask(
    resolver: Resolver, asked: Question, proto: str, ctx: ProbeContext, timeout_s: float
) -> tuple[Answer, float]:
    ident = secrets.randbits(16)
    payload = dns_message.query(ident, asked)
    try:
        if proto == "udp":
            with contextlib.closing(dial.datagrams("dns", resolver.address, resolver.port, ctx)) as sock:
                return await dial.ask(sock, payload, lambda wire: dns_message.read(wire, ident, asked), timeout_s)
        async with asyncio.timeout(timeout_s):
            return await _ask_stream(resolver, payload, ident, asked, proto, ctx)
    except dns_message.Malformed as exc:
        raise Classified(Failure.DNS_BOGUS, reason=str(exc)) from exc


async def within_budget(ctx: ProbeContext) -> None:
    """Wait for the agent's DNS budget. Raises Classified when there is none left."""
    if ctx.pace is not None and not await ctx.pace("dns"):
        raise Classified(Failure.AGENT_OVERLOADED, fault=FaultOf.AGENT, reason="the agent's DNS budget is used up")


async def _ask_stream(
    resolver: Resolver, payload: bytes, ident: int, asked: Question, proto: str, ctx: ProbeContext
) -> tuple[Answer, float]:
    began = time.perf_counter()
    connected = await dial.connect("dns", resolver.address, resolver.port, ctx)
    with contextlib.closing(connected.sock):
        stream: Stream = Plain(connected.held())
        if proto == "dot":
            stream = tls = Tls(connected.sock, trusting(ctx.ca_file), resolver.address)
            await tls.shake()
        await stream.send(struct.pack("!H", len(payload)) + payload)
        wire = await _framed(stream)
    answer = dns_message.read(wire, ident, asked)
    if answer is None:
        raise Classified(Failure.DNS_BOGUS, reason="an answer to another question")
    return answer, (time.perf_counter() - began) * 1000


async def _framed(stream: Stream) -> bytes:
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
        more = await stream.receive()
        if not more:
            raise Classified(Failure.DNS_UNREACHABLE, reason="closed without an answer")
        data += more
    return data[2 : 2 + int.from_bytes(data[:2], "big")]


async def library(name: str, family: int, ctx: ProbeContext, timeout_s: float) -> tuple[Answer, float]:
    """One `getaddrinfo` within the agent's budget; (answer, ms).

    Raises TimeoutError, or Classified: the library tells a silent resolver from a failing one only by its time.
    """
    await within_budget(ctx)
    return _library_answer(*await getaddrinfo(name, family, timeout_s))


async def getaddrinfo(name: str, family: int, timeout_s: float) -> tuple[list[str], int, float]:
    """One `getaddrinfo` in a thread of its own, left behind when it takes too long; (addresses, EAI code, ms).

    Raises TimeoutError, or Classified when too many such threads hang already.
    """
    if not _LIBRARY_CALLS.acquire(blocking=False):
        raise Classified(Failure.AGENT_OVERLOADED, fault=FaultOf.AGENT, reason="too many getaddrinfo calls hang")
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[list[str], int, float]] = loop.create_future()

    def settle(result: tuple[list[str], int, float]) -> None:
        if not done.done():
            done.set_result(result)

    def call() -> None:
        began, code, found = time.perf_counter(), 0, []
        try:
            found = [str(row[4][0]) for row in socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)]
        except socket.gaierror as exc:
            code = exc.errno or 0
        except (OSError, UnicodeError):
            code = socket.EAI_SYSTEM
        finally:
            _LIBRARY_CALLS.release()
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(settle, (found, code, (time.perf_counter() - began) * 1000))

    threading.Thread(target=call, name="getaddrinfo", daemon=True).start()
    async with asyncio.timeout(timeout_s):
        return await done


def _library_answer(found: list[str], code: int, ms: float) -> tuple[Answer, float]:
    if code == 0:
        return Answer(0, len(found), tuple(dict.fromkeys(found)), False), ms
    if code == socket.EAI_NONAME:
        return Answer(3, 0, (), False), ms
    if code in (getattr(socket, "EAI_NODATA", None), getattr(socket, "EAI_ADDRFAMILY", None)):
        return Answer(0, 0, (), False), ms
    if code == socket.EAI_AGAIN and ms >= 1000:
        raise Classified(Failure.DNS_TIMEOUT, reason="EAI_AGAIN")
    if code in (socket.EAI_AGAIN, socket.EAI_FAIL):
        raise Classified(Failure.DNS_SERVFAIL, reason="EAI_AGAIN" if code == socket.EAI_AGAIN else "EAI_FAIL")
    raise Classified(Failure.AGENT_ERROR, fault=FaultOf.AGENT, reason=f"getaddrinfo error {code}")


_BY_RCODE = {2: Failure.DNS_SERVFAIL, 3: Failure.DNS_NXDOMAIN, 5: Failure.DNS_REFUSED}


def judge(answer: Answer) -> Failure | None:
    """None for NOERROR with a record of the asked type (or cut short), else what it amounts to."""
    if answer.rcode == 0:
        return None if answer.records or answer.truncated else Failure.DNS_NO_ANSWER
    return _BY_RCODE.get(answer.rcode, Failure.DNS_BOGUS)


async def lookup(host: str, ctx: ProbeContext, timeout_s: float, *, turn: int = 0) -> tuple[str, ...]:
    """The addresses of a host as the machine's own programs would get them, IPv4 first, never asked twice.

    `turn` rotates over the host's resolvers. Raises Classified and what `ask` raises.
    """
    servers = resolvers(("@host",), "udp", ctx)
    server = servers[turn % len(servers)]
    if not server.address:
        answer, _ = await library(host, socket.AF_UNSPEC, ctx, timeout_s)
    else:
        answer, _ = await ask(server, dns_message.question(host, "A"), "udp", ctx, timeout_s)
        if judge(answer) is Failure.DNS_NO_ANSWER:
            answer, _ = await ask(server, dns_message.question(host, "AAAA"), "udp", ctx, timeout_s)
    failure = judge(answer)
    if failure or not answer.addresses:
        raise Classified(failure or Failure.DNS_NO_ANSWER)
    return tuple(sorted(answer.addresses, key=lambda a: ":" in a))


async def located(place: Place, ctx: ProbeContext, timeout_s: float) -> tuple[str, float | None]:
    """(address, ms of the lookup or None where there was none). Raises what `lookup` raises, and TimeoutError."""
    if place.address is not None:
        return place.address, None
    began = time.perf_counter()
    async with asyncio.timeout(timeout_s):
        found = await lookup(place.host, ctx, timeout_s)
    return found[0], (time.perf_counter() - began) * 1000


async def at(
    place: Place, ctx: ProbeContext, timeout_s: float, measure: Callable[[str], Awaitable[Outcome]]
) -> Outcome:
    """`measure` the place's address, and say in the Outcome what the lookup took, or why there is no address.

    Raises Denied and BadParams. Adds timings_ms dns and detail host where a name was looked up.
    """
    began = time.perf_counter()
    try:
        address, dns_ms = await located(place, ctx, timeout_s)
    except CAUGHT as exc:
        why, spent = classify(exc, Phase.DNS), (time.perf_counter() - began) * 1000
        told = {"reason": why.reason} if why.reason else {}
        return failed(
            why.failure, fault=why.fault, timings_ms={"dns": round(spent, 3)}, host=place.host, address=None, **told
        )
    found = await measure(address)
    if dns_ms is None:
        return found
    return replace(
        found,
        timings_ms={"dns": round(dns_ms, 3), **found.timings_ms},
        detail={**found.detail, "host": place.host},
    )
