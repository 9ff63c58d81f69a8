"""Jobs in, results out: verifies, obeys the policy, measures. No connection lives here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from bot.domain.errors import FrameError
from bot.domain.failure import Failure
from bot.domain.probe import Outcome
from bot.probes.base import ProbeContext, failed
from bot.probes.table import run
from bot.wire.frames import Job, Result, check_job

log = logging.getLogger("warroom.agent")

MAX_PROBE_S = 60.0
"""No probe runs longer, whatever a job asks."""
MAX_WAITING = 512
"""Jobs that may wait for a free slot; more are refused as overloaded, which the hub shows as our trouble."""


class Runner:
    """Runs jobs for one agent, at most `concurrent` at a time."""

    def __init__(self, *, name: str, context: ProbeContext, concurrent: int = 64) -> None:
        self._name = name
        self._context = context
        self._slots = asyncio.Semaphore(concurrent)
        self._most = concurrent + MAX_WAITING
        self._seen: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.lag_ms = 0.0

    def accept(self, job: Job, send: Callable[[Result], Awaitable[None]], *, now: float) -> asyncio.Task[None]:
        """Start the job and `send` its result. Raises FrameError when it may not be run.

        `now` is the time by the hub's clock, by which jobs expire.
        """
        self._forget(now)
        check_job(job, audience=self._name, now=now, seen=self._seen)
        self._seen[job.nonce] = job.expires
        # Counted here, for a burst is accepted before the first of its tasks gets to run.
        room = len(self._tasks) < self._most
        task = asyncio.create_task(self._run(job, send) if room else self._turn_away(job, send))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def watch_lag(self) -> None:
        """Measure how late the event loop wakes us: a busy loop makes timings lie, so it travels with results."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.5)
            late = (time.monotonic() - before - 0.5) * 1000
            self.lag_ms = round(max(0.0, late), 2)

    async def _run(self, job: Job, send: Callable[[Result], Awaitable[None]]) -> None:
        request = job.request
        async with self._slots:
            at, start = time.time(), time.monotonic()
            outcome = await run(request.kind, request.params, self._context, min(MAX_PROBE_S, request.timeout_s))
            took_ms = (time.monotonic() - start) * 1000
        await self._report(job, outcome, send, at=at, took_ms=took_ms)

    async def _turn_away(self, job: Job, send: Callable[[Result], Awaitable[None]]) -> None:
        outcome = failed(Failure.AGENT_OVERLOADED, reason=f"{MAX_WAITING} jobs are waiting already")
        await self._report(job, outcome, send, at=time.time(), took_ms=0.0)

    async def _report(
        self, job: Job, outcome: Outcome, send: Callable[[Result], Awaitable[None]], *, at: float, took_ms: float
    ) -> None:
        result = Result(
            job=job.id, nonce=job.nonce, outcome=outcome, at=at, took_ms=round(took_ms, 2), lag_ms=self.lag_ms
        )
        try:
            await send(result)
        except (OSError, FrameError) as exc:
            log.warning("result of %s could not be sent: %s", job.request.probe, exc)

    def _forget(self, now: float) -> None:
        """Expired nonces are refused by their expiry, so they need not be kept."""
        if len(self._seen) > 4096:
            self._seen = {nonce: expires for nonce, expires in self._seen.items() if expires + 60 > now}
