from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.agent.runner import MAX_HELD, MAX_NONCES, MAX_REFUSALS, MAX_WAITING, Runner
from bot.domain.errors import FrameError
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import ProbeRequest
from bot.wire.frames import MAX_FRAME, Job, Result
from tests.wire.false_hub import FalseHub
from tests.wire.peers import HOST, request, slow
from tests.wire.real_agents import POLICY, make_runner

DENY = "public: deny\n"
PATIENT = POLICY + "budget: {probes_per_second: 2000}\n"
HUB = FalseHub()


def aged(issued_s: float, life_s: float, **changes: Any) -> Job:
    """A job issued so many seconds from now, for so long."""
    issued = time.time() + issued_s
    return HUB.job(request(), issued=issued, expires=issued + life_s, **changes)


class Desk:
    """Where a runner's results go."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.results: list[Result] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def take(self, result: Result) -> None:
        self.results.append(result)

    def accept(self, job: Job, *, hub_ahead_s: float = 0.0, size: int = 600) -> None:
        self.tasks.append(self.runner.accept(job, self.take, now=time.time() + hub_ahead_s, size=size))

    async def drain(self, within_s: float) -> None:
        """Wait for what was accepted, but no longer."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=within_s)

    async def drop(self, count: int) -> None:
        """Accept so many jobs and drop what becomes of them."""
        for number in range(count):
            self.accept(HUB.job(request(kind="none")))
            if number % 256 == 255 or number == count - 1:
                for task in self.tasks:
                    task.cancel()
                await asyncio.wait(self.tasks)
                self.tasks.clear()

    async def run(self, asked: ProbeRequest, **changes: Any) -> Result:
        self.accept(HUB.job(asked, **changes))
        await self.drain(10)
        return self.results[-1]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(make_runner(tmp_path))


async def test_a_job_is_run_and_its_result_names_it(desk: Desk) -> None:
    job = HUB.job(request())
    began = time.time()
    desk.accept(job)
    await desk.drain(30)
    (result,) = desk.results
    assert (result.job, result.nonce) == (job.id, job.nonce)
    assert (result.outcome.failure, result.outcome.fault_of) == (Failure.TCP_REFUSED, FaultOf.TARGET)
    assert began <= result.at <= time.time()
    assert 0 < result.took_ms < 5000


async def test_a_policys_no_is_the_policys_fault_and_says_what_would_allow_it(tmp_path: Path) -> None:
    desk = Desk(make_runner(tmp_path, policy=DENY))
    for address in (HOST, "10.0.0.1", "169.254.169.254", "192.0.2.1"):
        outcome = (await desk.run(request(params={"address": address, "port": 80}))).outcome
        assert (outcome.ok, outcome.failure, outcome.fault_of) == (False, Failure.POLICY_DENIED, FaultOf.POLICY)
        assert address in outcome.detail["reason"]


async def test_what_the_agent_cannot_do_is_the_agents_own_trouble(desk: Desk) -> None:
    for asked in (request(kind="shell"), request(params={}), request(params={"address": HOST, "port": 9, "cmd": "id"})):
        outcome = (await desk.run(asked)).outcome
        assert (outcome.failure, outcome.fault_of) == (Failure.UNSUPPORTED, FaultOf.AGENT)


@pytest.mark.parametrize(
    ("audience", "issued_s", "life_s", "reason"),
    [
        ("gz-vm", 0, 60, "addressed to 'gz-vm'"),
        ("sh-vm", 0, 3600, "claims to live longer"),
        ("sh-vm", -200, 60, "expired"),
        ("sh-vm", 3600, 60, "is not valid for another"),
    ],
    ids=["re-addressed", "over-long", "expired", "of the future"],
)
async def test_a_job_that_is_not_for_here_and_now_is_not_run(
    desk: Desk, audience: str, issued_s: float, life_s: float, reason: str
) -> None:
    with pytest.raises(FrameError, match=reason):
        desk.accept(aged(issued_s, life_s, audience=audience))
    await desk.drain(1)
    assert desk.results == []


async def test_a_job_is_run_once(desk: Desk) -> None:
    job = HUB.job(request())
    desk.accept(job)
    for again in (job, replace(job, id="another"), replace(job, request=request(probe="other"))):
        with pytest.raises(FrameError, match="already run"):
            desk.accept(again)
    await desk.drain(30)
    assert len(desk.results) == 1


@pytest.mark.parametrize("ahead_s", [-7200.0, 7200.0])
async def test_a_job_expires_by_the_hubs_clock_however_wrong_ours_is(desk: Desk, ahead_s: float) -> None:
    job = FalseHub(clock_s=ahead_s).job(request())
    with pytest.raises(FrameError):
        desk.accept(job)
    desk.accept(job, hub_ahead_s=ahead_s)
    await desk.drain(30)
    assert len(desk.results) == 1


async def test_no_more_run_at_once_than_the_policy_says(tmp_path: Path) -> None:
    desk = Desk(make_runner(tmp_path, policy=PATIENT, concurrent=2))
    began = time.monotonic()
    for _ in range(6):
        desk.accept(HUB.job(slow(seconds=0.2)))
    await desk.drain(30)
    assert 0.6 <= time.monotonic() - began < 30
    assert len(desk.results) == 6


async def test_waiting_for_a_slot_is_not_counted_as_the_probes_time(tmp_path: Path) -> None:
    desk = Desk(make_runner(tmp_path, concurrent=1))
    began = time.monotonic()
    for _ in range(3):
        desk.accept(HUB.job(slow(seconds=0.2)))
    await desk.drain(30)
    took_ms = [r.took_ms for r in desk.results]
    assert min(took_ms) > 150
    assert sum(took_ms) <= (time.monotonic() - began) * 1000, "with the waiting it would be twice that"


async def test_of_a_flood_the_first_64_run_512_wait_and_the_rest_is_refused_as_overload_at_once(tmp_path: Path) -> None:
    desk = Desk(make_runner(tmp_path, policy=PATIENT, concurrent=64))
    flood = [HUB.job(slow(seconds=0.05, probe=f"p{i}")) for i in range(64 + MAX_WAITING + 88)]
    for job in flood:
        desk.accept(job)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    refused = list(desk.results)
    assert {r.job for r in refused} == {job.id for job in flood[64 + MAX_WAITING :]}
    assert {(r.outcome.failure, r.outcome.fault_of) for r in refused} == {(Failure.AGENT_OVERLOADED, FaultOf.AGENT)}
    await desk.drain(60)
    assert len(desk.results) == len(flood)
    assert all(r.outcome.failure is Failure.TCP_REFUSED for r in desk.results[len(refused) :])


async def test_a_flood_of_large_jobs_is_held_up_to_so_many_bytes_and_the_rest_is_refused_as_overload(
    tmp_path: Path,
) -> None:
    desk = Desk(make_runner(tmp_path, policy=PATIENT, concurrent=1))
    for _ in range(100):
        desk.accept(HUB.job(slow(seconds=0.05)), size=MAX_FRAME)
    await desk.drain(60)
    refused = [r for r in desk.results if r.outcome.failure is Failure.AGENT_OVERLOADED]
    assert len(refused) == 100 - MAX_HELD // MAX_FRAME
    assert (await desk.run(request())).outcome.failure is Failure.TCP_REFUSED, "what was held is free again"


async def test_a_hub_that_sends_jobs_and_does_not_read_what_comes_of_them_takes_no_more_memory(tmp_path: Path) -> None:
    async def never(_: Result) -> None:
        await asyncio.sleep(60)

    runner = make_runner(tmp_path, concurrent=1)

    def accept() -> asyncio.Task[None]:
        return runner.accept(HUB.job(request(kind="none")), never, now=time.time(), size=600)

    tasks = [accept() for _ in range(1 + MAX_WAITING + MAX_REFUSALS)]
    with pytest.raises(FrameError, match="more than can even be refused"):
        accept()
    for task in tasks:
        task.cancel()


async def test_no_more_jobs_are_remembered_than_an_honest_hub_sends_within_their_life(desk: Desk) -> None:
    await desk.drop(MAX_NONCES)
    with pytest.raises(FrameError, match="more than can even be refused"):
        desk.accept(HUB.job(request()))


async def test_work_that_is_dropped_sends_nothing_and_leaves_its_place_to_others(tmp_path: Path) -> None:
    desk = Desk(make_runner(tmp_path, concurrent=1))
    desk.accept(HUB.job(slow(seconds=0.3)))
    await asyncio.sleep(0.05)
    desk.tasks[0].cancel()
    await desk.drain(2)
    assert desk.results == []
    assert (await desk.run(request())).outcome.failure is Failure.TCP_REFUSED


async def test_a_result_that_cannot_be_sent_is_logged_and_the_next_one_goes_out(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Result) -> None:
        raise FrameError("the connection closed")

    desk.runner.accept(HUB.job(request()), broken, now=time.time(), size=600)
    await desk.run(request())
    assert "could not be sent: the connection closed" in caplog.text
    assert len(desk.results) == 1


async def test_no_probe_outlives_its_own_limit(desk: Desk) -> None:
    outcome = (await desk.run(replace(slow(seconds=20), timeout_s=0.2))).outcome
    assert (outcome.failure, outcome.fault_of) == (Failure.AGENT_ERROR, FaultOf.AGENT)
    assert "did not finish within 0.2 s" in outcome.detail["reason"]


async def test_how_late_the_loop_runs_travels_with_results(desk: Desk) -> None:
    watching = asyncio.create_task(desk.runner.watch_lag())
    await asyncio.sleep(0.3)
    time.sleep(0.4)  # the loop is held up on purpose
    await asyncio.sleep(0.1)
    result = await desk.run(request())
    watching.cancel()
    assert 100 < result.lag_ms < 10_000


async def test_old_nonces_are_forgotten_only_after_their_jobs_expired(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "warroom.agent")
    old = aged(-80, 60)
    desk.accept(old)
    await desk.drop(4200)
    with pytest.raises(FrameError, match="already run"):
        desk.accept(old)
