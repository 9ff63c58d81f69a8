"""The agent's own rate budget: a hub that asks too much is slowed down, then told so."""

from __future__ import annotations

import asyncio
import math
import socket
import time
import weakref
from collections import deque
from collections.abc import Callable

from bot.agent.policy_file import Budget

MAX_WAIT_S = 2.0
"""Work that would have to wait longer is refused as the agent's own trouble."""
MAX_SERVERS = 256
"""DNS servers kept count of, before one that was not asked for a while is forgotten."""


class Pacer:
    """Token buckets of one second each, and counts of what is open; implements `bot.probes.base.Pace`."""

    def __init__(self, budget: Budget, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._budget = budget
        self._rates = {
            "probe": budget.probes_per_second,
            "dns": budget.dns_per_second,
            "socket": budget.sockets_per_second,
        }
        self._due = dict.fromkeys(self._rates, 0.0)
        self._servers: dict[str, Server] = {}
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    async def __call__(self, what: str) -> bool:
        """Wait for a token; False when it would take longer than MAX_WAIT_S."""
        wait_s = self.reserve(what)
        if wait_s:
            await asyncio.sleep(wait_s)
        return wait_s is not None

    def reserve(self, what: str, *, max_wait_s: float = MAX_WAIT_S) -> float | None:
        """Take a token and say how many seconds to wait for it; None when that is too long."""
        now, rate = self._now(), self._rates[what]
        # The bucket as the time at which it will be full again: one second behind means a burst is left.
        due = max(self._due[what], now - 1.0) + 1.0 / rate
        if due - now > max_wait_s:
            return None
        self._due[what] = due
        return max(0.0, due - now)

    async def ask(self, server: str) -> bool:
        """Wait for leave to ask this DNS server, and count the query as out until `asked`; False for no leave."""
        known = self._server(server)
        wait_s = None if known.out >= self._budget.dns_per_server_in_flight else known.reserve(self._now())
        if wait_s is None:
            return False
        known.out += 1
        if wait_s:
            try:
                await asyncio.sleep(wait_s)
            except BaseException:
                known.out -= 1
                raise
        return True

    def asked(self, server: str) -> None:
        """The query is no longer out."""
        self._server(server).out -= 1

    def _server(self, name: str) -> Server:
        known = self._servers.get(name)
        if known is None:
            known = self._servers[name] = Server(self._budget.dns_per_server_per_second / self._budget.vpc_agents)
        if len(self._servers) > MAX_SERVERS:
            for idle in [n for n, s in self._servers.items() if s is not known and s.idle(self._now())]:
                del self._servers[idle]
        return known

    def admits(self, opened: socket.socket) -> bool:
        """Whether one more socket may be used, now: nobody waits, for a wait would look like the target's slowness."""
        if len(self._open) >= self._budget.sockets:
            for one in [s for s in self._open if s.fileno() < 0]:
                self._open.discard(one)
        if len(self._open) >= self._budget.sockets or self.reserve("socket", max_wait_s=0.0) is None:
            return False
        self._open.add(opened)
        return True


class Server:
    """One DNS server: at no time more than its rate within any second, unlike a bucket, which may be full first."""

    def __init__(self, rate: float) -> None:
        self.out = 0
        self._window_s = math.ceil(rate) / rate
        self._times: deque[float] = deque(maxlen=math.ceil(rate))

    def reserve(self, now: float) -> float | None:
        """Take a place and say how many seconds to wait for it; None when that is longer than MAX_WAIT_S."""
        full = len(self._times) == self._times.maxlen
        at = max(now, self._times[0] + self._window_s) if full else now
        if at - now > MAX_WAIT_S:
            return None
        self._times.append(at)
        return at - now

    def idle(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return self.out == 0 and (not self._times or now - self._times[-1] > self._window_s)
