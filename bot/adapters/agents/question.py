"""One call of `ask`: what was asked, what is in, and what may still come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from bot.domain.failure import Failure
from bot.domain.probe import Json, Observation, ProbeRequest
from bot.probes.table import check


class Question:
    """Requests by their place in the call, for two of them may be equal.

    `late`: whether an answer is wanted that comes after the request was given up.

    Answers wake the asker once for all that came in one turn of the loop, and one timer serves the whole call: with
    a thousand agents a queue and a timer for each would cost more than the network.
    """

    def __init__(self, requests: Sequence[ProbeRequest], *, late: bool = False) -> None:
        self._late = late
        self._unanswered = dict(enumerate(requests))
        self._out = len(requests)
        self._in: deque[tuple[int, Observation]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._checked: tuple[str, Mapping[str, Json]] | None = None

    def check(self, request: ProbeRequest) -> None:
        """Raise BadParams for what no agent would run. The same thing asked of many agents is looked at once."""
        asked = (request.kind, request.params)
        if asked != self._checked:
            check(*asked)
            self._checked = asked

    def answer(self, index: int, seen: Observation) -> None:
        """The last word on a request: the agent's own, or that it is gone."""
        self._out -= 1
        self.overdue(index, seen)

    def overdue(self, index: int, seen: Observation) -> None:
        """An observation to go by while the agent's own may still come."""
        self._in.append((index, seen))
        self._wake()

    @property
    def unanswered(self) -> Sequence[ProbeRequest]:
        """Requests of which nothing at all is in."""
        return list(self._unanswered.values())

    async def first(self, seconds: float) -> AsyncIterator[Observation]:
        """What comes in until every request has something, or for so long; what is in is handed out however late."""
        async for index, seen in self._coming(seconds, lambda: bool(self._unanswered)):
            given_up = self._unanswered.pop(index, None) is None
            if not given_up or (self._late and seen.failure is not Failure.AGENT_LOST):
                yield seen

    async def late(self, seconds: float) -> AsyncIterator[Observation]:
        """What comes in after that, until nothing is out or for so long."""
        async for _, seen in self._coming(seconds, lambda: self._out > 0):
            if seen.failure is not Failure.AGENT_LOST:
                yield seen

    async def _coming(self, seconds: float, more: Callable[[], bool]) -> AsyncIterator[tuple[int, Observation]]:
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        timer = loop.call_at(due, self._wake)
        try:
            while True:
                while self._in:
                    yield self._in.popleft()
                if not more() or loop.time() >= due:
                    return
                self._waiter = loop.create_future()
                await self._waiter
        finally:
            self._waiter = None
            timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
