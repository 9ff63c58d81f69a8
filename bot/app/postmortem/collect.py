"""Reads what a report is made of, in one transaction: it all belongs to the same moment."""

from __future__ import annotations

from bot.app.parts import Parts
from bot.app.ports import Tx
from bot.app.postmortem.facts import Facts
from bot.app.postmortem.model import Action, Head
from bot.domain.action import ActionItem
from bot.domain.incident import Incident

EVERYTHING = 1_000_000


async def collect(parts: Parts, tx: Tx, incident: Incident) -> Facts:
    """The rows of the incident."""
    return Facts(
        incident=incident,
        entries=await tx.timeline.read(incident=incident.id, limit=EVERYTHING),
        runs=await tx.runs.of(incident.id),
        actions=[_action(one) for one in sorted(await tx.actions.list(incident=incident.id), key=lambda a: a.made_at)],
        calls=await tx.calls.list(incident.id),
        heads=[Head(chain=h.name, entries=h.length, hash=h.hash) for h in await tx.timeline.heads(incident.id)],
        zone=parts.timezone,
    )


def _action(one: ActionItem) -> Action:
    due = one.due.isoformat() if one.due else ""
    return Action(id=one.id, text=one.text, owner=one.owner, due=due, done=one.done, done_by=one.done_by)
