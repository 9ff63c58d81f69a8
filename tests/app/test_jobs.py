"""Work that goes on after a command was answered."""

from __future__ import annotations

import asyncio

import pytest

from bot.app.parts import Jobs


async def test_a_job_with_the_same_key_takes_the_place_of_the_first() -> None:
    jobs, done = Jobs(), []

    async def work(name: str) -> None:
        await asyncio.sleep(0.05)
        done.append(name)

    jobs.start(work("first"), key="k")
    jobs.start(work("second"), key="k")
    assert not await jobs.wait("k", 0.001)
    assert await jobs.wait("k", 5)
    assert done == ["second"]
    assert not jobs.stop("k")


async def test_waiting_for_a_job_that_never_was_is_no_wait() -> None:
    assert await Jobs().wait("nothing", 60)


async def test_a_job_that_fails_is_in_the_log_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()

    async def fail() -> None:
        raise ValueError("no such thing")

    jobs.start(fail(), key="bad")
    jobs.start(asyncio.sleep(0.02), key="good")
    assert await jobs.wait("good", 5)
    assert "a job failed" in caplog.text
    assert "no such thing" in caplog.text


async def test_closing_ends_every_job_and_waits_for_its_end() -> None:
    jobs, ended = Jobs(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    jobs.start(work())
    await asyncio.sleep(0)
    await jobs.close()
    assert ended.is_set()


async def test_work_that_is_under_way_is_not_begun_a_second_time() -> None:
    jobs, begun, may_end = Jobs(), [], asyncio.Event()

    async def work() -> None:
        begun.append(len(begun) + 1)
        await may_end.wait()

    jobs.once("look", work)
    jobs.once("look", work)
    may_end.set()
    assert await jobs.wait("look", 5)
    assert begun == [1]
    jobs.once("look", work)
    assert await jobs.wait("look", 5)
    assert begun == [1, 2]
