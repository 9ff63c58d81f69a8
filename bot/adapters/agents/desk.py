"""The desk: lets agents in, knows who is here, asks them, and believes results only for jobs that were issued."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from bot.adapters.agents.link import BUSY, GOING_AWAY, POLICY_CLOSED, Link, LinkBroken
from bot.adapters.agents.question import Question
from bot.adapters.agents.seat import Seat, failed
from bot.app.ports import Doorkeeper
from bot.domain.errors import FrameError, NotAdmitted
from bot.domain.failure import Failure
from bot.domain.probe import Agent, Observation, ProbeRequest
from bot.wire.frames import Hello
from bot.wire.handshake import HubHandshake
from bot.wire.signing import Signer

log = logging.getLogger("warroom.hub")

HELLO_WITHIN_S = 10.0
KNOCKING = 512
"""Connections that may be introducing themselves at once; more are asked to come again."""
BREATH = 32
"""Jobs issued in one go; then the first of them may leave."""


class AgentDesk:
    """AgentTransport for agents on any kind of link. `known` are agents of earlier runs: absent until they dial in."""

    def __init__(
        self,
        *,
        signer: Signer,
        door: Doorkeeper,
        known: Iterable[Agent] = (),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._signer = signer
        self._door = door
        self._agents = {a.name: replace(a, state="lost") for a in known}
        self._seats: dict[str, Seat] = {}
        self._on_change = on_change
        self._knocking = 0
        self._closing: set[asyncio.Task[None]] = set()

    def agents(self) -> Sequence[Agent]:
        """By region, vpc and name, so that matrices keep their columns."""
        here = {name: seat.agent for name, seat in self._seats.items()}
        return sorted(
            {**self._agents, **here}.values(), key=lambda a: (a.vantage == "outside", a.region, a.vpc, a.name)
        )

    def forget(self, name: str) -> bool:
        """Drop an agent that is gone for good; False when it is unknown or connected."""
        if name in self._seats or self._agents.pop(name, None) is None:
            return False
        self._on_change()
        return True

    async def ask(
        self, requests: Sequence[ProbeRequest], *, deadline_s: float, late_s: float = 0.0
    ) -> AsyncIterator[Observation]:
        """See `bot.app.ports.AgentTransport.ask`."""
        question = Question(requests, late=late_s > 0)
        began = time.monotonic()
        try:
            await self._issue(requests, question)
            async for seen in question.first(deadline_s - (time.monotonic() - began)):
                yield seen
            for request in question.unanswered:
                yield self._lost(request, "no answer by the deadline")
            if late_s > 0:
                async for seen in question.late(deadline_s + late_s - (time.monotonic() - began)):
                    yield seen
        finally:
            for seat in self._seats.values():
                seat.withdraw(question)

    async def _issue(self, requests: Sequence[ProbeRequest], question: Question) -> None:
        for index, request in enumerate(requests):
            seat = self._seats.get(request.agent)
            if seat is None:
                question.answer(index, self._lost(request, "not connected"))
            else:
                seat.issue(request, index, question)
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)

    async def receive(self, link: Link) -> None:
        """One connection from its first word to its last."""
        if self._knocking >= KNOCKING:
            log.warning("%d agents are introducing themselves; %s is asked to come again", KNOCKING, link.where)
            await link.close(BUSY)
            return
        self._knocking += 1
        try:
            seat = await self._let_in(link)
        finally:
            self._knocking -= 1
        if seat is None:
            return
        why = "the hub stopped"
        try:
            why = await seat.run(lambda exc: log.warning("agent %s: %s", seat.agent.name, exc))
        finally:
            self._drop(seat, why)
            await link.close(GOING_AWAY)

    async def _let_in(self, link: Link) -> Seat | None:
        shake = HubHandshake(self._signer, now=time.time())
        try:
            return await self._introduce(link, shake)
        except (FrameError, NotAdmitted) as exc:
            final = not isinstance(exc, NotAdmitted) or exc.final
            log.warning("an agent from %s is not let in: %s", link.where, exc)
            with contextlib.suppress(LinkBroken):
                await link.send(shake.refuse(str(exc), final=final))
        except (TimeoutError, LinkBroken) as exc:
            # Refused is for good; one who was only slow may try again.
            log.warning("an agent from %s did not introduce itself: %s", link.where, str(exc) or "no hello in time")
        await link.close(POLICY_CLOSED)
        return None

    async def _introduce(self, link: Link, shake: HubHandshake) -> Seat:
        async with asyncio.timeout(HELLO_WITHIN_S):
            await link.send(shake.challenge())
            hello = shake.hear(await link.receive())
        name = hello.agent.name.strip()
        if not name or not hello.agent.region or not hello.agent.vantage:
            raise FrameError("an agent needs a name, a region and a vantage point")
        self._may_take(name, hello)
        token = await self._door.admit(hello, shake.proven)
        self._may_take(name, hello)
        session, welcome = shake.welcome(now=time.time(), token=token)
        agent = replace(hello.agent, name=name, state="starting", last_seen=datetime.now(UTC))
        seat = Seat(link, session, agent, hello.public_key, changed=self._note)
        old = self._seats.get(name)
        if old is not None:
            self._drop(old, "the agent connected again")
            self._hang_up(old, "another process with this --name and key has connected; give each agent its own --name")
        # The name is taken before the next await, so that of two who want it at once one is refused.
        self._seats[name] = seat
        seat.post(welcome)
        log.info("agent %s connected (%s, %s)", name, agent.region, agent.vantage)
        self._note(agent)
        return seat

    def _may_take(self, name: str, hello: Hello) -> None:
        old = self._seats.get(name)
        if old is not None and old.key != hello.public_key:
            raise FrameError(f"an agent named {name!r} with another key is connected; choose another --name")

    def _note(self, agent: Agent) -> None:
        self._agents[agent.name] = agent
        self._on_change()

    def _drop(self, seat: Seat, why: str) -> None:
        seat.abandon(why)
        name = seat.agent.name
        if self._seats.get(name) is seat:
            del self._seats[name]
            log.info("agent %s lost: %s", name, why)
            self._note(replace(seat.agent, state="lost", last_seen=datetime.now(UTC)))

    def _hang_up(self, seat: Seat, reason: str) -> None:
        """Close a dropped link, lest its agent believes itself connected."""
        task = asyncio.create_task(seat.hang_up(reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _lost(self, request: ProbeRequest, why: str) -> Observation:
        """A lost agent is an observation too: its trouble, never the target's."""
        agent = self._agents.get(request.agent) or Agent(name=request.agent, region="?", vantage="?", state="lost")
        return failed(request, agent, Failure.AGENT_LOST, why)
