"""What is allowed in an on-call file and surprises at night; `warroom oncall check` says it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from bot.domain.directory import Directory
from bot.domain.escalation import Policy, Target, TargetKind, Way
from bot.domain.page import Person
from bot.domain.schedule import gaps

LOOK = timedelta(days=90)


def notes(directory: Directory, now: datetime) -> Iterator[str]:
    """Gaps of the next 90 days, people a phone step cannot ring, schedules nobody asks."""
    for name, schedule in directory.schedules.items():
        found = gaps(schedule, now, now + LOOK)
        if found:
            since, until = (at.astimezone(schedule.timezone) for at in (found[0].since, found[0].until))
            more = f" and {len(found) - 1} more times" if len(found) > 1 else ""
            yield (
                f"schedule {name}: nobody is on call from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M %Z}{more} "
                "within 90 days"
            )
    for policy in directory.policies.values():
        silent = {p.name for step in policy.steps if Way.PHONE in step.by for p in _whom(directory, step.who)}
        if silent:
            yield f"policy {policy.name}: phones people without a number: {', '.join(sorted(silent))}"
        for name in sorted(_asked(policy, TargetKind.VENDOR)):
            if not directory.vendors[name].reachable:
                yield f"policy {policy.name}: asks vendor {name}, which has neither people: nor phones:"
    asked = {name for p in directory.policies.values() for name in _asked(p, TargetKind.SCHEDULE)}
    for name in directory.schedules:
        if name not in asked:
            yield f"schedule {name}: no policy asks it"


def _asked(policy: Policy, kind: TargetKind) -> set[str]:
    return {target.name for step in policy.steps for target in step.who if target.kind is kind}


def _whom(directory: Directory, targets: Sequence[Target]) -> Iterator[Person]:
    """Everybody without a number whom the targets may mean at some time."""
    for target in targets:
        if target.kind is TargetKind.PERSON:
            people = [directory.people[target.name]]
        elif target.kind is TargetKind.SCHEDULE:
            people = [directory.people[name] for name in sorted(directory.schedules[target.name].people)]
        elif target.kind is TargetKind.VENDOR:
            people = list(directory.vendors[target.name].reachable)
        else:
            people = []
        yield from (person for person in people if not person.phone)
