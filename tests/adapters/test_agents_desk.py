from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from bot.adapters.agents import AgentDesk, desk, seat
from bot.adapters.agents.link import BUSY, POLICY_CLOSED
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, Observation, Outcome, ProbeRequest
from bot.testing import TokenDoor
from bot.wire.codec import body_of, encode
from bot.wire.complaints import SAID
from bot.wire.frames import MAX_FRAME, MAX_LIFE_S, Hello, Job, Refused, Result, Status
from bot.wire.handshake import AgentHandshake, Credentials
from bot.wire.session import Session
from bot.wire.signing import Signer
from tests.wire.peers import (
    TOKEN,
    Puppet,
    answers,
    challenged,
    dial,
    enter,
    hello_to,
    hub,
    hung_up,
    puppet,
    refused,
    request,
    result,
    served,
    state_of,
    until,
    who,
)

Agents = Puppet[ClientConnection]
SECRET = Outcome(ok=True, detail={"from": "the agent itself"})


@pytest.fixture
def the_hub() -> AgentDesk:
    return hub()


@pytest.fixture
async def url(the_hub: AgentDesk) -> AsyncIterator[str]:
    async with served(the_hub) as url:
        yield url


class Asking:
    """A question that is out while the test goes on."""

    def __init__(self, of: AgentDesk, *requests: ProbeRequest, deadline_s: float = 20.0) -> None:
        self._task = asyncio.create_task(answers(of, *requests, deadline_s=deadline_s))

    @property
    def open(self) -> bool:
        return not self._task.done()

    async def all(self) -> list[Observation]:
        return await asyncio.wait_for(self._task, 90)

    async def one(self) -> Observation:
        (observation,) = await self.all()
        return observation


async def introduce(url: str, first: str | bytes | None = None, **changes: Any) -> Refused:
    """Say this, or a hello so changed, instead of a proper one; how the hub refuses it."""
    async with dial(url) as socket:
        challenge, key = await challenged(socket)
        await socket.send(hello_to(challenge, Signer(), **changes) if first is None else first)
        return await refused(socket, key)


async def knock(url: str, *, token: str = TOKEN, agent: Agent | None = None) -> Refused:
    """Introduce an agent properly, with this token and a key nobody knows; how the hub refuses it."""
    signer = Signer()
    async with dial(url) as socket:
        challenge, key = await challenged(socket)
        shake = AgentHandshake(agent or who(), Credentials(signer=signer, token=token, hub=key))
        hello, session = shake.answer(challenge)
        await socket.send(hello)
        return await refused(socket, key, session)


# --- who may come in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", ["", "wrong", TOKEN + "x", TOKEN[:-1], "é"])
async def test_a_wrong_token_is_refused_for_good_and_never_logged(
    url: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = await knock(url, token=shown)
    assert said.final
    assert "wrong token" in said.reason
    assert "wrong token" in caplog.text
    assert not shown or shown not in caplog.text.replace("wrong token", "")
    assert TOKEN not in caplog.text


async def test_a_hub_without_a_token_lets_nobody_new_in() -> None:
    async with served(hub(token="")) as url:
        for shown in ("", TOKEN):
            assert "wrong token" in (await knock(url, token=shown)).reason


async def test_an_agent_that_is_known_by_its_key_needs_no_token(url: str, the_hub: AgentDesk) -> None:
    signer = Signer()
    async with puppet(url, signer=signer) as first:
        asking = Asking(the_hub, request())
        await first.answer(await first.job())
        await asking.one()
    await until(lambda: state_of(the_hub) == "lost")
    async with dial(url) as socket:
        _, key = await challenged(socket)
    async with puppet(url, signer=signer, token="", hub=key):
        await until(lambda: state_of(the_hub) == "ready")


async def test_an_agent_is_known_by_what_its_hello_says(the_hub: AgentDesk, url: str) -> None:
    agent = who(env="prod", cluster="tke", version="0.1.0", kinds=("dns", "tcp"), resolvers={"vpc": ("10.0.0.2:53",)})
    claimed = replace(agent, state="lost", name=" sh-vm ", lag_ms=1.0, clock_ms=1.0, lacks=("x",))
    async with puppet(url, claimed):
        await until(lambda: state_of(the_hub) == "ready")
        (seen,) = the_hub.agents()
        assert seen.last_seen is not None
        assert datetime.now(UTC) - seen.last_seen < timedelta(seconds=5)
        assert replace(seen, last_seen=None) == replace(agent, lag_ms=0.0, clock_ms=0.0)


async def test_an_agent_is_starting_until_it_says_it_is_ready_and_what_it_lacks(the_hub: AgentDesk, url: str) -> None:
    async with dial(url) as socket:
        agent = await enter(socket, who(), signer=Signer())
        assert state_of(the_hub) == "starting"
        await agent.say(Status(state="ready", lag_ms=1.5, clock_ms=-40.0, lacks=("ping: no capability",)))
        await until(lambda: state_of(the_hub) == "ready")
        (seen,) = the_hub.agents()
        assert (seen.lag_ms, seen.clock_ms, seen.lacks) == (1.5, -40.0, ("ping: no capability",))
        await agent.say(Status(state="draining"))
        await until(lambda: state_of(the_hub) == "draining")
        assert the_hub.agents()[0].lacks == ("ping: no capability",)


async def test_a_hello_proves_that_the_agent_holds_the_key_it_shows(the_hub: AgentDesk, url: str) -> None:
    said = await introduce(url, public_key=Signer().public)
    assert "does not verify" in said.reason
    assert not said.final, "somebody on the way may have spoilt it"
    assert the_hub.agents() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"protocol": 3}, "speaks protocol 3, this hub 2"),
        ({"hub": Signer().public}, "answers another challenge"),
        ({"challenge": "0" * 32}, "answers another challenge"),
        ({"public_key": "AAAA"}, "32 bytes of base64"),
        ({"ephemeral": "AAAA"}, "not an X25519 key"),
    ],
)
async def test_a_hello_that_will_not_do_is_refused_with_the_reason(
    the_hub: AgentDesk, url: str, change: dict[str, Any], reason: str
) -> None:
    assert reason in (await introduce(url, **change)).reason
    assert the_hub.agents() == []


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        (who(" "), "an agent needs a name"),
        (who("sh vm"), "no agent can be called 'sh vm'"),
        (who("../sh-vm"), "no agent can be called '../sh-vm'"),
        (who(region=""), "needs a region and a vantage point"),
        (who(vantage=""), "needs a region and a vantage point"),
    ],
)
async def test_an_agent_without_a_good_name_or_a_place_is_refused_for_good(
    the_hub: AgentDesk, url: str, agent: Agent, reason: str
) -> None:
    said = await knock(url, agent=agent)
    assert reason in said.reason
    assert said.final
    assert the_hub.agents() == []


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (encode(Status(state="ready"), Signer()), "first frame must be a hello"),
        ("GET / HTTP/1.1", "malformed"),
        ("[" * 30_000, "malformed"),
        ("[" * 40_000, "at most"),
        ("x" * (MAX_FRAME + 1), "at most"),
        (b"\x00\x01", "frames are text"),
    ],
    ids=["another frame", "no frame", "deep", "long", "oversize", "binary"],
)
async def test_whatever_else_is_said_first_is_refused(
    the_hub: AgentDesk, url: str, first: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert reason in (await introduce(url, first)).reason
    assert the_hub.agents() == []
    assert "Traceback" not in caplog.text


async def test_one_who_says_nothing_is_hung_up_on_but_not_refused_for_good(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "HELLO_WITHIN_S", 0.2)
    async with dial(url) as socket:
        await challenged(socket)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == POLICY_CLOSED


async def test_of_too_many_who_say_nothing_the_one_silent_longest_gives_way_to_the_next(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "KNOCKING", 2)
    async with dial(url) as one, dial(url) as two, dial(url) as three:
        for socket in (two, three):
            await challenged(socket)
        assert await hung_up(one) == POLICY_CLOSED
        await two.send("noise")
        assert await hung_up(two) == POLICY_CLOSED


async def test_of_too_many_who_are_being_let_in_the_last_are_asked_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "KNOCKING", 1)
    slow_door = SlowDoor(TOKEN)
    async with served(hub(door=slow_door)) as url:
        first = asyncio.create_task(knock(url, token="wrong"))
        await until(lambda: slow_door.asked)
        async with dial(url) as second:
            assert await hung_up(second) == BUSY
        assert (await first).final


async def test_five_hundred_who_say_nothing_do_not_keep_an_agent_out_nor_fill_the_log(
    the_hub: AgentDesk, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(desk, "KNOCKING", 64)
    async with AsyncExitStack() as stack:
        for _ in range(500):
            await stack.enter_async_context(dial(url))
        async with puppet(url):
            await until(lambda: state_of(the_hub) == "ready")
    assert len(caplog.records) <= desk.NOT_LET_IN


async def test_an_agent_that_sends_frames_nobody_believes_does_not_fill_the_log(
    the_hub: AgentDesk, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with puppet(url) as agent:
        for _ in range(500):
            await agent.socket.send("noise")
        asking = Asking(the_hub, request())
        await agent.answer(await agent.job())
        assert (await asking.one()).ok
    assert 0 < len(caplog.records) <= SAID + 1


async def test_one_process_that_connects_again_is_not_ended_for_good(url: str) -> None:
    """Anybody on a NATS can have it introduce itself twice."""
    signer = Signer()
    async with puppet(url, signer=signer, process="p1") as old, puppet(url, signer=signer, process="p1"):
        told = old.session.open(str(await old.socket.recv()))
        assert told == Refused(reason="this agent has connected again", final=False)
        assert await hung_up(old.socket) == POLICY_CLOSED


async def test_another_key_may_not_take_the_name_of_an_agent_that_is_here(the_hub: AgentDesk, url: str) -> None:
    async with puppet(url) as honest:
        said = await knock(url)
        assert "'sh-vm' with another key is connected; choose another --name" in said.reason
        assert said.final
        asking = Asking(the_hub, request())
        await honest.answer(await honest.job(), SECRET)
        assert (await asking.one()).detail == SECRET.detail


async def test_of_four_keys_that_want_a_name_at_the_same_moment_one_gets_it() -> None:
    slow_door = SlowDoor(TOKEN)
    the_hub = hub(door=slow_door)

    refusals: list[str] = []

    async def come(url: str) -> str:
        try:
            async with puppet(url):
                await until(lambda: len(refusals) == 3)
                return "in"
        except AssertionError as refusal:
            refusals.append(str(refusal))
            return str(refusal)

    async with served(the_hub) as url:
        came = await asyncio.gather(*(come(url) for _ in range(4)))
    assert came.count("in") == 1
    assert sum("choose another --name" in one for one in came) == 3
    assert slow_door.asked == 4


class SlowDoor(TokenDoor):
    """A door whose database takes its time."""

    asked = 0

    async def admit(self, hello: Hello, proven: Callable[[str], bool]) -> str:
        self.asked += 1
        await asyncio.sleep(0.1)
        return await super().admit(hello, proven)


async def test_the_same_agent_coming_back_replaces_its_link_and_what_was_out_is_lost_at_once(
    the_hub: AgentDesk, url: str
) -> None:
    signer = Signer()
    async with puppet(url, signer=signer) as old:
        asking = Asking(the_hub, request(), deadline_s=30)
        await old.job()
        async with puppet(url, signer=signer) as new:
            lost = await asyncio.wait_for(asking.one(), 15)
            assert (lost.failure, lost.fault_of) == (Failure.AGENT_LOST, FaultOf.AGENT)
            told = old.session.open(str(await old.socket.recv()))
            assert isinstance(told, Refused)
            assert told.final
            assert "another process with this --name" in told.reason
            assert await hung_up(old.socket) == POLICY_CLOSED
            await until(lambda: state_of(the_hub) == "ready")
            again = Asking(the_hub, request())
            await new.answer(await new.job())
            assert (await again.one()).ok


async def test_agents_of_an_earlier_run_are_lost_until_they_come_back_and_can_be_forgotten() -> None:
    changes: list[int] = []
    the_hub = hub(known=[who(), who("gone")], on_change=lambda: changes.append(1))
    assert {a.name: a.state for a in the_hub.agents()} == {"sh-vm": "lost", "gone": "lost"}
    async with served(the_hub) as url:
        async with puppet(url):
            await until(lambda: state_of(the_hub) == "ready")
            assert len(changes) == 2
            assert the_hub.forget("gone") == who("gone", state="lost")
            assert the_hub.forget("gone") is None
        await until(lambda: state_of(the_hub) == "lost")
    assert [a.name for a in the_hub.agents()] == ["sh-vm"]
    assert len(changes) == 4


async def test_an_agent_that_is_forgotten_while_it_is_connected_is_hung_up_on_for_good(
    the_hub: AgentDesk, url: str
) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request(), deadline_s=30)
        await agent.job()
        was = the_hub.forget("sh-vm")
        assert was is not None
        assert was.state == "ready"
        assert the_hub.agents() == []
        assert (await asyncio.wait_for(asking.one(), 15)).failure is Failure.AGENT_LOST
        told = agent.session.open(str(await agent.socket.recv()))
        assert isinstance(told, Refused)
        assert told.final
        assert "this agent was forgotten here" in told.reason
        assert await hung_up(agent.socket) == POLICY_CLOSED
    async with puppet(url, signer=Signer()):
        await until(lambda: state_of(the_hub) == "ready")


async def test_columns_keep_their_order_by_region_and_vpc_with_the_outside_last(the_hub: AgentDesk, url: str) -> None:
    async with (
        puppet(url, who("a-office", region="hq", vantage="outside", vpc="")),
        puppet(url, who("z", region="shanghai", vpc="shanghai")),
        puppet(url, who("b", region="shanghai", vpc="shanghai-2")),
        puppet(url, who("y", region="guangzhou", vpc="guangzhou")),
    ):
        assert [a.name for a in the_hub.agents()] == ["y", "z", "b", "a-office"]


# --- what goes out ---------------------------------------------------------------------------------------------


async def test_a_job_is_sealed_addressed_once_only_and_short_lived(the_hub: AgentDesk, url: str) -> None:
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


async def test_a_job_that_cannot_travel_is_said_so_and_costs_the_agent_nothing(the_hub: AgentDesk, url: str) -> None:
    async with puppet(url) as agent:
        big, odd = request(why="x" * MAX_FRAME), request(timeout_s=float("nan"))
        wrong, unknown = request(params={"rate": "fast"}), request(kind="shell")
        for seen in await answers(the_hub, big, odd, wrong, unknown, deadline_s=3):
            assert (seen.failure, seen.fault_of) == (Failure.UNSUPPORTED, FaultOf.AGENT)
            assert "cannot be sent" in seen.detail["reason"]
        asking = Asking(the_hub, request())
        await agent.answer(await agent.job())
        assert (await asking.one()).ok


# --- what is believed -------------------------------------------------------------------------------------------


async def lie(agent: Agents, job: Job, what: str, other: Agents) -> None:  # noqa: C901 - one case for each lie
    outcome = Outcome(ok=True, detail={"lie": what})
    match what:
        case "a job never issued":
            await agent.say(result(job, job="never", outcome=outcome))
        case "a wrong nonce":
            await agent.say(result(job, nonce="0" * 32, outcome=outcome))
        case "another agent":
            await other.say(result(job, outcome=outcome))
        case "another session":
            stranger = Session(outbound=b"s" * 32, inbound=b"s" * 32)
            await agent.socket.send(stranger.seal(result(job, outcome=outcome)))
        case "no seal":
            await agent.socket.send(body_of(result(job, outcome=outcome)))
        case "a signature instead":
            await agent.socket.send(encode(result(job, outcome=outcome), Signer()))
        case "what another agent sealed":
            await agent.socket.send(other.session.seal(result(job, outcome=outcome)))
        case "another frame":
            await agent.say(job)
        case "noise":
            await agent.socket.send("noise")
        case "binary noise":
            await agent.socket.send(b"\x00noise")
        case "a rate beyond 1":
            await agent.say(result(job, outcome=replace(outcome, success_rate=7.0)))
        case "a big frame":
            await agent.socket.send("1 x " + "x" * MAX_FRAME)


@pytest.mark.parametrize(
    "what",
    [
        "a job never issued",
        "a wrong nonce",
        "another agent",
        "another session",
        "no seal",
        "a signature instead",
        "what another agent sealed",
        "another frame",
        "noise",
        "binary noise",
        "a rate beyond 1",
        "a big frame",
    ],
)
async def test_a_lie_is_not_believed_and_the_truth_still_is(
    the_hub: AgentDesk, url: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with puppet(url) as agent, puppet(url, who("sh-pod")) as other:
        asking = Asking(the_hub, request())
        job = await agent.job()
        await lie(agent, job, what, other)
        await until(lambda: "WARNING" in [r.levelname for r in caplog.records])
        assert asking.open
        await agent.answer(job, SECRET)
        assert (await asking.one()).detail == SECRET.detail


async def test_a_result_counts_once(the_hub: AgentDesk, url: str, caplog: pytest.LogCaptureFixture) -> None:
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
    the_hub: AgentDesk, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request(), deadline_s=0.2)
        job = await agent.job()
        assert (await asking.one()).failure is Failure.AGENT_LOST
        await agent.answer(job)
        await until(lambda: "that is not out" in caplog.text)


async def test_where_an_observation_lies_is_what_was_asked_not_what_the_agent_says(
    the_hub: AgentDesk, url: str
) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request(probe="tcp/api", target="api"))
        job = await agent.job()
        await agent.answer(replace(job, request=replace(job.request, probe="tcp/other", target="other")))
        seen = await asking.one()
    assert (seen.probe, seen.target, seen.agent, seen.region) == ("tcp/api", "api", "sh-vm", "shanghai")


@pytest.mark.parametrize("at", [-1e300, 1e300, 4e14])
async def test_a_clock_beyond_all_bounds_is_replaced_by_ours(the_hub: AgentDesk, url: str, at: float) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request())
        await agent.say(result(await agent.job(), at=at))
        seen = await asking.one()
    assert seen.at is not None
    assert abs(datetime.now(UTC) - seen.at) < timedelta(seconds=10)


async def test_a_frame_beyond_all_bounds_ends_the_connection(the_hub: AgentDesk, url: str) -> None:
    async with puppet(url) as agent:
        await agent.socket.send("x" * (3 * MAX_FRAME))
        await hung_up(agent.socket)
        await until(lambda: state_of(the_hub) == "lost")


# --- agents in trouble -------------------------------------------------------------------------------------------


async def test_an_agent_that_vanishes_is_lost_at_once_with_all_that_was_out(the_hub: AgentDesk, url: str) -> None:
    async with puppet(url) as agent, puppet(url, who("sh-pod")) as other:
        asking = Asking(the_hub, request(timeout_s=60), request(timeout_s=60), request("sh-pod"), deadline_s=60)
        await agent.job()
        began = time.monotonic()
        agent.socket.transport.abort()
        await until(lambda: state_of(the_hub) == "lost", 20)
        assert asking.open
        await other.answer(await other.job())
        seen = await asking.all()
        assert time.monotonic() - began < 40
    assert (
        sorted((o.agent, o.failure, o.fault_of) for o in seen if not o.ok)
        == [("sh-vm", Failure.AGENT_LOST, FaultOf.AGENT)] * 2
    )
    assert [o.agent for o in seen if o.ok] == ["sh-pod"]


async def test_a_silent_agent_is_given_up_at_the_probes_own_limit_and_stays_connected(
    the_hub: AgentDesk, url: str
) -> None:
    async with puppet(url) as agent:
        began = time.monotonic()
        asking = Asking(the_hub, request(timeout_s=0.1), deadline_s=30)
        await agent.job()
        seen = await asking.one()
        assert seat.GRACE_S <= time.monotonic() - began < 20
        assert (seen.failure, seen.fault_of) == (Failure.AGENT_LOST, FaultOf.AGENT)
        assert "no answer within" in seen.detail["reason"]
        assert state_of(the_hub) == "ready"


async def test_a_slow_agent_holds_nobody_else_up(the_hub: AgentDesk, url: str) -> None:
    async with puppet(url) as slow, puppet(url, who("sh-pod")) as quick:
        stream = the_hub.ask([request(timeout_s=60), request("sh-pod")], deadline_s=60)
        first = asyncio.ensure_future(anext(stream))
        late = await slow.job()
        await quick.answer(await quick.job())
        assert (await asyncio.wait_for(first, 30)).agent == "sh-pod"
        await asyncio.sleep(0.3)
        await slow.answer(late)
        assert (await anext(stream)).agent == "sh-vm"


async def test_an_agent_that_does_not_read_is_given_up_and_may_come_back(
    the_hub: AgentDesk, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat, "SEND_WITHIN_S", 0.3)
    signer = Signer()
    async with puppet(url, signer=signer) as stuck:
        stuck.socket.transport.pause_reading()
        jobs = [request(why="x" * 200_000, timeout_s=60) for _ in range(60)]
        seen = await answers(the_hub, *jobs, deadline_s=30)
        assert {o.failure for o in seen} == {Failure.AGENT_LOST}
        assert state_of(the_hub) == "lost"
        stuck.socket.transport.resume_reading()
        await hung_up(stuck.socket)
        async with puppet(url, signer=signer) as back:
            asking = Asking(the_hub, request())
            await back.answer(await back.job())
            assert (await asking.one()).ok


async def test_an_agent_that_drains_says_so(the_hub: AgentDesk, url: str) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request())
        job = await agent.job()
        await agent.say(Status(state="draining"))
        await until(lambda: state_of(the_hub) == "draining")
        await agent.answer(job)
        assert (await asking.one()).ok
        assert state_of(the_hub) == "draining"


async def test_how_late_the_agents_loop_runs_is_kept_with_the_agent(the_hub: AgentDesk, url: str) -> None:
    async with puppet(url) as agent:
        asking = Asking(the_hub, request())
        await agent.say(result(await agent.job(), lag_ms=41.5))
        await asking.one()
        assert the_hub.agents()[0].lag_ms == 41.5


async def test_a_hub_logs_who_came_and_went_and_why(
    the_hub: AgentDesk, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "warroom.hub")
    async with puppet(url):
        assert "agent sh-vm connected (shanghai, vm)" in caplog.text
    await until(lambda: "agent sh-vm lost: connection closed" in caplog.text)


def test_a_result_names_no_place_of_its_own() -> None:
    assert {"agent", "region", "vantage", "target"}.isdisjoint(Result.__dataclass_fields__)
