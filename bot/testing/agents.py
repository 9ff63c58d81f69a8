"""Agents whose answers a test writes down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from bot.app.ports import Clock
from bot.domain.failure import Failure, fault_of
from bot.domain.probe import Agent, Observation, Outcome, ProbeRequest, observe
from bot.testing.clock import FixedClock

LATE_BY_S = 0.5
"""How much later than everything else a late answer comes."""
Script = Callable[[ProbeRequest], Outcome | None]
"""What an agent answers; None means it never does."""


class ScriptedAgents:
    """Implements `AgentTransport`: answers come in the order of the requests, with a turn of the loop between.

    `late` is asked for what `script` did not answer, when the caller waits for late answers.
    """

    def __init__(
        self, agents: Sequence[Agent], script: Script, *, late: Script | None = None, clock: Clock | None = None
    ) -> None:
        self._agents = tuple(agents)
        self._script = script
        self._late = late or (lambda _: None)
        self._clock = clock or FixedClock()
        self.asked: list[ProbeRequest] = []

    def agents(self) -> Sequence[Agent]:
        """The agents given at the start."""
        return self._agents

    def forget(self, name: str) -> Agent | None:
        """Drop an agent."""
        was = next((a for a in self._agents if a.name == name), None)
        self._agents = tuple(a for a in self._agents if a.name != name)
        return was

    async def ask(
        self, requests: Sequence[ProbeRequest], *, deadline_s: float, late_s: float = 0.0
    ) -> AsyncIterator[Observation]:
        """Yield one observation for each request; lost agents and unknown ones give `agent_lost`."""
        known = {agent.name: agent for agent in self._agents}
        self.asked.extend(requests)
        slow: list[tuple[ProbeRequest, Agent]] = []
        for request in requests:
            await asyncio.sleep(0)
            agent = known.get(request.agent)
            outcome = self._script(request) if agent is not None and agent.state != "lost" else None
            if outcome is None and agent is not None:
                slow.append((request, agent))
            nobody = Agent(name=request.agent, region="", vantage="", state="lost")
            yield self._seen(request, agent or nobody, outcome, deadline_s)
        await asyncio.sleep(LATE_BY_S if slow and late_s > 0 else 0)
        for request, agent in slow if late_s > 0 else ():
            outcome = self._late(request)
            if outcome is not None:
                yield self._seen(request, agent, outcome, deadline_s)

    def _seen(self, request: ProbeRequest, agent: Agent, outcome: Outcome | None, deadline_s: float) -> Observation:
        took_ms = sum(outcome.timings_ms.values()) if outcome else deadline_s * 1000
        return observe(request, agent, outcome or _lost(deadline_s), at=self._clock.now(), took_ms=took_ms)


def _lost(deadline_s: float) -> Outcome:
    return Outcome(
        ok=False,
        failure=Failure.AGENT_LOST,
        fault_of=fault_of(Failure.AGENT_LOST),
        detail={"reason": f"no answer within {deadline_s:g} s"},
    )
