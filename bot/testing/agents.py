"""Agents whose answers a test writes down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from bot.app.ports import Clock
from bot.domain.failure import Failure, fault_of
from bot.domain.probe import Agent, Observation, Outcome, ProbeRequest, observe
from bot.testing.clock import FixedClock

Script = Callable[[ProbeRequest], Outcome | None]
"""What an agent answers; None means it never does."""


class ScriptedAgents:
    """Implements `AgentTransport`: answers come in the order of the requests, with a turn of the loop between."""

    def __init__(self, agents: Sequence[Agent], script: Script, *, clock: Clock | None = None) -> None:
        self._agents = tuple(agents)
        self._script = script
        self._clock = clock or FixedClock()
        self.asked: list[ProbeRequest] = []

    def agents(self) -> Sequence[Agent]:
        """The agents given at the start."""
        return self._agents

    def forget(self, name: str) -> bool:
        """Drop a lost agent."""
        left = tuple(a for a in self._agents if a.name != name or a.state != "lost")
        dropped, self._agents = len(left) < len(self._agents), left
        return dropped

    async def ask(
        self, requests: Sequence[ProbeRequest], *, deadline_s: float, late_s: float = 0.0
    ) -> AsyncIterator[Observation]:
        """Yield one observation for each request; lost agents and unknown ones give `agent_lost`."""
        known = {agent.name: agent for agent in self._agents}
        self.asked.extend(requests)
        for request in requests:
            await asyncio.sleep(0)
            agent = known.get(request.agent)
            outcome = self._script(request) if agent is not None and agent.state != "lost" else None
            yield observe(
                request,
                agent or Agent(name=request.agent, region="", vantage="", state="lost"),
                outcome or _lost(deadline_s),
                at=self._clock.now(),
                took_ms=sum(outcome.timings_ms.values()) if outcome else deadline_s * 1000,
            )


def _lost(deadline_s: float) -> Outcome:
    return Outcome(
        ok=False,
        failure=Failure.AGENT_LOST,
        fault_of=fault_of(Failure.AGENT_LOST),
        detail={"reason": f"no answer within {deadline_s:g} s"},
    )
