"""The auditor: nobody's incident that escalates has a timer or a page that lives. What breaks that rule is mended.

It does not trust the loop that takes the steps, nor whoever wrote the rows: it is a query beside them.
"""

from __future__ import annotations

import logging

from bot.app.escalation import advance, begin_escalation, take_due, tell
from bot.app.parts import Parts, record
from bot.app.ports import Tx
from bot.domain.errors import StoreUnavailable
from bot.domain.escalating import hurried, restarted
from bot.domain.escalation import LOUD, Escalation, Phase
from bot.domain.incident import EntryKind, Incident
from bot.domain.message import Header
from bot.domain.text import Text

log = logging.getLogger("warroom.audit")

JOB = "audit"
EVERY_S = 5.0
VIOLATIONS = "escalation_violations"


class Auditor:
    """Looks every few seconds, in the background; `wake` returns at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def wake(self) -> None:
        """Look, unless an earlier look is still under way."""
        self._parts.jobs.once(JOB, self._look)

    async def _look(self) -> None:
        try:
            await audit(self._parts)
        except StoreUnavailable as exc:
            log.warning("cannot audit: %s", exc)


async def audit(parts: Parts) -> int:
    """Mend every violation there is; returns how many. Raises StoreUnavailable."""
    async with parts.store.begin() as tx:
        suspects = await tx.escalations.unwatched()
    mended = 0
    for ident in suspects:
        async with parts.store.begin() as tx:
            incident = await tx.incidents.get(ident)
            mended += incident is not None and await _mend(parts, tx, incident)
    # A timer that is long overdue means that the loop which takes steps does not: then this one does.
    async with parts.store.begin() as tx:
        left = await tx.escalations.next_in()
    if left is not None and left.total_seconds() < -3 * EVERY_S:
        mended += await take_due(parts)
        parts.counters[VIOLATIONS] += 1
        log.error("a step was due %.0f s ago and nobody took it", -left.total_seconds())
    if mended:
        parts.wake()
    return mended


async def _mend(parts: Parts, tx: Tx, incident: Incident) -> bool:
    """Look again with the incident locked, and call somebody if it is true."""
    state = await tx.escalations.get(incident.id)
    why = await _violation(parts, tx, incident, state)
    if why is None:
        return False
    parts.counters[VIOLATIONS] += 1
    log.error("%s: %s", incident.id, why.en)
    words = Text(
        f"自查发现 {incident.id} {why.zh}；现在重新呼叫", f"audit of {incident.id}: {why.en}; calling again now"
    )
    data = {"audit": why.en}
    at = parts.clock.now()
    await record(tx, EntryKind.ESCALATION, words, at=at, room=incident.room, incident=incident.id, data=data)
    await tell(parts, tx, incident, Header(text=words, tone="bad"))
    now = await tx.now()
    if state is None:
        begun = await begin_escalation(parts, tx, incident)
        if begun is None:
            return False
    elif state.phase is Phase.PAGING:
        await advance(parts, tx, incident, hurried(state, now))
    else:
        await advance(parts, tx, incident, restarted(state, now))
    return True


async def _violation(parts: Parts, tx: Tx, incident: Incident, state: Escalation | None) -> Text | None:
    """What is wrong; None when nothing is."""
    if not incident.escalates or incident.acked_at is not None:
        return None
    if state is None:
        return Text("的呼叫记录不见了", "its escalation is gone")
    if state.phase is Phase.PAGING:
        live = state.due_at is not None or await tx.outbox.live(incident=incident.id)
        return None if live else Text("没有计时也没有在途的呼叫", "neither a timer nor a page that lives")
    if state.phase is Phase.HELD:
        return Text("没有人接手，却当作有人接手", "held, and nobody has it")
    policy = parts.directory.policies.get(state.policy)
    ended = incident.severity not in LOUD or (policy is not None and policy.stops)
    return None if ended else Text("没有人接手，呼叫却停了", "over, and nobody has it")
