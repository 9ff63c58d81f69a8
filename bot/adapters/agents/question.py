"""One call of `ask`: what was asked, what is in, and what may still come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from bot.domain.failure import Failure
from bot.domain.probe import Observation, ProbeRequest


class Question:
    """Requests by their place in the call, for two of them may be equal."""

    def __init__(self, requests: Sequence[ProbeRequest]) -> None:
        self._requests = requests
        self._unanswered = dict(enumerate(requests))
        self._out = len(requests)
        self._in: asyncio.Queue[tuple[int, Observation]] = asyncio.Queue()

    def answer(self, index: int, seen: Observation) -> None:
        """The last word on a request: the agent's own, or that it is gone."""
        self._out -= 1
        self._in.put_nowait((index, seen))

    def overdue(self, index: int, seen: Observation) -> None:
        """An observation to go by while the agent's own may still come."""
        self._in.put_nowait((index, seen))

    @property
    def unanswered(self) -> Sequence[ProbeRequest]:
        """Requests of which nothing at all is in."""
        return list(self._unanswered.values())

    async def first(self, due: float) -> AsyncIterator[Observation]:
        """What comes in until every request has something, or until `due` (monotonic, s)."""
        while self._unanswered:
            try:
                yield await self._next(due)
            except TimeoutError:
                return

    async def late(self, due: float) -> AsyncIterator[Observation]:
        """What comes in after that, until nothing is out or until `due`."""
        self._unanswered.clear()
        while self._out or not self._in.empty():
            try:
                seen = await self._next(due)
            except TimeoutError:
                return
            if seen.failure is not Failure.AGENT_LOST:
                yield seen

    async def _next(self, due: float) -> Observation:
        """The next one; what is in is handed out however late. Raises TimeoutError at `due`."""
        if self._in.empty():
            index, seen = await asyncio.wait_for(self._in.get(), max(0.0, due - time.monotonic()))
        else:
            index, seen = self._in.get_nowait()
        self._unanswered.pop(index, None)
        return seen
