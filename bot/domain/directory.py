"""Who can be asked: people, schedules, policies, vendors and severities. A value without I/O, read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.domain.escalation import Policy, Step, Target, TargetKind
from bot.domain.page import Person
from bot.domain.schedule import Override, Schedule, on_call
from bot.domain.text import Text

DEFAULT_POLICY = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Vendor:
    """Another company that takes part: a target of escalation like anybody else.

    `room` is the key of the room where its people are; `phones` are its lines, for when no person is known.
    """

    name: str
    title: Text
    people: tuple[Person, ...] = ()
    phones: tuple[str, ...] = ()
    room: str = ""
    plan: str = ""
    """The support plan: what was bought, customer number, promised times."""
    ticket_url: str = ""

    @property
    def reachable(self) -> tuple[Person, ...]:
        """Its people, or its lines where no person is known."""
        if self.people:
            return self.people
        names = [self.name, *(f"{self.name}-{n}" for n in range(2, len(self.phones) + 1))]
        return tuple(Person(name=name, phone=phone) for name, phone in zip(names, self.phones, strict=False))


@dataclass(frozen=True, kw_only=True, slots=True)
class Severity:
    """What a severity triggers. `policy` "" is the default one.

    `remind_every`: how often a status update is asked for. `unack_after`: when nobody has said or done anything for
    so long, an acknowledgement no longer counts. None: never.
    """

    name: str
    policy: str = ""
    remind_every: timedelta | None = None
    unack_after: timedelta | None = None
    commander_after: timedelta | None = None
    """After so long without a commander one is asked for, and again."""
    room: bool = False
    """Whether a war room is opened at once."""
    page: bool = True
    """Whether it escalates at all."""


SEVERITIES: Mapping[str, Severity] = {
    s.name: s
    for s in (
        Severity(
            name="sev1",
            remind_every=timedelta(minutes=15),
            unack_after=timedelta(minutes=30),
            commander_after=timedelta(minutes=10),
            room=True,
        ),
        Severity(
            name="sev2",
            remind_every=timedelta(minutes=30),
            unack_after=timedelta(hours=1),
            commander_after=timedelta(minutes=10),
            room=True,
        ),
        Severity(name="sev3", remind_every=timedelta(hours=2), unack_after=timedelta(hours=8)),
        Severity(name="sev4", page=False),
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory:
    """Everybody and everything that can be named, by name and in the order of the file."""

    people: Mapping[str, Person] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    vendors: Mapping[str, Vendor] = field(default_factory=dict)
    severities: Mapping[str, Severity] = field(default_factory=lambda: SEVERITIES)

    @classmethod
    def of(cls, people: Iterable[Person]) -> Directory:
        """With people only: they are called in turn."""
        known = {p.name: p for p in people}
        return cls(people=known, policies={DEFAULT_POLICY: in_turn(known)} if known else {})

    def find(self, word: str) -> Person | None:
        """Somebody by name, chat account or e-mail address, "@" and capitals aside; people of vendors included."""
        wanted = word.lstrip("@").lower()
        everybody = [*self.people.values(), *(p for v in self.vendors.values() for p in v.reachable)]
        return next((p for p in everybody if p.name.lower() == wanted), None) or next(
            (p for p in everybody if wanted and wanted in (p.slack.lower(), p.wecom.lower(), p.email.lower())), None
        )

    def people_of(
        self,
        target: Target,
        *,
        at: datetime,
        overrides: Sequence[Override] = (),
        roles: Mapping[str, Sequence[str]] | None = None,
    ) -> tuple[Person, ...]:
        """Whom a target means at a moment. Empty: nobody just now, or a name that is not known (any more).

        `roles` gives who holds each role of the incident. A holder the directory does not know has no phone; the chat
        still reaches them.
        """
        match target.kind:
            case TargetKind.PERSON:
                found = self.find(target.name)
                return (found,) if found else ()
            case TargetKind.SCHEDULE:
                schedule = self.schedules.get(target.name)
                shift = on_call(schedule, at, overrides) if schedule else None
                return (self._named(shift.person),) if shift else ()
            case TargetKind.VENDOR:
                vendor = self.vendors.get(target.name)
                return vendor.reachable if vendor else ()
            case TargetKind.ROLE:
                return tuple(self._named(name) for name in (roles or {}).get(target.name, ()))

    def severity(self, name: str) -> Severity:
        """What a severity triggers; one that is not known pages as the default does."""
        return self.severities.get(name) or Severity(name=name)

    def policy_of(self, severity: str) -> Policy | None:
        """The policy of a severity: its own, else `default`, else the only one. None: it does not escalate."""
        named = self.severity(severity)
        if not named.page:
            return None
        only = next(iter(self.policies.values())) if len(self.policies) == 1 else None
        return self.policies.get(named.policy or DEFAULT_POLICY) or only

    def _named(self, name: str) -> Person:
        return self.find(name) or Person(name=name)


def in_turn(names: Iterable[str]) -> Policy:
    """For a team that wrote no policy: each person in turn, five minutes apart, by chat and phone, three rounds."""
    steps = tuple(
        Step(after=timedelta(minutes=5 if n else 0), who=(Target(kind=TargetKind.PERSON, name=name),))
        for n, name in enumerate(names)
    )
    return Policy(name=DEFAULT_POLICY, steps=steps, rounds=3)
