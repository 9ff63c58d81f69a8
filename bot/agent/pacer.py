"""The agent's own rate budget: a hub that asks too much is slowed down, then told so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bot.agent.policy_file import Budget

MAX_WAIT_S = 2.0
"""Work that would have to wait longer is refused as the agent's own trouble."""


class Pacer:
    """Token buckets of one second each; implements `bot.probes.base.Pace`."""

    def __init__(self, budget: Budget, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._rates = {"probe": budget.probes_per_second, "dns": budget.dns_per_second}
        self._due = dict.fromkeys(self._rates, 0.0)

    async def __call__(self, what: str) -> bool:
        """Wait for a token; False when it would take longer than MAX_WAIT_S."""
        wait = self.reserve(what)
        if wait is None:
            return False
        if wait > 0:
            await asyncio.sleep(wait)
        return True

    def reserve(self, what: str) -> float | None:
        """Take a token and say how many seconds to wait for it; None when that is too long."""
        now, rate = self._now(), self._rates[what]
        # The bucket as the time at which it will be full again: one second behind means a burst is left.
        due = max(self._due[what], now - 1.0) + 1.0 / rate
        if due - now > MAX_WAIT_S:
            return None
        self._due[what] = due
        return max(0.0, due - now)
