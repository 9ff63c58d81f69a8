"""The door chat platforms bring their lines to, as a test sees it."""

from __future__ import annotations

import asyncio

from bot.domain.chat import Captured, Inbound


class Door:
    """Implements `ChatDoor`: takes each message once. `gate` holds lines back; `error` is raised instead."""

    def __init__(self) -> None:
        self.lines: list[Inbound] = []
        self.kept: list[Captured] = []
        self.again: list[str] = []
        """Ids of what came a second time."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self._known: set[str] = set()

    @property
    def texts(self) -> list[str]:
        """What was typed, as commands."""
        return [line.text for line in self.lines]

    async def said(self, inbound: Inbound) -> None:
        """Take a line."""
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self._first(inbound.message_id):
            self.lines.append(inbound)

    async def captured(self, captured: Captured) -> bool:
        """Keep a message."""
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        first = self._first(captured.message_id)
        if first:
            self.kept.append(captured)
        return first

    def _first(self, key: str) -> bool:
        if key in self._known:
            self.again.append(key)
            return False
        self._known.add(key)
        return True
