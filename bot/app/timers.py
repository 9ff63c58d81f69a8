"""When an incident asks for a status update and for a commander: by its severity, on the database's clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bot.app.parts import Parts
from bot.domain.incident import Incident


def started(parts: Parts, incident: Incident, now: datetime) -> Incident:
    """Both timers begin now, as the severity says."""
    return commander_asked(parts, update_asked(parts, incident, now), now)


def update_asked(parts: Parts, incident: Incident, now: datetime) -> Incident:
    """People were just told how it stands, or reminded to; a snooze is over."""
    every = parts.directory.severity(incident.severity).remind_every
    due = now + every if every is not None and incident.is_open else None
    return replace(incident, update_due_at=due, snoozed=None)


def commander_asked(parts: Parts, incident: Incident, now: datetime) -> Incident:
    """A commander is asked for again after a while, as long as there is none and it still hurts."""
    after = parts.directory.severity(incident.severity).commander_after
    due = now + after if after is not None and incident.escalates and incident.commander is None else None
    return replace(incident, commander_due_at=due)


def stopped(incident: Incident) -> Incident:
    """Nothing is asked for any more."""
    return replace(incident, update_due_at=None, commander_due_at=None, snoozed=None)
