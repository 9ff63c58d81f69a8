"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

ONSET = datetime(2026, 1, 15, 15, 0, tzinfo=UTC)
"""23:00 in Shanghai, the hour the first call comes."""


class FixedClock:
    """Implements `Clock`. `advance` wakes every sleeper whose time has come, in order, each at its own moment."""

    def __init__(self, now: datetime = ONSET) -> None:
        self._start = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        """The moment the test has moved to, aware, UTC."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds moved since the start."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has moved that far; no wait at all for zero or less."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move time forward, stopping at each sleeper's moment so that loops run as often as they would."""
        end = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self._elapsed = max(self._elapsed, due)
            woken.set_result(None)
            await settle()
        self._elapsed = end
        await settle()

    @property
    def sleepers(self) -> int:
        """How many tasks are waiting for time to pass."""
        return sum(not woken.done() for _, _, woken in self._sleepers)


async def settle(turns: int = 20) -> None:
    """Let tasks that only wait for each other run; work on sockets and threads needs its own waiting."""
    for _ in range(turns):
        await asyncio.sleep(0)
