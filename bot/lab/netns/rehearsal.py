"""What a rehearsal teaches: rounds as patrols would have kept them, from what one run saw of the healthy world."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.app.ports import Store
from bot.diagnosis.cells import cells
from bot.domain.patrol import Round, Sample
from bot.domain.probe import Observation

MINUTES = 90
"""An hour and a half of rounds: enough for a baseline, which leaves out the last half hour."""


async def learn(store: Store, document: Mapping[str, Any], *, now: datetime) -> None:
    """Keep the rehearsal as a round of every minute until now: a real hour of patrols is too long for a lab."""
    seen = cells(Observation.from_json(row) for row in document["observations"])
    async with store.begin() as tx:
        for minute in range(MINUTES):
            at = now - timedelta(minutes=minute)
            samples = tuple(
                Sample(at=at, agent=c.agent, layer=c.layer, tries=c.tries, ok=c.ok, ms=c.ms) for c in seen if c.tries
            )
            await tx.patrols.keep(Round(playbook=document["playbook"], at=at, samples=samples))
