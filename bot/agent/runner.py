"""Jobs in, results out: verifies, obeys the policy, measures. No connection lives here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from bot.domain.errors import FrameError
from bot.domain.failure import Failure
from bot.domain.probe import Outcome
from bot.probes.base import ProbeContext, failed
from bot.probes.table import run
from bot.wire.frames import CLOCK_TOLERANCE_S, Job, Result, check_job

log = logging.getLogger("warroom.agent")

MAX_PROBE_S = 60.0
"""No probe runs longer, whatever a job asks."""
MAX_WAITING = 512
"""Jobs that may wait for a free slot; more are refused as overloaded, which the hub shows as our trouble."""
MAX_HELD = 2 * 1024 * 1024
"""Bytes of text of the jobs that wait and run; an honest one has less than 2 KB. JSON takes up to 25 times that once
it is read, and the shipped unit ends an agent at 128 MB."""
MAX_REFUSALS = 512
"""Refusals that may be on their way to a hub which does not read; more jobs are dropped unanswered."""
MAX_NONCES = 16_384
"""Jobs that may come within the life of one, which must be remembered for so long lest it runs twice."""

Send = Callable[[Result], Awaitable[None]]


class Runner:
    """Runs jobs for one agent, at most `concurrent` at a time."""

    def __init__(self, *, name: str, context: ProbeContext, concurrent: int = 64) -> None:
        self._name = name
        self._context = context
        self._slots = asyncio.Semaphore(concurrent)
        self._most = concurrent + MAX_WAITING
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._held: dict[asyncio.Task[None], int] = {}
        """The bytes of each job that waits or runs."""
        self._refusals: set[asyncio.Task[None]] = set()
        self.lag_ms = 0.0

    def accept(self, job: Job, send: Send, *, now: float, size: int) -> asyncio.Task[None]:
        """Start the job and `send` its result. Raises FrameError when it may not be run.

        `now` is the time by the hub's clock, by which jobs expire; `size` the bytes of its frame.
        """
        self._forget(now)
        check_job(job, audience=self._name, now=now, seen=self._seen)
        if len(self._seen) >= MAX_NONCES or len(self._refusals) >= MAX_REFUSALS:
            raise FrameError(f"job {job.id} is one of more than can even be refused")
        self._seen[job.nonce] = job.expires
        # Counted here, for a burst is accepted before the first of its tasks gets to run.
        if len(self._held) < self._most and sum(self._held.values()) + size <= MAX_HELD:
            task = asyncio.create_task(self._run(job, send))
            self._held[task] = size
            task.add_done_callback(self._held.pop)
        else:
            outcome = failed(Failure.AGENT_OVERLOADED, reason="as many jobs as this agent holds are waiting already")
            # The result without the job, which may be large.
            task = asyncio.create_task(self._report(self._result(job, outcome, at=time.time(), took_ms=0.0), send))
            self._refusals.add(task)
            task.add_done_callback(self._refusals.discard)
        return task

    async def watch_lag(self) -> None:
        """Measure how late the event loop wakes us: a busy loop makes timings lie, so it travels with results."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.5)
            late = (time.monotonic() - before - 0.5) * 1000
            self.lag_ms = round(max(0.0, late), 2)

    async def _run(self, job: Job, send: Send) -> None:
        request = job.request
        async with self._slots:
            at, start = time.time(), time.monotonic()
            outcome = await run(request.kind, request.params, self._context, min(MAX_PROBE_S, request.timeout_s))
            took_ms = (time.monotonic() - start) * 1000
        await self._report(self._result(job, outcome, at=at, took_ms=took_ms), send)

    def _result(self, job: Job, outcome: Outcome, *, at: float, took_ms: float) -> Result:
        return Result(
            job=job.id, nonce=job.nonce, outcome=outcome, at=at, took_ms=round(took_ms, 2), lag_ms=self.lag_ms
        )

    async def _report(self, result: Result, send: Send) -> None:
        try:
            await send(result)
        except (OSError, FrameError) as exc:
            log.warning("result of job %s could not be sent: %s", result.job, exc)

    def _forget(self, now: float) -> None:
        """Expired nonces are refused by their expiry, so they need not be kept."""
        # Oldest first; one that lives longest delays those behind it by a minute at most.
        while self._seen and next(iter(self._seen.values())) + 2 * CLOCK_TOLERANCE_S <= now:
            self._seen.popitem(last=False)
