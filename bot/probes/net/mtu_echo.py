"""The path MTU by echoes that must not be fragmented: a binary search that tells "too big" from loss and silence.

RFC 1191 and RFC 8201 (the router says so), RFC 4821 and RFC 8899 (it does not: only what is answered is believed).
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from bot.domain.failure import Failure, FaultOf
from bot.probes.base import ProbeContext
from bot.probes.net import dial, echo, flight, icmp_errors
from bot.probes.net.flight import Landed
from bot.probes.net.icmp_errors import TOO_BIG, Report
from bot.probes.net.mtu_found import Bounds, Found
from bot.probes.tries import spaced

CONTROL = 5
"""Small packets at the start: their loss is what random loss looks like here."""
GAP_S = 0.02
SURE = 0.001
"""A size is silent when random loss would swallow all its repeats less often than this."""
MOST = 20
RESUMES = 3
_LARGEST = 65535
_SLACK_S = 0.2


@dataclass(slots=True)
class _Edge:
    """`good` is the largest size that passed, `bad` the smallest that did not; `by` who said so, None for silence."""

    good: int
    bad: int
    by: str | None = None


class Sweep:
    """One search."""

    def __init__(self, address: str, method: str, bounds: Bounds, ctx: ProbeContext, timeout_s: float) -> None:
        self._address, self._method, self._ctx = address, method, ctx
        self._bounds, self._wait_s = bounds, timeout_s
        self._asked = self._lost = self._packets = 0

    async def run(self) -> Found:
        """Raises Denied, and LocalError or OSError where the machine itself cannot send."""
        landed = await self._control(CONTROL)
        if not any(landed):
            landed = await self._control(2 * CONTROL)  # a fifth lost each way loses all five once in 160 times
        replies = [one.ms for one in landed if one and one.report is None]
        if not replies:
            return self._unanswered([one.report for one in landed if one and one.report])
        self._wait_s = min(self._wait_s, _SLACK_S + 2 * max(replies) / 1000)
        local = await self._own_limit()
        top = min(self._bounds.high, local)
        edge = _Edge(self._bounds.low, top + 1)
        certain = await self._settle(edge, top)
        silent = edge.by is None and edge.good < top
        return Found(
            path_mtu=edge.good,
            local_mtu=local,
            black_hole=silent if certain else None,
            reported_by=edge.by or None,
            tries=self._packets,
            rtt_ms=min(replies),
            reason="" if certain else "too much is lost at any size to tell loss from a black hole",
        )

    def _unanswered(self, reports: list[Report]) -> Found:
        too_big = next((r for r in reports if r.said == TOO_BIG), None)
        if too_big and too_big.offender:
            return Found(
                path_mtu=too_big.mtu or None, reported_by=too_big.offender, black_hole=False, tries=self._packets
            )
        if too_big:
            reason = f"low is larger than the local MTU {too_big.mtu}"
            return Found(local_mtu=too_big.mtu, failure=Failure.UNSUPPORTED, fault=FaultOf.AGENT, reason=reason)
        said = f"{reports[0].said} from {reports[0].offender}" if reports else "no echo reply"
        return Found(failure=Failure.PING_TIMEOUT, tries=self._packets, reason=said)

    async def _own_limit(self) -> int:
        """The MTU of our own interface: it refuses the largest packet there can be, except loopback, which takes it."""
        landed = await self._one(_LARGEST)
        return landed.report.mtu if landed and landed.report and not landed.report.offender else _LARGEST

    async def _settle(self, edge: _Edge, top: int) -> bool:
        """Search, and doubt every silence; False when loss is too heavy to know."""
        for _ in range(RESUMES):
            await self._search(edge)
            if edge.by is not None or edge.good >= top:
                return True
            large = await self._several(edge.bad, self._repeats())
            small = await self._control(self._repeats())
            if not any(one and one.report is None for one in large):
                return self._needed() <= MOST and any(small)
            edge.good, edge.bad = edge.bad, top + 1  # it was loss after all: search on from here
        return False

    async def _search(self, edge: _Edge) -> None:
        size = edge.bad - 1
        while edge.good < size < edge.bad:
            landed = await self._persist(size)
            if landed and landed.report is None:
                edge.good = size
            elif landed and landed.report:
                edge.bad, edge.by = size, landed.report.offender
                if edge.good <= landed.report.mtu < size:
                    # Believed once it has passed; a smaller bottleneck may follow.
                    edge.bad, size = landed.report.mtu + 1, landed.report.mtu
                    continue
            else:
                edge.bad, edge.by = size, None
            size = (edge.good + edge.bad) // 2

    async def _persist(self, size: int) -> Landed | None:
        """What comes of a size; None only after so many repeats that it is not random loss."""
        tasks = [asyncio.ensure_future(self._after(i * GAP_S, size)) for i in range(self._repeats())]
        try:
            for done in asyncio.as_completed(tasks):
                landed = await done
                if landed:
                    return landed
            return None
        finally:
            for task in tasks:
                task.cancel()

    async def _after(self, delay_s: float, size: int) -> Landed | None:
        await asyncio.sleep(delay_s)
        return await self._one(size)

    async def _control(self, count: int) -> list[Landed | None]:
        landed = await self._several(self._bounds.low, count)
        self._asked += count
        self._lost += landed.count(None)
        return landed

    def _needed(self) -> int:
        loss = (self._lost + 1) / (self._asked + 2)
        return math.ceil(math.log(SURE) / math.log(loss))

    def _repeats(self) -> int:
        return max(3, min(MOST, self._needed()))

    async def _several(self, size: int, count: int) -> list[Landed | None]:
        return await spaced(count, GAP_S, lambda _: self._one(size))

    async def _one(self, size: int) -> Landed | None:
        """Send one packet of `size` bytes; None for silence."""
        self._packets += 1
        self._ctx.guard.check("mtu", self._address, 0)
        with dial.attach(echo.open_socket(self._method, self._address, self._ctx), self._address, 0) as sock:
            icmp_errors.dont_fragment(sock)
            ask = echo.Echo(self._address, self._method, size=size - echo.numbers(self._address).headers)
            try:
                return await flight.datagram(sock, ask.wire, ask.answered, ask.quoted, self._wait_s)
            except TimeoutError:
                return None
