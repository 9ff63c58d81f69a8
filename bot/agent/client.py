"""The agent as a whole: test itself, keep talking to its hubs, watch its own lag, stop cleanly."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from bot.agent.conversation import Party
from bot.agent.selftest import self_test
from bot.probes.base import ProbeContext

log = logging.getLogger("warroom.agent")


class Carrier(Protocol):
    """A way to hubs."""

    async def run(self, party: Party) -> None:
        """Talk to hubs until `party.stop`. Raises RefusedByHub, ConfigError."""
        ...


class AgentClient:
    """One agent process."""

    def __init__(self, *, party: Party, carrier: Carrier, context: ProbeContext) -> None:
        self._party = party
        self._carrier = carrier
        self._context = context
        self.stop = party.stop

    async def run(self) -> None:
        """Work until `stop`. Raises RefusedByHub on a refusal for good."""
        party = self._party
        beside = [asyncio.create_task(w) for w in (party.runner.watch_lag(), party.pulse.run(), self._test())]
        try:
            await self._carrier.run(self._party)
        finally:
            for task in beside:
                task.cancel()

    async def _test(self) -> None:
        self._party.lacks = await self_test(self._context)
        for sentence in self._party.lacks:
            log.warning("self-test: %s", sentence)
        self._party.tested.set()
