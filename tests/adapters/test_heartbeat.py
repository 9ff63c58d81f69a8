"""The dead-man's switch hears from a bot that is well, and from no other."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bot.adapters.heartbeat import Heartbeat
from tests.adapters.phone_server import phone_server, status


async def _beats(trouble: str | None) -> int:
    async def wrong() -> str | None:
        return trouble

    async with phone_server(*[status(200)] * 100) as server:
        task = asyncio.create_task(Heartbeat(server.url, every_s=0.02, trouble=wrong).run())
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return len(server.requests)


async def test_it_beats_while_nothing_is_wrong() -> None:
    assert await _beats(None) > 2


async def test_it_is_silent_while_nobody_could_be_called_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        assert await _beats("the database is away") == 0
    assert "no heartbeat is sent: the database is away" in caplog.text


async def test_an_address_that_does_not_answer_stops_nothing_and_is_not_written_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def well() -> None:
        return None

    with caplog.at_level(logging.WARNING, logger="warroom.heartbeat"):
        task = asyncio.create_task(Heartbeat("http://127.0.0.1:9/t0ken", every_s=0.02, trouble=well).run())
        await asyncio.sleep(0.2)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "was not heard: ConnectError" in caplog.text
    assert "t0ken" not in caplog.text
