"""How an incident was understood so far, for a page that is looked at while it lasts: no timeline is read for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from bot.app.ports import Tx
from bot.app.postmortem import knowing
from bot.app.postmortem.build import called
from bot.app.postmortem.course import AFTER, BEFORE, MOST_ROUNDS, Course, courses
from bot.app.postmortem.facts import Facts
from bot.app.postmortem.model import Asked, Called, Cause, Considered, Snapshot
from bot.domain.escalation import Phase
from bot.domain.incident import Incident


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Matrices and calls, the oldest first; hypotheses, the likeliest first; `next_call_at` is the next step."""

    snapshots: tuple[Snapshot, ...] = ()
    considered: tuple[Considered, ...] = ()
    cause: Cause | None = None
    runs: tuple[Asked, ...] = ()
    calls: tuple[Called, ...] = ()
    courses: tuple[Course, ...] = ()
    policy: str = ""
    next_call_at: datetime | None = None


async def evidence(tx: Tx, incident: Incident, *, zone: tzinfo, now: datetime) -> Evidence:
    """Read from the runs, the calls and the escalation of the incident, and the patrols around it."""
    runs, calls = await tx.runs.of(incident.id), await tx.calls.list(incident.id)
    facts = Facts(incident=incident, runs=runs, calls=calls, zone=zone)
    escalation = await tx.escalations.get(incident.id)
    paging = escalation is not None and escalation.phase is Phase.PAGING and incident.acked_at is None
    return Evidence(
        snapshots=tuple(replace(s, at=facts.local(s.at)) for s in knowing.snapshots(facts)),
        considered=knowing.considered(facts),
        cause=knowing.cause(facts),
        runs=tuple(replace(r, at=facts.local(r.at)) for r in knowing.asked(facts)),
        calls=called(facts),
        courses=await _courses(tx, facts, now),
        policy=escalation.policy if escalation is not None else "",
        next_call_at=escalation.due_at if paging and escalation is not None else None,
    )


async def _courses(tx: Tx, facts: Facts, now: datetime) -> tuple[Course, ...]:
    """Patrols of what was diagnosed last, else of what was looked at when it was declared."""
    named = facts.runs[-1].playbook if facts.runs else facts.incident.playbook
    if not named:
        return ()
    incident = facts.incident
    since = incident.opened_at - BEFORE
    until = min(now, incident.resolved_at + AFTER) if incident.resolved_at else now
    rounds = await tx.patrols.rounds(named, since=since, until=until, most=MOST_ROUNDS)
    return courses(rounds, since=since, until=until)
