"""Who is behind the targets of an escalation, by the directory, the overrides and the roles as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.app import escalation_words as said
from bot.app.parts import Parts
from bot.app.ports import Tx
from bot.domain.escalating import Policies, WhoIs
from bot.domain.escalation import Escalation, Policy, Target, Way
from bot.domain.incident import Incident, Role
from bot.domain.page import Person
from bot.domain.text import Text


def policies_of(parts: Parts) -> Policies:
    """Policies by name; without any phone provider their steps go by chat."""
    policies = parts.directory.policies

    def find(name: str) -> Policy | None:
        found = policies.get(name)
        return found if found is None or parts.pagers else _by_chat(found)

    return find


def _by_chat(policy: Policy) -> Policy:
    steps = (replace(s, by=tuple(w for w in s.by if w is not Way.PHONE) or (Way.CHAT,)) for s in policy.steps)
    return replace(policy, steps=tuple(steps))


async def who_of(parts: Parts, tx: Tx, incident: Incident) -> WhoIs:
    """Who is behind a target, for this incident, by the schedules and overrides as they stand."""
    overrides = await tx.overrides.ending_after(await tx.now())
    # Whoever has it commands until somebody says otherwise.
    roles: dict[str, Sequence[str]] = {Role.COMMANDER: (incident.acked_by,)} if incident.acked_by else {}
    roles.update(incident.roles)

    def who(target: Target, at: datetime) -> tuple[Person, ...]:
        return parts.directory.people_of(target, at=at, overrides=overrides, roles=roles)

    return who


async def next_words(parts: Parts, tx: Tx, incident: Incident, state: Escalation) -> Text:
    """Who is next, and when."""
    local = parts.local(state.due_at) if state.due_at else None
    return said.upcoming(state, policies=policies_of(parts), who=await who_of(parts, tx, incident), local=local)
