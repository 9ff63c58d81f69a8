"""Reminders: a status update is due, nobody commands. The times are on the incident's row: several bots say it once.

One transaction claims a row, says it and writes the next time; a crash rolls that back and another bot takes it up.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from bot.app import action, timers, words
from bot.app.escalation import tell
from bot.app.parts import Parts, record
from bot.app.ports import Tx
from bot.app.summary import show_summary
from bot.domain.errors import StoreUnavailable
from bot.domain.incident import EntryKind, Incident
from bot.domain.message import Button, Buttons, Header
from bot.domain.text import Text

log = logging.getLogger("warroom.reminders")

JOB = "reminders"


class Reminders:
    """Looks now and then, in the background; `wake` returns at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def wake(self) -> None:
        """Look, unless an earlier look is still under way."""
        self._parts.jobs.once(JOB, self._look)

    async def _look(self) -> None:
        try:
            while await remind(self._parts) or await action.remind(self._parts):
                pass
        except StoreUnavailable as exc:
            log.warning("cannot look for reminders that are due: %s", exc)


async def remind(parts: Parts) -> bool:
    """Say what is due about one incident; False when nothing is."""
    async with parts.store.begin() as tx:
        incident = await tx.incidents.claim_reminder()
        if incident is None:
            return False
        now = await tx.now()
        if incident.commander_due_at is not None and incident.commander_due_at <= now:
            incident = await _nobody_commands(parts, tx, incident, now)
        if incident.update_due_at is not None and incident.update_due_at <= now:
            incident = await _update_due(parts, tx, incident, now)
        await tx.incidents.save(incident)
        await show_summary(parts, tx, incident)
    parts.wake()
    return True


async def _update_due(parts: Parts, tx: Tx, incident: Incident, now: datetime) -> Incident:
    """Ask whoever commands, else whoever has it, for a word; and again after the severity's time."""
    who = incident.commander or incident.acked_by
    to = f"@{who} " if who else ""
    last = incident.update.at if incident.update else incident.opened_at
    ago = words.duration(max(0.0, (now - last).total_seconds()))
    text = Text(
        f"{to}{incident.id} 该通报进展了（上一次是 {ago.zh}前）：/incident status 一句话",
        f"{to}{incident.id} needs a status update (the last word is {ago.en} old): /incident status TEXT",
    )
    await _say(parts, tx, incident, text, now, "update_due")
    return timers.update_asked(parts, incident, now)


async def _nobody_commands(parts: Parts, tx: Tx, incident: Incident, now: datetime) -> Incident:
    then = timers.commander_asked(parts, incident, now)
    if incident.commander is not None or then.commander_due_at is None:
        return replace(incident, commander_due_at=None)
    to = f"@{incident.acked_by} " if incident.acked_by else ""
    lasts = words.duration((now - incident.opened_at).total_seconds())
    text = Text(
        f"{to}{incident.id} 已经 {lasts.zh}没有指挥：/incident role commander（或写 @某人）",
        f"{to}{incident.id} has no commander after {lasts.en}: /incident role commander (or name somebody)",
    )
    take = Button(label=Text("我来指挥", "I command"), command=f"/incident role {incident.id} commander", primary=True)
    await _say(parts, tx, incident, text, now, "no_commander", take)
    return then


async def _say(
    parts: Parts, tx: Tx, incident: Incident, text: Text, now: datetime, what: str, *buttons: Button
) -> None:
    data = {"reminder": what}
    await record(tx, EntryKind.NOTICE, text, at=now, room=incident.room, incident=incident.id, data=data)
    snooze = Button(label=Text("30 分钟后再提醒", "Snooze 30m"), command=f"/incident snooze {incident.id} 30m")
    await tell(parts, tx, incident, Header(text=text, tone="warn"), Buttons(buttons=(*buttons, snooze)))
