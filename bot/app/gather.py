"""The only I/O of a run: requests out to the agents, observations back, until the deadline and a little after."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bot.app.parts import Parts
from bot.diagnosis.investigation import Investigation
from bot.domain.layers import BY_ID
from bot.domain.probe import Observation, ProbeRequest

log = logging.getLogger("warroom.diag")

DEADLINE_S = 14.0
"""The answer is posted then, with what is there."""
LATE_S = 30.0
"""For so long after it, an agent that was slow is still heard."""
REDRAW_S = 0.4
"""How often the message is edited while probes run."""
TICK_S = 0.2
Redraw = Callable[[frozenset[tuple[str, str]]], Awaitable[None]]
"""Shows how far the run is, given the (agent, layer)s still out."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """One call of `ask` is over; nothing more comes for its requests."""

    keys: set[tuple[str, str]]


class Gathering:
    """One investigation's way to the agents. Call `close` at the end."""

    def __init__(
        self, parts: Parts, investigation: Investigation, *, late_s: float = 0.0, deadline_s: float = DEADLINE_S
    ) -> None:
        self._agents = parts.agents
        self._clock = parts.clock
        self._investigation = investigation
        self._late_s = late_s
        self._deadline_s = deadline_s
        self._began = parts.clock.monotonic()
        self._in: asyncio.Queue[Observation | _Ended] = asyncio.Queue()
        self._asked: dict[tuple[str, str], ProbeRequest] = {}
        self._open: set[tuple[str, str]] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def answered(self, redraw: Redraw) -> None:
        """Ask, and ask more while it is worth it, until everything has an answer or the deadline has come."""
        drawn = -REDRAW_S
        self._send(self._investigation.start())
        while self._open:
            if self._elapsed() > self._deadline_s + 1:
                break
            await self._take()
            # With nothing out, whatever is still worth asking is asked now and not at its hour.
            self._send(self._investigation.more(elapsed_s=self._elapsed() if self._open else math.inf))
            if self._elapsed() - drawn >= REDRAW_S:
                drawn = self._elapsed()
                await redraw(self._pending())

    async def late(self) -> Observation | None:
        """The next answer that came after all, taken in; None when none can come any more."""
        while self._pumps or not self._in.empty():
            seen = await self._take()
            if seen is not None:
                return seen
        return None

    async def more_at_once(self) -> bool:
        """Take in one more if it is there already; False if not."""
        return not self._in.empty() and await self._take() is not None

    @property
    def done(self) -> bool:
        """Whether nothing can come any more."""
        return not self._pumps and self._in.empty()

    def close(self) -> None:
        """Stop listening."""
        for pump in self._pumps:
            pump.cancel()

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._began

    def _send(self, requests: Sequence[ProbeRequest]) -> None:
        if not requests:
            return
        keys = {(r.agent, r.id): r for r in requests}
        self._asked.update(keys)
        self._open.update(keys)
        pump = asyncio.create_task(self._pump(requests, max(1.0, self._deadline_s - self._elapsed())))
        self._pumps.add(pump)
        pump.add_done_callback(lambda task: self._ended(task, set(keys)))

    def _ended(self, pump: asyncio.Task[None], keys: set[tuple[str, str]]) -> None:
        self._pumps.discard(pump)
        # Behind what the pump has brought, which is still to be taken in.
        self._in.put_nowait(_Ended(keys))
        if not pump.cancelled() and pump.exception() is not None:
            log.error("asking the agents failed", exc_info=pump.exception())

    async def _pump(self, requests: Sequence[ProbeRequest], deadline_s: float) -> None:
        async for seen in self._agents.ask(requests, deadline_s=deadline_s, late_s=self._late_s):
            self._in.put_nowait(seen)

    async def _take(self) -> Observation | None:
        """Take in the next observation; None when there was none for a moment."""
        # Not `wait_for`: that of Python 3.11 forgets a cancellation that comes together with an observation.
        try:
            async with asyncio.timeout(TICK_S):
                seen = await self._in.get()
        except TimeoutError:
            return None
        if isinstance(seen, _Ended):
            self._open -= seen.keys
            return None
        self._investigation.take(seen)
        self._open.discard((seen.agent, seen.request))
        return seen

    def _pending(self) -> frozenset[tuple[str, str]]:
        """Cells that were asked about and have nothing in them yet."""
        seen = {(c.agent, c.layer) for c in self._investigation.picture().cells}
        asked = self._asked.values()
        return frozenset((r.agent, r.layer) for r in asked if r.layer in BY_ID and (r.agent, r.layer) not in seen)
