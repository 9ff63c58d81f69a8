"""What was heard goes to the door: quotes that are to be kept, and command lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import tzinfo

from bot.adapters.wecom.reading import Heard, moment
from bot.app.ports import ChatDoor


class Intake:
    """`now` gives epoch seconds."""

    def __init__(self, door: ChatDoor, zone: tzinfo, now: Callable[[], float] = time.time) -> None:
        self._door, self._zone, self._now = door, zone, now

    async def take(self, heard: Heard) -> None:
        """Hand it in; returns when it is recorded. Raises StoreUnavailable."""
        captured = heard.captured(moment(self._now(), self._zone))
        if captured is None:
            if heard.text:
                await self._door.said(heard.inbound())
            return
        await self._door.captured(captured)
        if note := heard.note():
            await self._door.said(replace(heard.inbound(), text=f"/note {note}"))
