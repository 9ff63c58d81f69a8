"""What WeCom takes in a minute, an hour, a day: beyond that it drops in silence, so nothing beyond may be sent."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from bot.domain.errors import SendFailed

Limits = Sequence[tuple[int, float]]
MEMBER: Limits = ((30, 60.0), (1000, 3600.0))
"""Application messages to one member; the robot's messages to one conversation have the same."""
HOOK: Limits = ((20, 60.0),)
GROUP: Limits = ((200, 60.0), (10_000, 86_400.0))
"""Messages of groups of the application to each of their members."""
NEW_GROUPS: Limits = ((1000, 86_400.0),)
CHANGES: Limits = ((1000, 3600.0),)
UPLOADS: Limits = ((30, 60.0), (1000, 3600.0))
MOST_KEYS = 5000
MARGIN_S = 0.5
"""WeCom's clock is not ours."""


class Budget:
    """Sliding windows by key; `now` is a monotonic clock in seconds."""

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._limits, self._now = limits, now
        self._spent: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """How long until one more fits; 0 when it does now."""
        spent, now, wait = self._of(key), self._now(), 0.0
        for most, span in self._limits:
            if len(spent) >= most and now - spent[-most] < span + MARGIN_S:
                wait = max(wait, span + MARGIN_S - (now - spent[-most]))
        return wait

    def used(self, key: str) -> int:
        """How many went out in the shortest window."""
        span, now = self._limits[0][1] + MARGIN_S, self._now()
        return sum(1 for at in self._of(key) if now - at < span)

    def take(self, key: str, what: str) -> None:
        """Count one more. Raises SendFailed with the time to wait when it would be too many."""
        wait = self.wait_s(key)
        if wait > 0:
            most, span = self._limits[0]
            raise SendFailed(f"{what}: WeCom takes {most} in {span:g} s and drops the rest", retry_after_s=wait)
        self._of(key).append(self._now())

    def _of(self, key: str) -> deque[float]:
        most = max(n for n, _ in self._limits)
        spent = self._spent.setdefault(key, deque(maxlen=most))
        self._spent.move_to_end(key)
        while len(self._spent) > MOST_KEYS:
            self._spent.popitem(last=False)
        return spent
