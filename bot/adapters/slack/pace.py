"""One message a second in each channel, in the order they came; other channels do not wait."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bot.app.ports import Clock

GAP_S = 1.0
"""docs.slack.dev, rate limits: one message a second and channel. Counted from the answer to the last one."""
MOST = 5000


@dataclass
class _Channel:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    free_at: float = 0.0
    users: int = 0


class Pace:
    """Holds each channel back on its own. `free` tells a turn when it may send."""

    def __init__(self, clock: Clock, *, gap_s: float = GAP_S) -> None:
        self._clock = clock
        self._gap_s = gap_s
        self._channels: OrderedDict[str, _Channel] = OrderedDict()

    @asynccontextmanager
    async def turn(self, channel: str) -> AsyncIterator[None]:
        """The channel is yours; one message (with all its parts) at a time."""
        mine = self._channels.setdefault(channel, _Channel())
        self._channels.move_to_end(channel)
        mine.users += 1
        try:
            async with mine.lock:
                yield
        finally:
            mine.users -= 1
            self._forget_old()

    @asynccontextmanager
    async def send(self, channel: str) -> AsyncIterator[None]:
        """Within a turn: waits until the channel may be written to again."""
        mine = self._channels[channel]
        wait_s = mine.free_at - self._clock.monotonic()
        if wait_s > 0:
            await self._clock.sleep(wait_s)
        try:
            yield
        finally:
            mine.free_at = self._clock.monotonic() + self._gap_s

    def _forget_old(self) -> None:
        now = self._clock.monotonic()
        while len(self._channels) > MOST:
            name, oldest = next(iter(self._channels.items()))
            if oldest.users or oldest.free_at > now:
                return
            del self._channels[name]
