"""What carries the talk with one hub, and what may go wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from bot.domain.errors import WarroomError

T = TypeVar("T")
GIVEN_UP_WITHIN_S = 1.0


class PipeBroken(Exception):
    """The connection is gone; the message says how."""


class RefusedByHub(WarroomError):
    """The hub does not let this agent in; the message is its reason and asking again will not help."""


class SentAway(RefusedByHub):
    """The hub had let this agent in and will not have it any longer: it was forgotten, or replaced."""


class Pipe(Protocol):
    """Carries texts both ways, in order."""

    @property
    def beat_s(self) -> float:
        """How often the hub must hear from us; 0 where the pipe notices by itself when a side is gone."""
        ...

    async def send(self, text: str) -> None:
        """Pass a text on. Raises PipeBroken."""
        ...

    async def receive(self) -> str:
        """The next text. Raises PipeBroken at the end, FrameError for what is no text."""
        ...

    async def close(self) -> None:
        """End the connection. Never raises."""
        ...


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to; it is dropped when the agent is told to stop. Raises PipeBroken then."""
    working, stopping = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise PipeBroken("told to stop")
    finally:
        stopping.cancel()
        if not working.done():
            working.cancel()
            # What it had opened is closed before anybody goes on.
            await asyncio.wait((working,), timeout=GIVEN_UP_WITHIN_S)
