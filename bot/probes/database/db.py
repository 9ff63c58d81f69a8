"""What mysql, redis and postgres share: dial, hear the server's first word, see whether slots are left.

A server keeps a last few slots for administrators (MySQL one, PostgreSQL three by default) and lets everybody
into them until it knows who is there. So a connection without a login is greeted kindly while every real client
is turned away. A try therefore holds its first connection at the greeting and opens `reserved` more for a moment:
when one of those hears "too many connections", no slot for ordinary clients was left.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from bot.domain.failure import Failure, FaultOf, Phase
from bot.domain.probe import Json, Outcome
from bot.probes.base import Denied, Login, ProbeContext
from bot.probes.classify import CAUGHT, classify
from bot.probes.database.db_line import Line
from bot.probes.net import dial
from bot.probes.net.stopwatch import Stopwatch
from bot.probes.params import Place, Reader, show
from bot.probes.resolving import names
from bot.probes.tries import Try, spaced, summarise

TLS = ("none", "require", "verify")
NAMED = ("mysql", "postgres")
"""Kinds whose login is a user with a password, and not a password alone."""
MAX_TEXT = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Whom to ask and how. `tls` is "none", "require" (encrypted, whoever it is) or "verify"."""

    kind: str
    place: Place
    port: int
    tls: str
    sni: str
    login: str
    tries: int
    spacing_s: float
    timeout_s: float
    reserved: int = 0

    @property
    def endpoint(self) -> str:
        """host:port as the parameters spell it; logins are bound to it."""
        return show(str(self.place), self.port)


def server(read: Reader, kind: str, *, port: int, tries: int = 3, reserved: int = 0, most_reserved: int = 0) -> Server:
    """The parameters that all three have. Raises BadParams."""
    place = read.place()
    return Server(
        kind=kind,
        place=place,
        port=read.port(default=port),
        tls=read.choice("tls", TLS, "none"),
        sni=read.text("sni", str(place), limit=253),
        login=read.text("login", "", limit=100),
        tries=read.integer("tries", tries, low=1, high=10),
        spacing_s=read.seconds("spacing_ms", 250, low=0),
        timeout_s=read.seconds("timeout_ms", 3000),
        reserved=read.integer("reserved", reserved, low=0, high=most_reserved) if most_reserved else 0,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """What a server said. `told` goes into the detail: version, code, message, connections, limit, role, ..."""

    failure: Failure | None = None
    fault: FaultOf | None = None
    told: Mapping[str, Json] = field(default_factory=dict)
    waits: bool = False
    """The server waits for us now, and keeps a slot for us meanwhile."""


class Talk(Protocol):
    """One conversation in the server's protocol. Both methods raise what `classify` can name."""

    async def greet(self) -> Word:
        """Until the server's first word is there; ends the phase DB of the line's stopwatch."""
        ...

    async def part(self) -> Word:
        """What can be learned after the greeting, and a farewell that the server does not hold against us."""
        ...


Begin = Callable[[Line, Login | None], Talk]


@dataclass(kw_only=True)
class _Call:
    """One connection: how far it came and what it heard."""

    watch: Stopwatch = field(default_factory=Stopwatch)
    talk: Talk | None = None
    word: Word = field(default_factory=Word)

    async def hear(self, step: Callable[[], Awaitable[Word]], deadline: float) -> None:
        """Take one step and add what it told; `deadline` by the loop's clock. Raises Denied."""
        try:
            async with asyncio.timeout_at(deadline):
                word = await step()
        except CAUGHT as exc:
            why = classify(exc, self.watch.phase)
            word = Word(failure=why.failure, fault=why.fault, told={"reason": why.reason} if why.reason else {})
        self.word = replace(word, told={**self.word.told, **word.told})


async def probe(asked: Server, begin: Begin, ctx: ProbeContext) -> Outcome:
    """Ask `tries` times, one after the other, each within `timeout_ms`; once where TLS is met with silence.

    timings_ms: dns (by name only), tcp, tls, greeting, session (with a login), total of what worked.

    detail: tries, ok, failures, address, port, version, code, message, slots_left, reason, each, and as far as the
    server tells: connections, limit, used_share, role, read_only. Raises Denied.
    """
    login = ctx.login(asked.login, asked.kind, asked.endpoint) if asked.login else None
    if login is not None and not login.user and asked.kind in NAMED:
        raise Denied(f"login {asked.login[:40]!r} names no user, and {asked.kind} needs one")
    told: dict[str, Json] = {"address": None, "port": asked.port}

    turns = asyncio.Lock()

    async def one(_: int) -> Try:
        async with turns:  # two tries at once would find each other in the slots they count
            call = await _try(asked, begin, login, ctx)
        told.update(_fit(call.word.told, login.secret if login else ""))
        code = call.word.told.get("code")
        row = {"ms": round(call.watch.total(), 3), "failure": call.word.failure and call.word.failure.value}
        return Try(
            failure=call.word.failure,
            fault=call.word.fault,
            timings_ms={**call.watch.done_ms, **({} if call.word.failure else {"total": call.watch.total()})},
            spent_ms=call.watch.spent() if call.word.failure else {},
            row={**row, "code": str(code)[:20]} if code else row,
        )

    began = time.monotonic()
    first = await one(0)
    # A server without TLS waits for the rest of what it takes for a command: it would do so every time.
    if first.failure is Failure.TLS_TIMEOUT or asked.tries == 1:
        return summarise([first], **told)
    start_s = max(0.0, began + asked.spacing_s - time.monotonic())
    rest = await spaced(asked.tries - 1, asked.spacing_s, one, start_s=start_s)
    return summarise([first, *rest], **told)


async def _try(asked: Server, begin: Begin, login: Login | None, ctx: ProbeContext) -> _Call:
    deadline = asyncio.get_running_loop().time() + asked.timeout_s
    with contextlib.ExitStack() as held:
        first = _Call()
        address = await _located(first, asked, ctx, deadline)
        if not address:
            return first
        await first.hear(partial(_greeted, first, asked, address, begin, login, ctx, held), deadline)
        others: list[_Call] = []
        if first.word.waits and login is None:
            others = [_Call() for _ in range(asked.reserved)]
            steps = [partial(_greeted, c, asked, address, begin, login, ctx, held) for c in others]
            await asyncio.gather(*(c.hear(s, deadline) for c, s in zip(others, steps, strict=True)))
        await asyncio.gather(*(_part(c, login, deadline) for c in (first, *others)))
        _see_slots(first, others)
        return first


async def _located(call: _Call, asked: Server, ctx: ProbeContext, deadline: float) -> str:
    """The address to dial, "" when its name could not be resolved."""
    found: list[tuple[str, float | None]] = []

    async def look() -> Word:
        found.append(await names.located(asked.place, ctx, asked.timeout_s))
        return Word(told={"address": found[0][0]})

    if asked.place.address is None:
        call.watch.begin(Phase.DNS)
    await call.hear(look, deadline)
    if not found:
        return ""
    address, ms = found[0]
    if ms is not None:
        call.watch.end(ms)
    return address


async def _greeted(
    call: _Call,
    asked: Server,
    address: str,
    begin: Begin,
    login: Login | None,
    ctx: ProbeContext,
    held: contextlib.ExitStack,
) -> Word:
    call.watch.begin(Phase.TCP)
    connected = await dial.connect(asked.kind, address, asked.port, ctx)
    held.callback(connected.sock.close)
    call.watch.end(connected.ms)
    call.watch.begin(Phase.DB)
    line = Line(connected.held(), call.watch, tls=asked.tls, name=asked.sni, ca_file=ctx.ca_file)
    talk = begin(line, login)
    word = await talk.greet()
    call.talk = talk
    return word


async def _part(call: _Call, login: Login | None, deadline: float) -> None:
    """Go on where a greeting was heard; with a login the time of it is the phase "session"."""
    if call.talk is None or call.word.failure is not None:
        return
    began = time.perf_counter()
    await call.hear(call.talk.part, deadline)
    if login is not None:
        call.watch.done_ms["session"] = (time.perf_counter() - began) * 1000


def _see_slots(first: _Call, others: Iterable[_Call]) -> None:
    """Turn the first call's word into "too many connections" when one of the others was turned away for that."""
    greeted = [c for c in (first, *others) if c.talk is not None]
    full = next((c.word for c in others if c.word.failure is Failure.DB_TOO_MANY_CONNECTIONS), None)
    if full is not None and first.word.failure is None:
        left = sum(c.word.failure is not Failure.DB_TOO_MANY_CONNECTIONS for c in greeted)
        reason = f"only {left} more could connect at once, which is what a server keeps for administrators"
        first.word = Word(
            failure=full.failure, told={**first.word.told, **full.told, "slots_left": left, "reason": reason}
        )


def _fit(told: Mapping[str, Json], secret: str) -> dict[str, Json]:
    """Texts without the login's secret, should a server send it back, and of bounded length."""

    def text(value: str) -> str:
        clean = value.replace(secret, "***") if secret else value
        return "".join(c if c.isprintable() else " " for c in clean)[:MAX_TEXT]

    return {key: text(value) if isinstance(value, str) else value for key, value in told.items() if value is not None}


def share(connections: int | None, limit: int | None) -> float | None:
    """The used share of the connections that ordinary clients may have, None when it is not known."""
    if connections is None or not limit or limit < 0:
        return None
    return round(min(1.0, connections / limit), 4)


def number(text: Json) -> int | None:
    """A whole number that a server sent as text, None when it is none."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10 else None


__all__ = ["Begin", "Server", "Talk", "Word", "number", "probe", "server", "share"]
