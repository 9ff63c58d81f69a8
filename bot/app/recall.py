"""What is known of the time before a run, from patrols and from those who post changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial

from bot.app.parts import Parts
from bot.diagnosis.baseline import FEWEST, SETTLING, WINDOW
from bot.diagnosis.history import NOTHING, History, recall
from bot.diagnosis.investigation import Investigation
from bot.domain.errors import StoreUnavailable
from bot.domain.patrol import Round, Sample
from bot.domain.playbook import Playbook

log = logging.getLogger("warroom.diag")

EVENLY = 200
"""Rounds of the whole window that make the baselines."""
FINELY = ((timedelta(hours=2), 150), (timedelta(days=1), 100))
"""How far back, and at most so many rounds of it, to find the onset among."""
CELLS = 40_000
"""Cells of each reading, about: with very many vantage points fewer rounds are read, and an onset is less exact."""
MOST_CHANGES = 1000
RECALL_S = 2.0
"""An answer waits so long for the database to say what was before, and no longer."""


async def recall_into(parts: Parts, investigation: Investigation, *, incident: str | None) -> None:
    """Let an investigation know what is known of the time before it."""
    investigation.remember(await remembered(parts, investigation.playbook, incident=incident))


async def remembered(parts: Parts, playbook: Playbook, *, incident: str | None) -> History:
    """Baselines, onsets and changes for a run that begins now; nothing while the database is away.

    A playbook that came with the request has no patrols, even under a name that has.
    """
    now = parts.clock.now()
    try:
        async with parts.store.begin() as tx:
            opened = await tx.incidents.get(incident) if incident else None
            evenly: Sequence[Round] = ()
            finely: list[Round] = []
            if parts.playbooks.get(playbook.name) == playbook:
                read = partial(tx.patrols.rounds, playbook.name, until=now)
                bearable = max(2 * FEWEST, CELLS // (10 * max(1, len(parts.agents.agents()))))
                evenly = await read(since=now - WINDOW, most=min(EVENLY, bearable))
                finely = [r for span, most in FINELY for r in await read(since=now - span, most=min(most, bearable))]
            changes = await tx.changes.recent(since=now - WINDOW, limit=MOST_CHANGES)
    except StoreUnavailable as exc:
        log.warning("nothing is known of the time before: %s", exc)
        return NOTHING
    known = changes if changes or parts.change_feed else None
    until = _normal_until(now, opened.opened_at if opened else None)
    each = {r.at: r for r in (*evenly, *finely)}.values()
    # In a thread: a week of many vantage points takes a while to reckon with.
    return await asyncio.to_thread(recall, _samples(each), now=now, until=until, even=_samples(evenly), changes=known)


def _samples(rounds: Iterable[Round]) -> list[Sample]:
    return [s for r in rounds for s in r.samples]


def _normal_until(now: datetime, opened_at: datetime | None) -> datetime:
    """What came later is, or may be, the trouble that is looked at."""
    return min(now, opened_at or now) - SETTLING
