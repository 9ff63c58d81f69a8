"""The fakes keep the promises of the ports they stand in for."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.app.ports import AgentTransport, ChatPlatform, Clock, Pager
from bot.domain.chat import NewRoom
from bot.domain.errors import SendFailed
from bot.domain.failure import Failure, FaultOf
from bot.domain.incident import Room
from bot.domain.probe import Agent, Outcome, ProbeRequest
from bot.testing import FakeChat, FakePager, FixedClock, ScriptedAgents
from tests.store.samples import message, page


async def test_sleepers_wake_in_order_each_at_its_own_moment() -> None:
    clock = FixedClock()
    port: Clock = clock
    began = clock.now()
    woken: list[tuple[str, timedelta]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await port.sleep(nap)
            woken.append((name, port.now() - began))

    tasks = [asyncio.create_task(sleeper("long", 5)), asyncio.create_task(sleeper("short", 2, 2))]
    await clock.advance(4.5)
    assert woken == [("short", timedelta(seconds=2)), ("short", timedelta(seconds=4))]
    await clock.advance(30 * 60)
    assert woken[-1] == ("long", timedelta(seconds=5))
    assert clock.monotonic() == 1804.5
    await asyncio.gather(*tasks)


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FixedClock()
    task = asyncio.create_task(clock.sleep(10))
    await asyncio.sleep(0)
    assert clock.sleepers == 1
    task.cancel()
    await clock.advance(20)
    assert clock.sleepers == 0


async def test_the_fake_chat_shows_edits_in_place_and_fails_when_told_to() -> None:
    chat = FakeChat()
    port: ChatPlatform = chat
    room = Room(key="fake:ops", title="ops")
    ref = await port.put(message("1/2"), room, None)
    assert await port.put(message("2/2"), room, ref) == ref
    assert chat.shown("fake:ops") == [message("2/2")]
    chat.fail_next(SendFailed("HTTP 500"))
    with pytest.raises(SendFailed):
        await port.put(message("x"), room, None)
    assert (await port.create_room(NewRoom(incident="INC-1", title="战情室", members=("lin",)))).key == "fake:room-1"


async def test_the_fake_phone_rings_once_for_each_key_also_after_an_uncertain_failure() -> None:
    phone = FakePager()
    port: Pager = phone
    phone.fail_next(SendFailed("no answer", uncertain=True), SendFailed("HTTP 503"))
    for _ in range(2):
        with pytest.raises(SendFailed):
            await port.call(page())
    await port.call(page())
    assert (len(phone.calls), list(phone.rung)) == (3, ["INC-1:1:lin:1"])


async def test_every_request_gets_one_observation_and_a_silent_agent_is_lost() -> None:
    agents = [
        Agent(name="sh-pod", region="shanghai", vantage="pod"),
        Agent(name="gz-vm", region="guangzhou", vantage="vm", state="lost"),
    ]
    transport: AgentTransport = ScriptedAgents(agents, lambda r: Outcome(ok=True) if r.probe != "dns/silent" else None)

    def request(agent: str, probe: str = "dns/api/vpc") -> ProbeRequest:
        return ProbeRequest(id=f"{agent}-{probe}", probe=probe, kind="dns", layer="dns_vpc", target="api", agent=agent)

    requests = [request("sh-pod"), request("sh-pod", "dns/silent"), request("gz-vm"), request("nobody")]
    seen = [o async for o in transport.ask(requests, deadline_s=3)]
    assert [(o.agent, o.region, o.failure) for o in seen] == [
        ("sh-pod", "shanghai", None),
        ("sh-pod", "shanghai", Failure.AGENT_LOST),
        ("gz-vm", "guangzhou", Failure.AGENT_LOST),
        ("nobody", "", Failure.AGENT_LOST),
    ]
    assert {o.fault_of for o in seen[1:]} == {FaultOf.AGENT}
