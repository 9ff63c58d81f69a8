"""The severity of an incident changes: a graver one calls people as it says, one that calls nobody stops the calls."""

from __future__ import annotations

from dataclasses import replace

from bot.app import timers
from bot.app.escalation import begin_escalation
from bot.app.incident_moves import stop_escalation
from bot.app.parts import Parts
from bot.app.ports import Tx
from bot.domain.escalating import over
from bot.domain.incident import Incident
from bot.domain.severity import graver


async def regrade(parts: Parts, tx: Tx, incident: Incident, severity: str) -> Incident:
    """The incident with its timers as the new severity says; not saved yet."""
    return timers.started(parts, replace(incident, severity=severity), await tx.now())


async def call_people(parts: Parts, tx: Tx, then: Incident, *, was: str, by: str) -> None:
    """What a severity that was changed from `was` means for who is called; the incident is saved before."""
    if not parts.directory.severity(then.severity).page:
        state = await tx.escalations.get(then.id)
        if state is not None:
            await tx.escalations.save(over(state))
            await stop_escalation(parts, tx, then)
        return
    policy = parts.directory.policy_of(then.severity)
    if graver(then.severity, was) and then.escalates and policy is not None:
        await begin_escalation(parts, tx, then, policy=policy.name, actor=by)
