"""Several bots on one database: a browser sees what any of them says, whichever it is connected to.

A message is sent once, by whichever bot claims it. A chat platform shows it to all; the console is in each bot's own
memory, so each bot reads what changed in the rooms that browsers have open here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from bot.adapters.console.platform import ConsolePlatform
from bot.domain.errors import StoreUnavailable
from bot.domain.message import Message

WINDOW = timedelta(seconds=30)
"""What changed so recently is looked at again and again: the bots' clocks may differ by less than this."""
PAUSE_S = 0.2
"""Between two looks."""

Changed = Callable[[str, timedelta], Awaitable[Sequence[tuple[Message, int]]]]
"""(room, how far back) -> (message, revision). Raises StoreUnavailable."""


class Follower:
    """Offers to the open browsers what is new in the record; offering twice is harmless."""

    def __init__(self, platform: ConsolePlatform, changed: Changed) -> None:
        self._platform = platform
        self._changed = changed
        self._woken = asyncio.Event()
        self._shown: Mapping[tuple[str, str], int] = {}

    def wake(self) -> None:
        """Something may have been said."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self._look()
            await asyncio.sleep(PAUSE_S)

    async def _look(self) -> None:
        shown: dict[tuple[str, str], int] = {}
        for room in self._platform.open_rooms():
            try:
                rows = await self._changed(room, WINDOW)
            except StoreUnavailable:
                # It is looked for again with the next word, or the next tick.
                return
            for message, revision in rows:
                shown[room, message.key] = revision
                if self._shown.get((room, message.key)) != revision:
                    self._platform.show(message, room)
        self._shown = shown
