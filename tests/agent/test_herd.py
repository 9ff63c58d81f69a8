"""A hub restarts, and a thousand agents want to come back."""

from __future__ import annotations

import asyncio
import bisect
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bot.domain.failure import Failure
from bot.testing import TokenDoor
from bot.wire.frames import Hello
from bot.wire.signing import Signer
from tests.agent.herd import more_files
from tests.wire.peers import TOKEN, answers, hub, port_of, ready, request, served, until

pytestmark = pytest.mark.alone
COUNT = 1000
BACK_WITHIN_S = 60.0
AT_MOST = {0.1: 500, 1.0: 850}
"""No more of them may be let in within any window of so many seconds."""
AT_ONCE = 250
"""Nor may more come within 0.1 s after the hub is there again."""
LAG_S = 1.5
"""How late the hub's loop may be while they come; here it is about 0.4 s."""


class Door(TokenDoor):
    """Notes when each agent was let in (monotonic, s)."""

    def __init__(self) -> None:
        super().__init__(TOKEN)
        self.at: list[float] = []

    async def admit(self, hello: Hello, proven: Callable[[str], bool]) -> str:
        self.at.append(time.monotonic())
        return await super().admit(hello, proven)

    def busiest(self, window_s: float) -> int:
        """The most that came within any window of that length."""
        return max(bisect.bisect(self.at, at + window_s) - i for i, at in enumerate(self.at))


@asynccontextmanager
async def watched_lag() -> AsyncIterator[list[float]]:
    """How long the loop was at work on other things, each time (s of this thread, whatever else the machine does)."""
    late: list[float] = []

    async def watch() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.01)
            late.append(time.thread_time() - before)

    task = asyncio.create_task(watch())
    try:
        yield late
    finally:
        task.cancel()


@pytest.mark.timeout(120)
async def test_a_thousand_agents_are_back_after_a_restart_without_a_storm(
    caplog: pytest.LogCaptureFixture, record_property: Callable[[str, object], None]
) -> None:
    caplog.set_level(logging.ERROR, "warroom.hub")
    more_files(8192)
    signer, first_door, door = Signer(), Door(), Door()
    first = hub(signer=signer, door=first_door)
    async with served(first) as url:
        crowd = subprocess.Popen([sys.executable, "-m", "tests.agent.herd", url, str(COUNT)])
        await until(lambda: len(ready(first)) == COUNT, BACK_WITHIN_S)
    try:
        await asyncio.sleep(1)
        door.keys = first_door.keys
        second = hub(signer=signer, door=door, known=first.agents())
        async with watched_lag() as late, served(second, port=port_of(url)):
            began = time.monotonic()
            await until(lambda: len(ready(second)) == COUNT, BACK_WITHIN_S)
            took = time.monotonic() - began
            names = [f"vm-{number}" for number in range(0, COUNT, 100)]
            seen = await answers(second, *(request(name) for name in names))
            assert [o.failure for o in seen] == [Failure.TCP_REFUSED] * len(names)
    finally:
        crowd.kill()
        crowd.wait(30)
    at_once = bisect.bisect(door.at, began + 0.1)
    busiest = {window: door.busiest(window) for window in AT_MOST}
    said = f"{COUNT} agents back in {took:.1f} s, {at_once} of them at once, {busiest}, the loop {max(late):.2f} s late"
    record_property("restart", said)
    print(said)
    assert len(door.at) < 1.2 * COUNT, "they come once and stay"
    assert at_once <= AT_ONCE
    assert all(busiest[window] <= most for window, most in AT_MOST.items()), busiest
    assert max(late) < LAG_S
