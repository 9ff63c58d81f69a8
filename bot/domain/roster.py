"""What an escalation asks of the on-call files, and the roster of a team that has people only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from bot.domain.escalation import Policy, Step, Target, TargetKind
from bot.domain.page import Person

DEFAULT_POLICY = "default"


class Triggers(Protocol):
    """What a severity triggers, as far as calling people goes."""

    @property
    def unack_after(self) -> timedelta | None: ...


class Roster(Protocol):
    """Who can be asked."""

    @property
    def policies(self) -> Mapping[str, Policy]: ...

    def find(self, word: str) -> Person | None:
        """Somebody by name."""
        ...

    def people_of(
        self, target: Target, *, at: datetime, roles: Mapping[str, Sequence[str]] | None = None
    ) -> Sequence[Person]:
        """Whom a target means at a moment; empty: nobody just now."""
        ...

    def severity(self, name: str) -> Triggers:
        """What a severity triggers."""
        ...

    def policy_of(self, severity: str) -> Policy | None:
        """The policy of a severity; None: it does not escalate."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Severity:
    unack_after: timedelta | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PeopleOnly:
    """Implements `Roster`: each person in turn, five minutes apart, by chat and phone, three rounds."""

    people: Mapping[str, Person] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    unack: Mapping[str, timedelta] = field(
        default_factory=lambda: {"sev1": timedelta(minutes=30), "sev2": timedelta(hours=1)}
    )

    @classmethod
    def of(cls, people: Iterable[Person]) -> PeopleOnly:
        """With the default policy."""
        known = {p.name: p for p in people}
        return cls(people=known, policies={DEFAULT_POLICY: in_turn(known)} if known else {})

    def find(self, word: str) -> Person | None:
        """By name, "@" and capitals aside."""
        wanted = word.lstrip("@").lower()
        return next((p for p in self.people.values() if p.name.lower() == wanted), None)

    def people_of(
        self, target: Target, *, at: datetime, roles: Mapping[str, Sequence[str]] | None = None
    ) -> Sequence[Person]:
        """A person by name; a role's holders, without a phone where they are not known."""
        if target.kind is TargetKind.ROLE:
            return tuple(self.find(name) or Person(name=name) for name in (roles or {}).get(target.name, ()))
        found = self.find(target.name) if target.kind is TargetKind.PERSON else None
        return (found,) if found else ()

    def severity(self, name: str) -> Triggers:
        """Its un-acknowledge timeout."""
        return _Severity(unack_after=self.unack.get(name))

    def policy_of(self, severity: str) -> Policy | None:
        """The default policy; sev4 does not escalate."""
        return None if severity == "sev4" else self.policies.get(DEFAULT_POLICY)


def in_turn(names: Iterable[str]) -> Policy:
    """Each person in turn."""
    steps = tuple(
        Step(after=timedelta(minutes=5 if n else 0), who=(Target(kind=TargetKind.PERSON, name=name),))
        for n, name in enumerate(names)
    )
    return Policy(name=DEFAULT_POLICY, steps=steps, rounds=3)
