"""The talk with one hub, over any pipe: introduce, work, and take leave."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bot.agent.known_hub import HubMemory
from bot.agent.pipe import Pipe, PipeBroken, RefusedByHub, SentAway, unless
from bot.agent.pulse import Pulse
from bot.agent.runner import Runner
from bot.domain.errors import FrameError
from bot.domain.failure import Failure
from bot.domain.probe import Agent
from bot.probes.base import failed
from bot.wire.codec import decode
from bot.wire.complaints import Complaints
from bot.wire.frames import Beat, Job, Refused, Result, Status, Welcome
from bot.wire.handshake import AgentHandshake, Credentials, new_process
from bot.wire.session import Session
from bot.wire.signing import Signer, Verifier

log = logging.getLogger("warroom.agent")

WELCOME_WITHIN_S = 10.0
DRAIN_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HubClock:
    """The hub's time, reckoned on a clock that never steps; ours may be set at any moment."""

    ahead_of_monotonic_s: float

    def now(self) -> float:
        """Epoch seconds by the hub."""
        return self.ahead_of_monotonic_s + time.monotonic()

    def ours_ahead_ms(self) -> float:
        """How far our clock is ahead of the hub's."""
        return round((time.time() - self.now()) * 1000, 1)


@dataclass(kw_only=True, slots=True)
class Party:
    """The agent as hubs meet it. `lacks` is filled by the self-test, after which it is ready."""

    agent: Agent
    signer: Signer
    runner: Runner
    memory: HubMemory
    token: str = field(default="", repr=False)
    process: str = field(default_factory=new_process)
    lacks: tuple[str, ...] = ()
    tested: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    pulse: Pulse = field(default_factory=lambda: Pulse(None))


async def converse(party: Party, pipe: Pipe, *, welcomed: Callable[[], None] = lambda: None) -> None:
    """Talk until the pipe breaks, or until the party stops and has drained.

    Raises PipeBroken, FrameError, TimeoutError, StrangeHub, and for good RefusedByHub or, once in, SentAway.
    """
    session, clock = await unless(party.stop, _introduce(party, pipe))
    welcomed()
    talk = _Talk(party, pipe, session, clock)
    party.pulse.begin()
    try:
        await talk.run()
    finally:
        party.pulse.end()
        talk.abandon()


async def _introduce(party: Party, pipe: Pipe) -> tuple[Session, HubClock]:
    known = party.memory.known.public_key
    mine = Credentials(signer=party.signer, token=party.token, hub=known, process=party.process)
    shake = AgentHandshake(party.agent, mine)
    async with asyncio.timeout(WELCOME_WITHIN_S):
        hello, session = shake.answer(await pipe.receive())
        asked = time.monotonic()
        await pipe.send(hello)
        text = await pipe.receive()
        answered = time.monotonic()
    welcome = _welcome(text, shake, session)
    party.memory.trust(shake.hub)
    # The welcome was written about half a round trip before it was read.
    return session, HubClock(ahead_of_monotonic_s=welcome.now - (asked + answered) / 2)


def _welcome(text: str, shake: AgentHandshake, session: Session) -> Welcome:
    """The hub's welcome. Raises FrameError, StrangeHub, PipeBroken, and RefusedByHub for good.

    For good only by the hub that is known, or while none is, and only if sealed for this very hello: one on the way
    must not be able to end an agent. A text that begins with a brace is signed and may be from elsewhere.
    """
    signed = text.startswith("{")
    frame = decode(text, Verifier(shake.hub)) if signed else session.open(text)
    if isinstance(frame, Refused):
        raise _refusal(frame, RefusedByHub, final=shake.expected and not signed)
    return shake.accept(frame)


def _refusal(said: Refused, kind: type[RefusedByHub], *, final: bool = True) -> Exception:
    return kind(said.reason) if said.final and final else PipeBroken(f"the hub says: {said.reason}")


class _Talk:
    """One session at work."""

    def __init__(self, party: Party, pipe: Pipe, session: Session, clock: HubClock) -> None:
        self._party = party
        self._pipe = pipe
        self._session = session
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._complaints = Complaints(log)

    async def run(self) -> None:
        beside = [asyncio.create_task(work) for work in (self._report_ready(), self._leave(), self._beat())]
        try:
            while True:
                try:
                    self._take(await self._pipe.receive())
                except FrameError as exc:
                    self._complaints.warn("refused a frame: %s", exc)
        except PipeBroken:
            if not self._party.stop.is_set():
                raise
        finally:
            for task in beside:
                task.cancel()

    def abandon(self) -> None:
        """Drop what runs: the connection its results belonged to is gone."""
        for task in self._tasks:
            task.cancel()

    def _take(self, text: str) -> None:
        frame = self._session.open(text)
        if isinstance(frame, Job):
            task = self._party.runner.accept(frame, self._send, now=self._clock.now(), size=len(text))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif isinstance(frame, Refused):
            raise _refusal(frame, SentAway)
        elif not isinstance(frame, Beat):
            raise FrameError(f"unexpected {type(frame).__name__.lower()} frame")

    async def _send(self, result: Result) -> None:
        result = replace(result, clock_ms=self._clock.ours_ahead_ms())
        try:
            await self._pipe.send(spell(result, self._session))
        except PipeBroken as exc:
            raise FrameError("the connection closed before the result was sent") from exc

    async def _beat(self) -> None:
        while self._pipe.beat_s:
            await asyncio.sleep(self._pipe.beat_s)
            with contextlib.suppress(PipeBroken):
                await self._pipe.send(self._session.seal(Beat(now=time.time())))

    async def _report_ready(self) -> None:
        await self._party.tested.wait()
        await self._status("ready")

    async def _leave(self) -> None:
        """On stop: say so, finish what runs, close."""
        await self._party.stop.wait()
        await self._status("draining")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_S)
        await self._pipe.close()

    async def _status(self, state: str) -> None:
        status = Status(
            state=state,
            lag_ms=self._party.runner.lag_ms,
            clock_ms=self._clock.ours_ahead_ms(),
            lacks=self._party.lacks,
        )
        with contextlib.suppress(PipeBroken):
            await self._pipe.send(self._session.seal(status))


def spell(result: Result, session: Session) -> str:
    """The result as text. One that cannot travel becomes our own trouble, lest the hub wait for it."""
    try:
        return session.seal(result)
    except FrameError as exc:
        outcome = failed(Failure.AGENT_ERROR, reason=f"the result cannot be sent: {exc}"[:500])
        return session.seal(replace(result, outcome=outcome))
