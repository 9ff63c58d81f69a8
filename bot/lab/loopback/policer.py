"""A provider's limit on queries per second."""

from __future__ import annotations

import math
import random

RATE_WINDOW_S = 0.5
BURST_S = 0.2


class Policer:
    """A token bucket that lets `limit_qps` through and silently refuses the rest.

    A provider polices on many machines at once, so under overload every query has the same odds,
    limit / offered, however the queries are spaced: the offered rate is estimated with an exponential
    window and thinned first; the bucket then caps what is left.
    """

    def __init__(self, limit_qps: float, *, now: float) -> None:
        self.limit_qps = limit_qps
        self._tokens = limit_qps * BURST_S
        self._seen = 0.0
        self._last = now

    def admit(self, now: float) -> bool:
        """Whether a query arriving `now` (s, monotonic) gets an answer."""
        elapsed = max(0.0, now - self._last)
        self._last = now
        self._tokens = min(self.limit_qps * BURST_S, self._tokens + elapsed * self.limit_qps)
        self._seen = self._seen * math.exp(-elapsed / RATE_WINDOW_S) + 1
        offered_qps = self._seen / RATE_WINDOW_S
        if offered_qps > self.limit_qps and random.random() > self.limit_qps / offered_qps:
            return False
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
