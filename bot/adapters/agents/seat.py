"""One agent that was let in: its connection, its session, and the jobs that are out."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bot.adapters.agents.link import POLICY_CLOSED, Link, LinkBroken
from bot.adapters.agents.question import Question
from bot.domain.errors import FrameError
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, Observation, Outcome, ProbeRequest, observe
from bot.probes.base import BadParams
from bot.wire.frames import Beat, Frame, Hello, Job, Refused, Result, Status
from bot.wire.session import Session

JOB_LIFE_S = 60.0
GRACE_S = 2.0
"""How much later than a probe's own limit its answer may come."""
SEND_WITHIN_S = 5.0
QUEUE = 4096
"""Frames that may wait for an agent that does not read; more, and it counts as gone."""


@dataclass(slots=True)
class _Out:
    """A job that is out, and the timer after which the agent counts as silent."""

    job: Job
    question: Question
    index: int
    timer: asyncio.TimerHandle


class Seat:
    """What the hub knows of one connected agent. Only `run` ends it."""

    def __init__(
        self, link: Link, session: Session, agent: Agent, hello: Hello, *, changed: Callable[[Agent], None]
    ) -> None:
        self.hello = hello
        self._name = agent.name
        self._agent = agent
        self._heard: tuple[datetime, float, float] | None = None
        """When it was last heard, its lag and its clock; newer than what the agent's row says."""
        self._link = link
        self._session = session
        self._changed = changed
        self._out: dict[str, _Out] = {}
        self._outgoing: deque[str] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._abandoned = False

    @property
    def agent(self) -> Agent:
        """The agent as of now."""
        if self._heard is not None:
            seen, lag_ms, clock_ms = self._heard
            self._agent = replace(self._agent, last_seen=seen, lag_ms=lag_ms, clock_ms=clock_ms)
            self._heard = None
        return self._agent

    def issue(self, request: ProbeRequest, index: int, question: Question) -> None:
        """Send one request out as a job; whatever becomes of it, the question hears."""
        now, random = time.time(), secrets.token_hex(24)
        job = Job(
            id=random[:16],
            audience=self._name,
            nonce=random[16:],
            issued=now,
            expires=now + JOB_LIFE_S,
            request=request,
        )
        try:
            question.check(request)
            self.post(job)
        except (BadParams, FrameError) as exc:
            question.answer(index, failed(request, self.agent, Failure.UNSUPPORTED, f"the job cannot be sent: {exc}"))
            return
        except LinkBroken as exc:
            question.answer(index, failed(request, self.agent, Failure.AGENT_LOST, str(exc)))
            return
        within = request.timeout_s + GRACE_S
        timer = asyncio.get_running_loop().call_later(within, self._silent, job.id, within)
        self._out[job.id] = _Out(job, question, index, timer)

    def post(self, frame: Frame) -> None:
        """Queue a frame. Raises FrameError for one that cannot travel, LinkBroken when too many wait already."""
        if len(self._outgoing) >= QUEUE:
            raise LinkBroken("the agent does not read what it is sent")
        self._outgoing.append(self._session.seal(frame))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def withdraw(self, question: Question) -> None:
        """Take back the jobs of this question; an answer that comes later finds no job."""
        for key in [key for key, out in self._out.items() if out.question is question]:
            self._out.pop(key).timer.cancel()

    def abandon(self, why: str) -> None:
        """The agent is gone, and every job that is out with it; whatever it still says changes nothing."""
        self._abandoned = True
        for out in self._out.values():
            out.timer.cancel()
            out.question.answer(out.index, failed(out.job.request, self.agent, Failure.AGENT_LOST, why))
        self._out.clear()

    async def run(self, hear: Callable[[Exception], None]) -> str:
        """Carry frames both ways until the connection ends; returns how. `hear` is told of frames not believed."""
        work = [asyncio.create_task(one) for one in (self._write(), self._read(hear))]
        beating = asyncio.create_task(self._beat())
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for task in (*work, beating):
                task.cancel()

    async def hang_up(self, reason: str, *, final: bool) -> None:
        """Tell the agent why and close; one that does not read delays nobody."""
        with contextlib.suppress(LinkBroken, TimeoutError):
            async with asyncio.timeout(SEND_WITHIN_S):
                await self._link.send(self._session.seal(Refused(reason=reason, final=final)))
        await self._link.close(POLICY_CLOSED)

    async def _beat(self) -> None:
        while self._link.beat_s:
            await asyncio.sleep(self._link.beat_s)
            with contextlib.suppress(LinkBroken):
                self.post(Beat(now=time.time()))

    async def _write(self) -> str:
        try:
            while True:
                while self._outgoing:
                    async with asyncio.timeout(SEND_WITHIN_S):
                        await self._link.send(self._outgoing.popleft())
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        except TimeoutError:
            return "connection broke while sending"
        except LinkBroken as exc:
            return str(exc)

    async def _read(self, hear: Callable[[Exception], None]) -> str:
        while True:
            try:
                self._take(self._session.open(await self._link.receive()))
            except LinkBroken as exc:
                return str(exc)
            except FrameError as exc:
                hear(exc)

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Result):
            self._result(frame)
        elif isinstance(frame, Status):
            state = "draining" if frame.state == "draining" else "ready"
            self._heard = (_now(), frame.lag_ms, frame.clock_ms)
            self._agent = replace(self.agent, state=state, lacks=frame.lacks or self._agent.lacks)
            if not self._abandoned:
                self._changed(self._agent)
        elif not isinstance(frame, Beat):
            raise FrameError(f"unexpected {type(frame).__name__.lower()} frame")

    def _result(self, result: Result) -> None:
        out = self._out.get(result.job)
        if out is None or out.job.nonce != result.nonce:
            raise FrameError(f"a result for job {result.job!r} that is not out; ignored")
        del self._out[result.job]
        out.timer.cancel()
        self._heard = (_now(), result.lag_ms, result.clock_ms)
        seen = observe(
            out.job.request,
            self._agent,
            result.outcome,
            at=_at(result.at),
            took_ms=result.took_ms,
            lag_ms=result.lag_ms,
            clock_ms=result.clock_ms,
        )
        out.question.answer(out.index, seen)

    def _silent(self, job: str, within_s: float) -> None:
        out = self._out.get(job)
        if out is not None:
            why = f"no answer within {within_s:.0f} s"
            out.question.overdue(out.index, failed(out.job.request, self.agent, Failure.AGENT_LOST, why))


def failed(request: ProbeRequest, agent: Agent, failure: Failure, why: str) -> Observation:
    """An observation of the agent's own trouble, never the target's."""
    outcome = Outcome(ok=False, failure=failure, fault_of=FaultOf.AGENT, detail={"reason": why})
    return observe(request, agent, outcome, at=_now(), took_ms=0.0)


def _now() -> datetime:
    return datetime.now(UTC)


def _at(epoch: float) -> datetime:
    """The agent's own word on when; a clock beyond all bounds is replaced by ours."""
    try:
        return datetime.fromtimestamp(epoch, UTC)
    except (OverflowError, ValueError, OSError):
        return _now()
