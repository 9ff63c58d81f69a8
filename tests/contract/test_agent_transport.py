"""What every AgentTransport promises (`bot.app.ports`), shown on each of them alike.

A transport joins with one line in STAGES: a context manager that brings agents up, has them answer by a
script, and yields the transport.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from websockets.exceptions import ConnectionClosed

from bot.adapters.agents import seat
from bot.app.ports import AgentTransport
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, Outcome, ProbeRequest
from bot.testing import ScriptedAgents
from bot.testing.agents import Script
from bot.wire.frames import Job
from tests.wire.on_nats import nats_puppet, on_nats, own_place
from tests.wire.peers import Puppet, W, hub, puppet, request, result, served, until, who

Stage = Callable[[Sequence[Agent], "Conduct"], AbstractAsyncContextManager[AgentTransport]]

DNS = {"name": "sms.test", "server": "@vpc"}
ByScript = Callable[[Sequence[Agent], Script], AbstractAsyncContextManager[AgentTransport]]

POD = who("sh-pod", vantage="pod", cluster="tke", env="prod")
VM = who("sh-vm", env="prod")
FAR = who("gz-vm", region="guangzhou", vpc="guangzhou")
GONE = who("sh-vm2", vantage="vm2", vpc="shanghai-2", state="lost")
AGENTS = (POD, VM, FAR, GONE)


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """How agents behave: what they answer at once, and what so many seconds later, or after they are `let_go`."""

    at_once: Script
    late: Script = lambda _: None
    late_after_s: float = 0.5
    let_go: asyncio.Event | None = None
    lie: frozenset[str] = frozenset()
    """Agents that also answer what they were not asked, wrongly, and everything twice."""


@asynccontextmanager
async def scripted(agents: Sequence[Agent], conduct: Conduct) -> AsyncIterator[AgentTransport]:
    yield ScriptedAgents(agents, conduct.at_once, late=conduct.late)


@asynccontextmanager
async def over_websocket(agents: Sequence[Agent], conduct: Conduct) -> AsyncIterator[AgentTransport]:
    transport = hub(known=agents)
    async with served(transport) as url, working(transport, agents, conduct, lambda agent: puppet(url, agent)):
        yield transport


@asynccontextmanager
async def over_nats(agents: Sequence[Agent], conduct: Conduct) -> AsyncIterator[AgentTransport]:
    transport, place = hub(known=agents), own_place()
    async with (
        on_nats(transport, place),
        working(transport, agents, conduct, lambda agent: nats_puppet(place, agent)),
    ):
        yield transport


@asynccontextmanager
async def working(
    transport: AgentTransport,
    agents: Sequence[Agent],
    conduct: Conduct,
    enter: Callable[[Agent], AbstractAsyncContextManager[Puppet[W]]],
) -> AsyncIterator[None]:
    """Those of the agents that are not lost, at work."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for agent in agents:
            if agent.state != "lost":
                one = await stack.enter_async_context(enter(agent))
                work = tasks.create_task(answer(one, conduct, tasks))
                stack.callback(work.cancel)
        await until(lambda: all(a.state == b.state for a, b in zip_by_name(transport.agents(), agents)))
        yield


async def answer(one: Puppet[W], conduct: Conduct, tasks: asyncio.TaskGroup) -> None:
    later = []
    try:
        while True:
            job = await one.job(None)
            outcome = conduct.at_once(job.request)
            if outcome is not None:
                if job.request.agent in conduct.lie:
                    await lie(one, job)
                await one.answer(job, outcome)
                if job.request.agent in conduct.lie:
                    await one.answer(job, outcome)
            elif (late := conduct.late(job.request)) is not None:
                later.append(tasks.create_task(answer_later(one, job, late, conduct)))
    except ConnectionClosed:
        return
    finally:
        for task in later:
            task.cancel()


async def lie(one: Puppet[W], job: Job) -> None:
    lied = Outcome(ok=True, detail={"by": "a liar"})
    await one.say(result(job, job="never", outcome=lied))
    await one.say(result(job, nonce="0" * 32, outcome=lied))
    await one.socket.send(one.session.seal(result(job, outcome=lied)).replace("liar", "LIAR"))
    await one.socket.send("noise")


async def answer_later(one: Puppet[W], job: Job, outcome: Outcome, conduct: Conduct) -> None:
    if conduct.let_go is not None:
        await conduct.let_go.wait()
    await asyncio.sleep(conduct.late_after_s)
    await one.answer(job, outcome)


STAGES: dict[str, Stage] = {"scripted": scripted, "websocket": over_websocket, "nats": over_nats}


@pytest.fixture(params=STAGES)
def conducted(request: pytest.FixtureRequest) -> Stage:
    return STAGES[request.param]


@pytest.fixture
def stage(conducted: Stage) -> ByScript:
    return lambda agents, script: conducted(agents, Conduct(at_once=script))


def zip_by_name(left: Sequence[Agent], right: Sequence[Agent]) -> list[tuple[Agent, Agent]]:
    by_name = {a.name: a for a in right}
    return [(a, by_name[a.name]) for a in left]


def fine(_: ProbeRequest) -> Outcome:
    return Outcome(ok=True)


async def test_all_agents_are_listed_with_their_place_the_lost_ones_too_in_an_order_that_stays(stage: ByScript) -> None:
    async with stage(AGENTS, fine) as transport:
        listed = transport.agents()
        assert {a.name: (a.region, a.vantage, a.env, a.vpc, a.cluster, a.state) for a in listed} == {
            "sh-pod": ("shanghai", "pod", "prod", "shanghai", "tke", "ready"),
            "sh-vm": ("shanghai", "vm", "prod", "shanghai", "", "ready"),
            "gz-vm": ("guangzhou", "vm", "", "guangzhou", "", "ready"),
            "sh-vm2": ("shanghai", "vm2", "", "shanghai-2", "", "lost"),
        }
        async for _ in transport.ask([request("gz-vm")], deadline_s=5):
            pass
        assert [a.name for a in transport.agents()] == [a.name for a in listed]


async def test_an_answer_comes_through_whole_and_in_its_place_in_the_matrix(stage: ByScript) -> None:
    outcome = Outcome(
        ok=False,
        failure=Failure.DNS_TIMEOUT,
        fault_of=FaultOf.RESOLVER,
        success_rate=0.25,
        timings_ms={"dns": 12.5},
        detail={"tries": 20, "each": [{"ms": 1.5, "failure": None}], "说": "限速"},
    )
    asked = request("sh-pod", probe="dns/api/vpc", kind="dns", layer="dns_vpc", target="sms.test", params=DNS)
    async with stage(AGENTS, lambda _: outcome) as transport:
        (seen,) = [o async for o in transport.ask([asked], deadline_s=5)]
    assert (seen.probe, seen.kind, seen.layer, seen.target) == ("dns/api/vpc", "dns", "dns_vpc", "sms.test")
    assert (seen.agent, seen.region, seen.vantage) == ("sh-pod", "shanghai", "pod")
    assert (seen.env, seen.vpc, seen.cluster) == ("prod", "shanghai", "tke")
    assert (seen.ok, seen.failure, seen.fault_of) == (False, Failure.DNS_TIMEOUT, FaultOf.RESOLVER)
    assert (seen.success_rate, seen.timings_ms, seen.detail) == (0.25, {"dns": 12.5}, outcome.detail)
    assert seen.at is not None
    assert seen.at.tzinfo is not None
    assert seen.took_ms >= 0


async def test_nothing_asked_ends_at_once(stage: ByScript) -> None:
    async with stage(AGENTS, fine) as transport:
        assert [o async for o in transport.ask([], deadline_s=60)] == []


async def test_every_request_has_exactly_one_observation_whatever_becomes_of_it(stage: ByScript) -> None:
    def script(asked: ProbeRequest) -> Outcome | None:
        return None if asked.probe == "silent" else Outcome(ok=True)

    asked = [request(a.name, probe=p) for a in (*AGENTS, who("nobody")) for p in ("one", "two", "silent")]
    async with stage(AGENTS, script) as transport:
        seen = [o async for o in transport.ask(asked, deadline_s=2)]
    assert sorted((o.agent, o.probe) for o in seen) == sorted((r.agent, r.probe) for r in asked)
    answered = {(o.agent, o.probe) for o in seen if o.ok}
    assert answered == {(a.name, p) for a in (POD, VM, FAR) for p in ("one", "two")}


async def test_an_agent_that_is_lost_silent_or_unknown_is_an_observation_of_the_agents_own_trouble(
    stage: ByScript,
) -> None:
    asked = [request(name) for name in ("sh-vm", "sh-vm2", "nobody")]
    async with stage(AGENTS, lambda _: None) as transport:
        seen = [o async for o in transport.ask(asked, deadline_s=0.3)]
    assert {o.agent for o in seen} == {"sh-vm", "sh-vm2", "nobody"}
    for lost in seen:
        assert (lost.ok, lost.failure, lost.fault_of) == (False, Failure.AGENT_LOST, FaultOf.AGENT)
        assert lost.detail["reason"]
        assert lost.at is not None


async def test_a_lost_agent_still_has_its_place_in_the_matrix(stage: ByScript) -> None:
    async with stage(AGENTS, fine) as transport:
        (seen,) = [o async for o in transport.ask([request("sh-vm2")], deadline_s=0.3)]
    assert (seen.region, seen.vantage, seen.vpc) == ("shanghai", "vm2", "shanghai-2")


async def test_the_deadline_holds_also_when_a_probes_own_limit_is_longer(stage: ByScript) -> None:
    async with stage(AGENTS, lambda _: None) as transport:
        began = time.monotonic()
        seen = [o async for o in transport.ask([request(timeout_s=600.0) for _ in range(3)], deadline_s=0.5)]
        assert time.monotonic() - began < 30
    assert [o.failure for o in seen] == [Failure.AGENT_LOST] * 3


async def test_no_time_at_all_still_gives_every_request_its_observation(stage: ByScript) -> None:
    async with stage(AGENTS, fine) as transport:
        seen = [o async for o in transport.ask([request("sh-vm"), request("nobody")], deadline_s=0)]
    assert {o.agent for o in seen} == {"sh-vm", "nobody"}


async def test_a_reader_that_is_slower_than_the_deadline_loses_no_answer(stage: ByScript) -> None:
    asked = [request(a.name) for a in (POD, VM, FAR)]
    seen = []
    async with stage(AGENTS, fine) as transport:
        async for observation in transport.ask(asked, deadline_s=1.5):
            seen.append(observation)
            if len(seen) == 1:
                await asyncio.sleep(1.6)
    assert sorted((o.agent, o.ok) for o in seen) == [("gz-vm", True), ("sh-pod", True), ("sh-vm", True)]


async def test_two_who_ask_at_once_each_get_their_own_answers(stage: ByScript) -> None:
    def script(asked: ProbeRequest) -> Outcome:
        return Outcome(ok=True, detail={"asked": asked.id})

    async def ask(transport: AgentTransport, batch: Sequence[ProbeRequest]) -> set[str]:
        return {o.detail["asked"] async for o in transport.ask(batch, deadline_s=10)}

    batches = [[request(a.name) for a in (POD, VM, FAR) for _ in range(10)] for _ in range(4)]
    async with stage(AGENTS, script) as transport:
        heard = await asyncio.gather(*(ask(transport, batch) for batch in batches))
    assert list(heard) == [{r.id for r in batch} for batch in batches]


async def test_the_same_request_may_be_asked_twice_and_at_the_same_time(stage: ByScript) -> None:
    asked = request("sh-vm")

    async def ask(transport: AgentTransport) -> list[bool]:
        return [o.ok async for o in transport.ask([asked, asked], deadline_s=5)]

    async with stage(AGENTS, fine) as transport:
        assert list(await asyncio.gather(ask(transport), ask(transport))) == [[True, True], [True, True]]


async def test_one_who_stops_listening_early_leaves_the_agents_free_for_the_next(stage: ByScript) -> None:
    async with stage(AGENTS, fine) as transport:
        early = transport.ask([request(a.name) for a in (POD, VM, FAR)], deadline_s=5)
        assert (await anext(early)).ok
        await early.aclose()  # type: ignore[attr-defined]
        assert [o.ok async for o in transport.ask([request("sh-vm")], deadline_s=5)] == [True]


async def test_two_hundred_requests_to_one_agent_are_all_answered(stage: ByScript) -> None:
    async with stage(AGENTS, fine) as transport:
        asked = [request("sh-vm", probe=f"p{i}") for i in range(200)]
        seen = [o async for o in transport.ask(asked, deadline_s=20)]
    assert sorted(o.probe for o in seen if o.ok) == sorted(r.probe for r in asked)


# --- what comes late ---------------------------------------------------------------------------------------------


def by_name(*names: str) -> Script:
    """These agents work, the others answer nothing."""
    return lambda asked: Outcome(ok=True, detail={"by": asked.agent}) if asked.agent in names else None


async def test_an_answer_after_the_deadline_is_yielded_to_one_who_still_listens(conducted: Stage) -> None:
    conduct = Conduct(at_once=by_name("sh-pod"), late=by_name("sh-vm"), late_after_s=0, let_go=asyncio.Event())
    asked = [request(a.name) for a in AGENTS]
    async with conducted(AGENTS, conduct) as transport:
        stream = transport.ask(asked, deadline_s=1.5, late_s=2)
        first = [await anext(stream) for _ in asked]
        conduct.let_go.set()
        after = [o async for o in stream]
    assert sorted((o.agent, o.failure) for o in first if not o.ok) == [
        ("gz-vm", Failure.AGENT_LOST),
        ("sh-vm", Failure.AGENT_LOST),
        ("sh-vm2", Failure.AGENT_LOST),
    ]
    assert [(o.agent, o.ok, o.detail) for o in after] == [("sh-vm", True, {"by": "sh-vm"})]
    ids = {r.agent: r.id for r in asked}
    assert all(o.request == ids[o.agent] for o in (*first, *after))


async def test_an_answer_after_the_probes_own_time_but_before_the_deadline_is_yielded_as_well(
    conducted: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat, "GRACE_S", 0.1)
    asked = [request(timeout_s=0.1), request(timeout_s=0.1, probe="never")]
    conduct = Conduct(at_once=lambda _: None, late=lambda r: None if r.probe == "never" else Outcome(ok=True))
    async with conducted(AGENTS, conduct) as transport:
        seen = [o async for o in transport.ask(asked, deadline_s=3, late_s=0.2)]
    assert [(o.request, o.failure) for o in seen[:2]] == [(r.id, Failure.AGENT_LOST) for r in asked]
    assert [(o.request, o.ok) for o in seen[2:]] == [(asked[0].id, True)]


async def test_one_who_does_not_wait_for_late_answers_gets_one_observation_for_each_request_and_no_more(
    conducted: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat, "GRACE_S", 0.1)
    asked = [request(timeout_s=0.1, probe="late"), request("sh-pod", probe="slow", timeout_s=5)]
    conduct = Conduct(at_once=lambda _: None, late=lambda _: Outcome(ok=True), late_after_s=0.5)
    async with conducted(AGENTS, conduct) as transport:
        seen = [o async for o in transport.ask(asked, deadline_s=2)]
    assert sorted(o.request for o in seen) == sorted(r.id for r in asked)


async def test_who_waits_for_late_answers_waits_no_longer_than_anything_can_come(conducted: Stage) -> None:
    async with conducted(AGENTS, Conduct(at_once=fine)) as transport:
        began = time.monotonic()
        assert len([o async for o in transport.ask([request(), request("nobody")], deadline_s=30, late_s=30)]) == 2
        assert time.monotonic() - began < 25


async def test_a_fan_out_survives_agents_that_are_slow_dead_or_lying(conducted: Stage) -> None:
    honest, liars = [who(f"vm-{i}") for i in range(10)], [who(f"liar-{i}") for i in range(5)]
    slow, dead = who("slow"), who("dead")
    everybody = [*honest, *liars, slow, dead]
    conduct = Conduct(
        at_once=by_name(*(a.name for a in (*honest, *liars))),
        late=by_name("slow"),
        late_after_s=0,
        let_go=asyncio.Event(),
        lie=frozenset(a.name for a in liars),
    )
    asked = [request(a.name, probe=p) for a in everybody for p in ("one", "two")]
    async with conducted(everybody, conduct) as transport:
        stream = transport.ask(asked, deadline_s=3, late_s=2)
        first = [await anext(stream) for _ in asked]
        conduct.let_go.set()
        after = [o async for o in stream]
    assert sorted(o.request for o in first) == sorted(r.id for r in asked)
    assert {o.agent for o in first if o.ok} == {a.name for a in (*honest, *liars)}
    assert all(o.detail == {"by": o.agent} for o in first if o.ok)
    assert {(o.agent, o.failure) for o in first if not o.ok} == {(n, Failure.AGENT_LOST) for n in ("slow", "dead")}
    assert [(o.agent, o.ok) for o in after] == [("slow", True)] * 2
