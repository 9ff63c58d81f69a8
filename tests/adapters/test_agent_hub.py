from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bot.adapters.agent_hub import AgentHub
from websockets.exceptions import InvalidStatus

from bot.adapters import agent_hub
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Observation, Outcome, ProbeRequest
from bot.wire.frames import MAX_FRAME, MAX_LIFE_S, REPLACED, Frame, Hello, Job, Refused, Result, Status, decode, encode
from bot.wire.signing import Signer
from tests.wire.peers import (
    TOKEN,
    Puppet,
    answers,
    dial,
    hub,
    hung_up,
    puppet,
    refusal,
    request,
    result,
    served,
    until,
    who,
)

SECRET = Outcome(ok=True, detail={"from": "the agent itself"})


@pytest.fixture
def the_hub() -> AgentHub:
    return hub()


@pytest.fixture
async def url(the_hub: AgentHub) -> AsyncIterator[str]:
    async with served(the_hub) as url:
        yield url


class Asking:
    """A question that is out while the test goes on."""

    def __init__(self, of: AgentHub, *requests: ProbeRequest, deadline_s: float = 5.0) -> None:
        self._task = asyncio.create_task(answers(of, *requests, deadline_s=deadline_s))

    @property
    def open(self) -> bool:
        return not self._task.done()

    async def all(self) -> list[Observation]:
        return await asyncio.wait_for(self._task, 15)

    async def one(self) -> Observation:
        (observation,) = await self.all()
        return observation


def state_of(of: AgentHub, name: str = "sh-vm") -> str:
    return next((a.state for a in of.agents() if a.name == name), "unknown")


async def introduce(url: str, *frames: Frame | str | bytes, signer: Signer) -> str:
    """Say these instead of a proper hello; the hub's reason for not having it."""
    async with dial(url) as socket:
        for frame in frames:
            await socket.send(frame if isinstance(frame, (str, bytes)) else encode(frame, signer))
        return await refusal(socket)


# --- who may come in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", ["", "wrong", TOKEN + "x", TOKEN[:-1], "é"])
async def test_a_wrong_token_is_refused_in_the_handshake_and_never_logged(
    url: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with dial(url, shown):
            pass
    assert caught.value.response.status_code in (401, 403)
    assert "wrong token" in caplog.text
    assert not shown or shown not in caplog.text.replace("wrong token", "")


async def test_a_hub_without_a_token_lets_nobody_in() -> None:
    async with served(hub(token="")) as url:
        for shown in ("", TOKEN):
            with pytest.raises(InvalidStatus):
                async with dial(url, shown):
                    pass


async def test_an_agent_is_known_by_what_its_hello_says(the_hub: AgentHub, url: str) -> None:
    agent = who(env="prod", cluster="tke", version="0.1.0", kinds=("dns", "tcp"), resolvers={"vpc": ("10.0.0.2:53",)})
    async with puppet(url, replace(agent, state="lost", name=" sh-vm ")):
        (seen,) = the_hub.agents()
        assert seen.last_seen is not None
        assert datetime.now(UTC) - seen.last_seen < timedelta(seconds=5)
        assert replace(seen, last_seen=None) == agent


async def test_a_hello_proves_that_the_agent_holds_the_key_it_shows(the_hub: AgentHub, url: str) -> None:
    hello = Hello(agent=who(), public_key=Signer().public)
    assert "does not verify" in await introduce(url, hello, signer=Signer())
    assert the_hub.agents() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"protocol": 2}, "speaks protocol 2, this hub 1"),
        ({"public_key": "AAAA"}, "32 bytes of base64"),
        ({"agent": who(" ")}, "needs a name"),
        ({"agent": who(region="")}, "needs a name, a region and a vantage point"),
        ({"agent": who(vantage="")}, "needs a name, a region and a vantage point"),
    ],
)
async def test_a_hello_that_will_not_do_is_refused_with_the_reason(
    the_hub: AgentHub, url: str, change: dict[str, Any], reason: str
) -> None:
    signer = Signer()
    hello = Hello(**{"agent": who(), "public_key": signer.public, **change})
    assert reason in await introduce(url, hello, signer=signer)
    assert the_hub.agents() == []


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (Status(state="ready"), "first frame must be a hello"),
        ("GET / HTTP/1.1", "malformed"),
        ("[" * 200_000, "malformed"),
        ("x" * (MAX_FRAME + 1), "at most"),
        (b"\x00\x01", "frames are text"),
    ],
    ids=["another frame", "no frame", "deep", "oversize", "binary"],
)
async def test_whatever_else_is_said_first_is_refused(
    the_hub: AgentHub, url: str, first: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert reason in await introduce(url, first, signer=Signer())
    assert the_hub.agents() == []
    assert "Traceback" not in caplog.text


async def test_one_who_says_nothing_is_hung_up_on_but_not_refused_for_good(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_hub, "HELLO_WITHIN_S", 0.2)
    async with dial(url) as socket:
        assert await hung_up(socket) == agent_hub.POLICY_CLOSED


async def test_another_key_may_not_take_the_name_of_an_agent_that_is_here(the_hub: AgentHub, url: str) -> None:
    thief = Signer()
    async with puppet(url) as honest:
        hello = Hello(agent=who(), public_key=thief.public)
        assert "'sh-vm' with another key is connected; choose another --name" in await introduce(
            url, hello, signer=thief
        )
        asking = Asking(the_hub, request())
        await honest.answer(await honest.job(), SECRET)
        assert (await asking.one()).detail == SECRET.detail


async def test_of_two_keys_that_want_a_name_at_the_same_moment_one_gets_it(the_hub: AgentHub, url: str) -> None:
    async def come(signer: Signer) -> Frame:
        async with dial(url) as socket:
            await socket.send(encode(Hello(agent=who(), public_key=signer.public), signer))
            frame: Frame = decode(await socket.recv())
            await asyncio.sleep(0.5)
            return frame

    came = await asyncio.gather(*(come(Signer()) for _ in range(4)))
    assert sorted(isinstance(frame, Refused) for frame in came) == [False, True, True, True]


async def test_the_same_agent_coming_back_replaces_its_link_and_what_was_out_is_lost_at_once(
    the_hub: AgentHub, url: str
) -> None:
    signer = Signer()
    async with puppet(url, signer=signer) as old:
        asking = Asking(the_hub, request(), deadline_s=30)
        await old.job()
        async with puppet(url, signer=signer) as new:
            lost = await asyncio.wait_for(asking.one(), 1)
            assert (lost.failure, lost.fault_of) == (Failure.AGENT_LOST, FaultOf.AGENT)
            assert await hung_up(old.socket) == REPLACED
            assert state_of(the_hub) == "ready"
            again = Asking(the_hub, request())
            await new.answer(await new.job())
            assert (await again.one()).ok


async def test_agents_of_an_earlier_run_are_lost_until_they_come_back_and_can_be_forgotten() -> None:
    changes: list[int] = []
    the_hub = hub(known=[who(), who("gone")], on_change=lambda: changes.append(1))
    assert {a.name: a.state for a in the_hub.agents()} == {"sh-vm": "lost", "gone": "lost"}
    async with served(the_hub) as url:
        async with puppet(url):
            assert (state_of(the_hub), len(changes)) == ("ready", 1)
            assert not the_hub.forget("sh-vm")
            assert the_hub.forget("gone")
            assert not the_hub.forget("gone")
        await until(lambda: state_of(the_hub) == "lost")
    assert [a.name for a in the_hub.agents()] == ["sh-vm"]
    assert len(changes) == 3


async def test_columns_keep_their_order_by_region_and_vpc_with_the_outside_last(the_hub: AgentHub, url: str) -> None:
    async with (
        puppet(url, who("a-office", region="hq", vantage="outside", vpc="")),
        puppet(url, who("z", region="shanghai", vpc="shanghai")),
        puppet(url, who("b", region="shanghai", vpc="shanghai-2")),
        puppet(url, who("y", region="guangzhou", vpc="guangzhou")),
    ):
        assert [a.name for a in the_hub.agents()] == ["y", "z", "b", "a-office"]


# --- what goes out ---------------------------------------------------------------------------------------------


async def test_a_job_is_signed_addressed_once_only_and_short_lived(the_hub: AgentHub, url: str) -> None:
    asked = request(params={"address": "10.0.0.1", "port": 3306}, why="控制组")
    async with puppet(url) as agent:
        asking = Asking(the_hub, asked, asked)
        first, second = await agent.job(), await agent.job()
        for job in (first, second):
            assert (job.audience, job.request) == ("sh-vm", asked)
            assert 0 < job.expires - job.issued <= MAX_LIFE_S
            assert abs(job.issued - time.time()) < 5
            assert len(job.nonce) >= 32
            await agent.answer(job)
        assert (first.id, first.nonce) != (second.id, second.nonce)
        await asking.all()


async def test_a_job_that_cannot_travel_is_said_so_and_costs_the_agent_nothing(the_hub: AgentHub, url: str) -> None:
    async with puppet(url) as agent:
        big = request(params={"body": "x" * MAX_FRAME})
        odd = request(params={"rate": float("nan")})
        for seen in await answers(the_hub, big, odd, deadline_s=3):
            assert (seen.failure, seen.fault_of) == (Failure.UNSUPPORTED, FaultOf.AGENT)
            assert "cannot be sent" in seen.detail["reason"]
        asking = Asking(the_hub, request())
        await agent.answer(await agent.job())
        assert (await asking.one()).ok


# --- what is believed -------------------------------------------------------------------------------------------


async def lie(agent: Puppet, job: Job, what: str, other: Puppet) -> None:
    outcome = Outcome(ok=True, detail={"lie": what})
    match what:
        case "a job never issued":
            await agent.say(result(job, job="never", outcome=outcome))
        case "a wrong nonce":
            await agent.say(result(job, nonce="0" * 32, outcome=outcome))
        case "another agent":
            await other.say(result(job, outcome=outcome))
        case "another key":
            await agent.answer(job, outcome, signer=Signer())
        case "no signature":
            await agent.socket.send(encode(result(job, outcome=outcome)))
        case "another frame":
            await agent.say(job)
        case "noise":
            await agent.socket.send("noise")
        case "binary noise":
            await agent.socket.send(b"\x00noise")
        case "a rate beyond 1":
            await agent.say(result(job, outcome=replace(outcome, success_rate=7.0)))
        case "a big frame":
            await agent.socket.send(json.dumps({"body": "x" * MAX_FRAME}))


@pytest.mark.parametrize(
    "what",
    [
        "a job never issued",
        "a wrong nonce",
        "another agent",
        "another key",
        "no signature",
        "another frame",
        "noise",
        "binary noise",
        "a rate beyond 1",
        "a big frame",
    ],
)
async def test_a_lie_is_not_believed_and_the_truth_still_is(
    the_hub: AgentHub, url: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with puppet(url) as agent, puppet(url, who("sh-pod")) as other:
        asking = Asking(the_hub, request())
        job = await agent.job()
        await lie(agent, job, what, other)
        await until(lambda: "WARNING" in [r.levelname for r in caplog.records])
        assert asking.open
        await agent.answer(job, SECRET)
        assert (await asking.one()).detail == SECRET.detail


async def test_a_result_counts_once(the_hub: AgentHub, url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request(probe="one"), request(probe="two"))
        jobs = [await agent.job(), await agent.job()]
        for _ in range(3):
            await agent.answer(jobs[0])
        await until(lambda: caplog.text.count("that is not out") == 2)
        assert asking.open
        await agent.answer(jobs[1])
        assert sorted(o.probe for o in await asking.all()) == ["one", "two"]


async def test_a_result_after_the_deadline_is_not_believed(
    the_hub: AgentHub, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request(), deadline_s=0.2)
        job = await agent.job()
        assert (await asking.one()).failure is Failure.AGENT_LOST
        await agent.answer(job)
        await until(lambda: "that is not out" in caplog.text)


async def test_where_an_observation_lies_is_what_was_asked_not_what_the_agent_says(the_hub: AgentHub, url: str) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request(probe="tcp/api", target="api"))
        job = await agent.job()
        await agent.answer(replace(job, request=replace(job.request, probe="tcp/other", target="other")))
        seen = await asking.one()
    assert (seen.probe, seen.target, seen.agent, seen.region) == ("tcp/api", "api", "sh-vm", "shanghai")


@pytest.mark.parametrize("at", [-1e300, 1e300, 4e14])
async def test_a_clock_beyond_all_bounds_is_replaced_by_ours(the_hub: AgentHub, url: str, at: float) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request())
        await agent.say(result(await agent.job(), at=at))
        seen = await asking.one()
    assert seen.at is not None
    assert abs(datetime.now(UTC) - seen.at) < timedelta(seconds=10)


async def test_a_frame_beyond_all_bounds_ends_the_connection(the_hub: AgentHub, url: str) -> None:
    async with puppet(url) as agent:
        await agent.socket.send("x" * (3 * MAX_FRAME))
        await hung_up(agent.socket)
        await until(lambda: state_of(the_hub) == "lost")


# --- agents in trouble -------------------------------------------------------------------------------------------


async def test_an_agent_that_vanishes_is_lost_at_once_with_all_that_was_out(the_hub: AgentHub, url: str) -> None:
    async with puppet(url) as agent, puppet(url, who("sh-pod")) as other:
        asking = Asking(the_hub, request(), request(), request("sh-pod"), deadline_s=60)
        await agent.job()
        began = time.monotonic()
        agent.socket.transport.abort()
        await until(lambda: state_of(the_hub) == "lost", 2)
        assert asking.open
        await other.answer(await other.job())
        seen = await asking.all()
        assert time.monotonic() - began < 2
    assert (
        sorted((o.agent, o.failure, o.fault_of) for o in seen if not o.ok)
        == [("sh-vm", Failure.AGENT_LOST, FaultOf.AGENT)] * 2
    )
    assert [o.agent for o in seen if o.ok] == ["sh-pod"]


async def test_a_silent_agent_is_given_up_at_the_probes_own_limit_and_stays_connected(
    the_hub: AgentHub, url: str
) -> None:
    async with puppet(url) as agent:
        began = time.monotonic()
        asking = Asking(the_hub, request(timeout_s=0.1), deadline_s=30)
        await agent.job()
        seen = await asking.one()
        assert agent_hub.GRACE_S <= time.monotonic() - began < agent_hub.GRACE_S + 1
        assert (seen.failure, seen.fault_of) == (Failure.AGENT_LOST, FaultOf.AGENT)
        assert "no answer within" in seen.detail["reason"]
        assert state_of(the_hub) == "ready"


async def test_a_slow_agent_holds_nobody_else_up(the_hub: AgentHub, url: str) -> None:
    async with puppet(url) as slow, puppet(url, who("sh-pod")) as quick:
        stream = the_hub.ask([request(), request("sh-pod")], deadline_s=10)
        first = asyncio.ensure_future(anext(stream))
        late = await slow.job()
        await quick.answer(await quick.job())
        assert (await asyncio.wait_for(first, 1)).agent == "sh-pod"
        await asyncio.sleep(0.3)
        await slow.answer(late)
        assert (await anext(stream)).agent == "sh-vm"


async def test_an_agent_that_does_not_read_is_given_up_and_may_come_back(
    the_hub: AgentHub, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_hub, "SEND_WITHIN_S", 0.3)
    signer = Signer()
    async with puppet(url, signer=signer) as stuck:
        stuck.socket.transport.pause_reading()
        jobs = [request(params={"body": "x" * 200_000}, timeout_s=60) for _ in range(60)]
        seen = await answers(the_hub, *jobs, deadline_s=5)
        assert {o.failure for o in seen} == {Failure.AGENT_LOST}
        assert state_of(the_hub) == "lost"
        stuck.socket.transport.resume_reading()
        await hung_up(stuck.socket)
        async with puppet(url, signer=signer) as back:
            asking = Asking(the_hub, request())
            await back.answer(await back.job())
            assert (await asking.one()).ok


async def test_an_agent_that_drains_says_so(the_hub: AgentHub, url: str) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request())
        job = await agent.job()
        await agent.say(Status(state="draining"))
        await until(lambda: state_of(the_hub) == "draining")
        await agent.answer(job)
        assert (await asking.one()).ok
        assert state_of(the_hub) == "draining"


async def test_how_late_the_agents_loop_runs_is_kept_with_the_agent(the_hub: AgentHub, url: str) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request())
        await agent.say(result(await agent.job(), lag_ms=41.5))
        await asking.one()
        assert the_hub.agents()[0].lag_ms == 41.5


async def test_a_hub_logs_who_came_and_went_and_why(
    the_hub: AgentHub, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "warroom.hub")
    async with puppet(url):
        assert "agent sh-vm connected (shanghai, vm)" in caplog.text
    await until(lambda: "agent sh-vm lost: connection closed" in caplog.text)


def test_a_result_names_no_place_of_its_own() -> None:
    assert {"agent", "region", "vantage", "target"}.isdisjoint(Result.__dataclass_fields__)
