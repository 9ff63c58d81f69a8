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
from bot.domain.agent_name import clean, fault_of
from bot.domain.errors import FrameError, NotAdmitted
from bot.domain.failure import Failure
from bot.domain.probe import Agent, Observation, ProbeRequest
from bot.wire.complaints import Complaints
from bot.wire.frames import Hello
from bot.wire.handshake import HubHandshake
from bot.wire.signing import Signer

log = logging.getLogger("warroom.hub")

HELLO_WITHIN_S = 10.0
KNOCKING = 512
"""Connections that may be introducing themselves at once; for one more, the one silent longest is given up."""
NOT_LET_IN = 100
"""Warnings a minute about those who are not let in, whoever they are."""
FORGOTTEN = "this agent was forgotten here; it needs a new token of `warroom agent enroll`"
REPLACED = "another process with this --name and key has connected; give each agent its own --name"
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
        self._silent: dict[asyncio.Timeout, None] = {}
        """The time limits of those who have not said their hello yet, oldest first."""
        self._complaints = Complaints(log, most=NOT_LET_IN)
        self._closing: set[asyncio.Task[None]] = set()

    def agents(self) -> Sequence[Agent]:
        """By region, vpc and name, so that matrices keep their columns."""
        here = {name: seat.agent for name, seat in self._seats.items()}
        return sorted(
            {**self._agents, **here}.values(), key=lambda a: (a.vantage == "outside", a.region, a.vpc, a.name)
        )

    def forget(self, name: str) -> Agent | None:
        """See `bot.app.ports.AgentTransport.forget`."""
        seat = self._seats.get(name)
        was = self._agents.get(name) if seat is None else seat.agent
        if seat is not None:
            self._drop(seat, "it was forgotten")
            self._hang_up(seat, FORGOTTEN, final=True)
        if self._agents.pop(name, None) is not None:
            self._on_change()
        return was

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
        if self._knocking >= KNOCKING and not self._give_one_up():
            self._complaints.warn("%d agents are being let in; %s is asked to come again", KNOCKING, link.where)
            await link.close(BUSY)
            return
        self._knocking += 1
        try:
            seat = await self._let_in(link)
        finally:
            self._knocking -= 1
        if seat is None:
            return
        why, complaints = "the hub stopped", Complaints(log)
        try:
            why = await seat.run(lambda exc: complaints.warn("agent %s: %s", seat.agent.name, exc))
        finally:
            self._drop(seat, why)
            await link.close(GOING_AWAY)

    def _give_one_up(self) -> bool:
        """End the wait for the hello that is longest overdue; False when nobody is waited for.

        An honest agent answers within a round trip, so those who only hold connections cannot keep it out.
        """
        while self._silent:
            limit = next(iter(self._silent))
            del self._silent[limit]
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
                return True
        return False

    async def _let_in(self, link: Link) -> Seat | None:
        shake = HubHandshake(self._signer, now=time.time())
        try:
            return await self._introduce(link, shake)
        except (FrameError, NotAdmitted) as exc:
            final = not isinstance(exc, NotAdmitted) or exc.final
            self._complaints.warn("an agent from %s is not let in: %s", link.where, exc)
            with contextlib.suppress(LinkBroken):
                await link.send(shake.refuse(str(exc), final=final))
        except (TimeoutError, LinkBroken) as exc:
            # Refused is for good; one who was only slow may try again.
            why = str(exc) or "no hello in time"
            self._complaints.warn("an agent from %s did not introduce itself: %s", link.where, why)
        await link.close(POLICY_CLOSED)
        return None

    async def _introduce(self, link: Link, shake: HubHandshake) -> Seat:
        async with asyncio.timeout(HELLO_WITHIN_S) as limit:
            self._silent[limit] = None
            try:
                await link.send(shake.challenge())
                text = await link.receive()
            finally:
                self._silent.pop(limit, None)
        hello = shake.hear(text)
        name = clean(hello.agent.name)
        if not hello.agent.region or not hello.agent.vantage:
            raise FrameError("an agent needs a region and a vantage point")
        if (fault := fault_of(name)) is not None:
            raise FrameError(f"--name: {fault.en}")
        self._may_take(name, hello)
        token = await self._door.admit(hello, shake.proven)
        self._may_take(name, hello)
        session, welcome = shake.welcome(now=time.time(), token=token)
        agent = replace(hello.agent, name=name, state="starting", last_seen=datetime.now(UTC))
        seat = Seat(link, session, agent, hello, changed=self._note)
        old = self._seats.get(name)
        if old is not None:
            self._drop(old, "the agent connected again")
            self._give_way(old, hello)
        # The name is taken before the next await, so that of two who want it at once one is refused.
        self._seats[name] = seat
        seat.post(welcome)
        log.info("agent %s connected (%s, %s)", name, agent.region, agent.vantage)
        self._note(agent)
        return seat

    def _may_take(self, name: str, hello: Hello) -> None:
        old = self._seats.get(name)
        if old is not None and old.hello.public_key != hello.public_key:
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

    def _give_way(self, seat: Seat, by: Hello) -> None:
        """Hang up on a seat that was taken; for good only if another process took it.

        Anybody on a NATS can have one process introduce itself twice, and must not be able to end it by that.
        """
        another = seat.hello.process != by.process
        self._hang_up(seat, REPLACED if another else "this agent has connected again", final=another)

    def _hang_up(self, seat: Seat, reason: str, *, final: bool) -> None:
        """Close a dropped link, lest its agent believes itself connected."""
        task = asyncio.create_task(seat.hang_up(reason, final=final))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _lost(self, request: ProbeRequest, why: str) -> Observation:
        """A lost agent is an observation too: its trouble, never the target's."""
        agent = self._agents.get(request.agent) or Agent(name=request.agent, region="?", vantage="?", state="lost")
        return failed(request, agent, Failure.AGENT_LOST, why)
