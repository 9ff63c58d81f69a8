"""What every AgentTransport promises (`bot.app.ports`), shown on each of them alike.

A transport joins with one line in STAGES: a context manager that brings agents up, has them answer by a
script, and yields the transport.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import pytest

from bot.app.ports import AgentTransport
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, Outcome, ProbeRequest
from bot.testing import ScriptedAgents
from bot.testing.agents import Script
from tests.wire.peers import Puppet, hub, puppet, request, served, until, who

Stage = Callable[[Sequence[Agent], Script], AbstractAsyncContextManager[AgentTransport]]

POD = who("sh-pod", vantage="pod", cluster="tke", env="prod")
VM = who("sh-vm", env="prod")
FAR = who("gz-vm", region="guangzhou", vpc="guangzhou")
GONE = who("sh-vm2", vantage="vm2", vpc="shanghai-2", state="lost")
AGENTS = (POD, VM, FAR, GONE)


@asynccontextmanager
async def scripted(agents: Sequence[Agent], script: Script) -> AsyncIterator[AgentTransport]:
    yield ScriptedAgents(agents, script)


@asynccontextmanager
async def over_websocket(agents: Sequence[Agent], script: Script) -> AsyncIterator[AgentTransport]:
    transport = hub(known=agents)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(transport))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for agent in agents:
            if agent.state != "lost":
                one = await stack.enter_async_context(puppet(url, agent))
                working = tasks.create_task(answer(one, script))
                stack.callback(working.cancel)
        await until(lambda: all(a.state == b.state for a, b in zip_by_name(transport.agents(), agents)))
        yield transport


async def answer(one: Puppet, script: Script) -> None:
    async for text in one.socket:
        job = one.read(text)
        outcome = script(job.request)
        if outcome is not None:
            await one.answer(job, outcome)


STAGES: dict[str, Stage] = {"scripted": scripted, "websocket": over_websocket}


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> Stage:
    return STAGES[request.param]


def zip_by_name(left: Sequence[Agent], right: Sequence[Agent]) -> list[tuple[Agent, Agent]]:
    by_name = {a.name: a for a in right}
    return [(a, by_name[a.name]) for a in left]


def fine(_: ProbeRequest) -> Outcome:
    return Outcome(ok=True)


async def test_all_agents_are_listed_with_their_place_the_lost_ones_too_in_an_order_that_stays(stage: Stage) -> None:
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


async def test_an_answer_comes_through_whole_and_in_its_place_in_the_matrix(stage: Stage) -> None:
    outcome = Outcome(
        ok=False,
        failure=Failure.DNS_TIMEOUT,
        fault_of=FaultOf.RESOLVER,
        success_rate=0.25,
        timings_ms={"dns": 12.5},
        detail={"tries": 20, "each": [{"ms": 1.5, "failure": None}], "说": "限速"},
    )
    asked = request("sh-pod", probe="dns/api/vpc", kind="dns", layer="dns_vpc", target="sms.test")
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


async def test_nothing_asked_ends_at_once(stage: Stage) -> None:
    async with stage(AGENTS, fine) as transport:
        assert [o async for o in transport.ask([], deadline_s=60)] == []


async def test_every_request_has_exactly_one_observation_whatever_becomes_of_it(stage: Stage) -> None:
    def script(asked: ProbeRequest) -> Outcome | None:
        return None if asked.probe == "silent" else Outcome(ok=True)

    asked = [request(a.name, probe=p) for a in (*AGENTS, who("nobody")) for p in ("one", "two", "silent")]
    async with stage(AGENTS, script) as transport:
        seen = [o async for o in transport.ask(asked, deadline_s=0.5)]
    assert sorted((o.agent, o.probe) for o in seen) == sorted((r.agent, r.probe) for r in asked)
    answered = {(o.agent, o.probe) for o in seen if o.ok}
    assert answered == {(a.name, p) for a in (POD, VM, FAR) for p in ("one", "two")}


async def test_an_agent_that_is_lost_silent_or_unknown_is_an_observation_of_the_agents_own_trouble(
    stage: Stage,
) -> None:
    asked = [request(name) for name in ("sh-vm", "sh-vm2", "nobody")]
    async with stage(AGENTS, lambda _: None) as transport:
        seen = [o async for o in transport.ask(asked, deadline_s=0.3)]
    assert {o.agent for o in seen} == {"sh-vm", "sh-vm2", "nobody"}
    for lost in seen:
        assert (lost.ok, lost.failure, lost.fault_of) == (False, Failure.AGENT_LOST, FaultOf.AGENT)
        assert lost.detail["reason"]
        assert lost.at is not None


async def test_a_lost_agent_still_has_its_place_in_the_matrix(stage: Stage) -> None:
    async with stage(AGENTS, fine) as transport:
        (seen,) = [o async for o in transport.ask([request("sh-vm2")], deadline_s=0.3)]
    assert (seen.region, seen.vantage, seen.vpc) == ("shanghai", "vm2", "shanghai-2")


async def test_the_deadline_holds_also_when_a_probes_own_limit_is_longer(stage: Stage) -> None:
    async with stage(AGENTS, lambda _: None) as transport:
        began = time.monotonic()
        seen = [o async for o in transport.ask([request(timeout_s=600.0) for _ in range(3)], deadline_s=0.5)]
        assert time.monotonic() - began < 1.5
    assert [o.failure for o in seen] == [Failure.AGENT_LOST] * 3


async def test_no_time_at_all_still_gives_every_request_its_observation(stage: Stage) -> None:
    async with stage(AGENTS, fine) as transport:
        seen = [o async for o in transport.ask([request("sh-vm"), request("nobody")], deadline_s=0)]
    assert {o.agent for o in seen} == {"sh-vm", "nobody"}


async def test_a_reader_that_is_slower_than_the_deadline_loses_no_answer(stage: Stage) -> None:
    asked = [request(a.name) for a in (POD, VM, FAR)]
    seen = []
    async with stage(AGENTS, fine) as transport:
        async for observation in transport.ask(asked, deadline_s=0.5):
            seen.append(observation)
            await asyncio.sleep(0.6)
    assert sorted((o.agent, o.ok) for o in seen) == [("gz-vm", True), ("sh-pod", True), ("sh-vm", True)]


async def test_two_who_ask_at_once_each_get_their_own_answers(stage: Stage) -> None:
    def script(asked: ProbeRequest) -> Outcome:
        return Outcome(ok=True, detail={"asked": asked.id})

    async def ask(transport: AgentTransport, batch: Sequence[ProbeRequest]) -> set[str]:
        return {o.detail["asked"] async for o in transport.ask(batch, deadline_s=10)}

    batches = [[request(a.name) for a in (POD, VM, FAR) for _ in range(10)] for _ in range(4)]
    async with stage(AGENTS, script) as transport:
        heard = await asyncio.gather(*(ask(transport, batch) for batch in batches))
    assert list(heard) == [{r.id for r in batch} for batch in batches]


async def test_the_same_request_may_be_asked_twice_and_at_the_same_time(stage: Stage) -> None:
    asked = request("sh-vm")

    async def ask(transport: AgentTransport) -> list[bool]:
        return [o.ok async for o in transport.ask([asked, asked], deadline_s=5)]

    async with stage(AGENTS, fine) as transport:
        assert list(await asyncio.gather(ask(transport), ask(transport))) == [[True, True], [True, True]]


async def test_one_who_stops_listening_early_leaves_the_agents_free_for_the_next(stage: Stage) -> None:
    async with stage(AGENTS, fine) as transport:
        early = transport.ask([request(a.name) for a in (POD, VM, FAR)], deadline_s=5)
        assert (await anext(early)).ok
        await early.aclose()  # type: ignore[attr-defined]
        assert [o.ok async for o in transport.ask([request("sh-vm")], deadline_s=5)] == [True]


async def test_two_hundred_requests_to_one_agent_are_all_answered(stage: Stage) -> None:
    async with stage(AGENTS, fine) as transport:
        asked = [request("sh-vm", probe=f"p{i}") for i in range(200)]
        seen = [o async for o in transport.ask(asked, deadline_s=20)]
    assert sorted(o.probe for o in seen if o.ok) == sorted(r.probe for r in asked)
