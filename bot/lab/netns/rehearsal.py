"""What a rehearsal teaches: rounds as patrols would have kept them, from what one run saw of the healthy world."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.app.ports import Store
from bot.diagnosis.baseline import samples_of
from bot.diagnosis.cells import by_service
from bot.domain.patrol import Round
from bot.domain.probe import Observation

MINUTES = 90
"""An hour and a half of rounds: enough for a baseline, which leaves out the last half hour."""


async def learn(store: Store, document: Mapping[str, Any], *, now: datetime) -> None:
    """Keep the rehearsal as a round of every minute until now: a real hour of patrols is too long for a lab."""
    seen = by_service(Observation.from_json(row) for row in document["observations"])
    async with store.begin() as tx:
        for minute in range(MINUTES):
            at = now - timedelta(minutes=minute)
            await tx.patrols.keep(Round(playbook=document["playbook"], at=at, samples=samples_of(seen, at)))
