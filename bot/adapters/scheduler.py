"""The clock that wakes loops up: APScheduler in memory. What is due is a row in the database, never a job of its."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger


class Ticker:
    """Calls functions at intervals inside the running loop, from `start` to `stop`.

    Ticks that were missed become one (`coalesce`), and one that is late is still made (`misfire_grace_time=None`):
    APScheduler's default drops a job that is a second late.
    """

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            executors={"default": AsyncIOExecutor()},
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )

    def every(self, seconds: float, wake: Callable[[], None]) -> None:
        """Call `wake`, which must return at once, every so many seconds."""

        async def tick() -> None:
            # A coroutine, because APScheduler would call a plain function in a thread.
            wake()

        self._scheduler.add_job(tick, IntervalTrigger(seconds=max(1, round(seconds)), timezone=UTC))

    def once(self, seconds: float, wake: Callable[[], None], *, name: str) -> None:
        """Call `wake` after so many seconds, in place of an earlier one of that name which has not come yet."""

        async def ring() -> None:
            wake()

        at = datetime.now(UTC) + timedelta(seconds=max(0.0, seconds))
        self._scheduler.add_job(ring, DateTrigger(at, timezone=UTC), id=name, replace_existing=True)

    def start(self) -> None:
        """Begin; needs a running loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """No tick comes after this."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
