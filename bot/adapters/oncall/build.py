"""Checked models into the domain's values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.adapters.oncall import ical
from bot.adapters.oncall.model import LayerModel, PersonModel, PolicyModel, ScheduleModel, SeverityModel, VendorModel
from bot.adapters.oncall.source import Base, Source
from bot.domain.directory import DEFAULT_POLICY, SEVERITIES, Directory, Severity, Vendor, in_turn
from bot.domain.errors import ConfigError
from bot.domain.escalation import Policy, QuietHours, Step
from bot.domain.page import Person
from bot.domain.schedule import Layer, Listed, Rotation, Schedule
from bot.domain.text import Lang, same
from bot.yamlfile import text_of


@dataclass(kw_only=True)
class Builder:
    """Builds one directory; `notes` collects what is allowed and worth saying."""

    sources: Sequence[Source]
    base: Base
    now: datetime
    notes: list[str] = field(default_factory=list)

    def directory(self) -> Directory:
        """Everything of every file. Raises ConfigError for a calendar that cannot be used."""
        people = {p.name: p for p in self.base.people}
        for name, model in self._all("people"):
            people[name] = _person(name, model, people.get(name), self.base.lang)
        policies = {name: self._policy(name, model) for name, model in self._all("policies")}
        if not policies and people:
            policies = {DEFAULT_POLICY: in_turn(people)}
        vendors = {name: Vendor(name=name, title=same(name), room=room) for name, room in self.base.rooms.items()}
        vendors |= {name: self._vendor(name, model) for name, model in self._all("vendors")}
        severities = {**SEVERITIES, **{name: _severity(name, model) for name, model in self._all("severities")}}
        schedules = {
            name: self._schedule(source, name, model)
            for source in self.sources
            for name, model in source.model.schedules.items()
        }
        return Directory(people=people, schedules=schedules, policies=policies, vendors=vendors, severities=severities)

    def _all(self, section: str) -> Iterator[tuple[str, Any]]:
        for source in self.sources:
            yield from getattr(source.model, section).items()

    def _schedule(self, source: Source, name: str, model: ScheduleModel) -> Schedule:
        zone = model.timezone or self.base.zone
        layers = tuple(self._layer(source, name, n, layer, zone) for n, layer in enumerate(model.layers))
        return Schedule(name=name, layers=layers, timezone=zone)

    def _layer(self, source: Source, schedule: str, number: int, model: LayerModel, zone: ZoneInfo) -> Layer:
        zone, name = model.timezone or zone, model.name or f"layer-{number + 1}"
        if model.ical:
            return self._calendar(source, (schedule, number), name, model.ical, zone)
        assert model.start is not None, "the model asks for it"
        return Rotation(
            name=name,
            people=tuple(model.people),
            every=model.every[0],
            unit=model.every[1],
            weekday=model.handover[0],
            handover=model.handover[1],
            timezone=zone,
            start=model.start,
            windows=tuple(model.only),
        )

    def _calendar(self, source: Source, place: tuple[str, int], name: str, file: str, zone: ZoneInfo) -> Listed:
        path = source.folder / file
        try:
            text = text_of(path, error=ConfigError, most=ical.MAX_FILE, encoding="utf-8-sig")
            turns, last = ical.read_turns(text, file=str(path), names=self._names(), zone=zone, now=self.now)
        except ConfigError as exc:
            raise ConfigError(f"{source.at('schedules', place[0], 'layers', place[1], 'ical')}: {exc}") from exc
        if last is not None:
            self.notes.append(
                f"schedule {place[0]}: the last event of {path} ends at {last.astimezone(zone):%Y-%m-%d %H:%M %Z}; "
                "from then on that layer names nobody"
            )
        return Listed(name=name, turns=turns)

    def _names(self) -> ical.Names:
        known = {p.name.lower(): p.name for p in self.base.people}
        for source in self.sources:
            for name, person in source.model.people.items():
                known |= {" ".join(word.lower().split()): name for word in (name, *person.also)}
        return ical.Names(known=known)

    def _policy(self, name: str, model: PolicyModel) -> Policy:
        quiet = model.quiet
        return Policy(
            name=name,
            steps=tuple(Step(after=s.after, who=tuple(s.who), by=tuple(s.by)) for s in model.steps),
            rounds=model.rounds,
            every=model.every,
            then=model.then,
            stops=model.exhausted == "stop",
            quiet=QuietHours(
                start=quiet.start,
                end=quiet.until,
                timezone=str(quiet.timezone or self.base.zone),
                severities=frozenset(quiet.severities),
            )
            if quiet
            else None,
        )

    def _vendor(self, name: str, model: VendorModel) -> Vendor:
        return Vendor(
            name=name,
            title=model.title.text() if model.title else same(name),
            people=tuple(_person(n, p, None, self.base.lang) for n, p in model.people.items()),
            phones=tuple(model.phones),
            room=model.room or self.base.rooms.get(name, ""),
            plan=model.plan,
            ticket_url=model.ticket_url,
        )


def _person(name: str, model: PersonModel, given: Person | None, lang: Lang) -> Person:
    """What the file says goes over what warroom.toml says of the same person."""
    base = given or Person(name=name, lang=lang)
    said: dict[str, Any] = {name: getattr(model, name) for name in ("phone", "slack", "wecom", "email", "role")}
    return replace(base, **{key: value for key, value in {**said, "lang": model.language}.items() if value})


def _severity(name: str, model: SeverityModel) -> Severity:
    said = {
        "policy": model.policy,
        "remind_every": model.remind,
        "unack_after": model.unack,
        "commander_after": model.commander,
        "room": model.room,
        "page": model.page,
    }
    of_key = {"remind": "remind_every", "unack": "unack_after", "commander": "commander_after"}
    given = {of_key.get(key, key) for key in model.model_fields_set}
    changes: dict[str, Any] = {key: value for key, value in said.items() if key in given}
    return replace(SEVERITIES.get(name, Severity(name=name)), **changes)
