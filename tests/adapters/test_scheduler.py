"""The ticker calls inside the loop, makes up for a standstill with one tick, and stops."""

from __future__ import annotations

import asyncio
import threading
import time

from bot.adapters.scheduler import Ticker


async def test_it_ticks_in_the_loops_own_thread_and_a_standstill_is_one_tick() -> None:
    ticks: list[int] = []
    ticker = Ticker()
    ticker.every(1, lambda: ticks.append(threading.get_ident()))
    ticker.start()
    try:
        time.sleep(3.2)  # the loop stands still for three ticks
        await asyncio.sleep(0.3)
        assert ticks == [threading.get_ident()]
        await asyncio.sleep(1.1)
        assert len(ticks) == 2
    finally:
        ticker.stop()
    await asyncio.sleep(1.2)
    assert len(ticks) == 2
    ticker.stop()
