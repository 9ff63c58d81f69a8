"""Whether everything an on-call file names exists, once, and comes to an end."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from bot.adapters.oncall.source import Base, Source
from bot.adapters.oncall.words import near
from bot.domain.directory import DEFAULT_POLICY, SEVERITIES, Directory
from bot.domain.escalation import Target

SECTIONS = ("people", "schedules", "policies", "vendors", "severities")
ADD = {
    "people": "add it under people:, or as [[people]] in warroom.toml",
    "schedules": "add it under schedules:",
    "policies": "add it under policies:",
    "vendors": "add it under vendors:",
}
SECTION_OF = {"person": "people", "schedule": "schedules", "vendor": "vendors"}
WORD = {"people": "person", "schedules": "schedule", "policies": "policy", "vendors": "vendor"}


def names(sources: Sequence[Source], base: Base) -> Iterator[str]:
    """Problems with names: used twice, not there, or told differently in two places."""
    known: dict[str, set[str]] = {s: {n for source in sources for n in getattr(source.model, s)} for s in SECTIONS}
    known["people"] |= {p.name for p in base.people}
    known["vendors"] |= set(base.rooms)
    yield from _twice(sources)
    yield from _told_differently(sources, base)
    for source in sources:
        yield from _schedules(source, known)
        yield from _policies(source, known)
        for name, severity in source.model.severities.items():
            if severity.policy:
                yield from _missing(known, "policies", severity.policy, source.at("severities", name, "policy"))


def loops(sources: Sequence[Source]) -> Iterator[str]:
    """Policies whose `then` comes back to them: such an escalation would never be at its end."""
    then = {name: policy.then for source in sources for name, policy in source.model.policies.items()}
    told: set[str] = set()
    for source in sources:
        for name in source.model.policies:
            way = [name]
            while (after := then.get(way[-1], "")) and after not in way:
                way.append(after)
            if after == name and not told & set(way):
                told |= set(way)
                yield (
                    f"{source.at('policies', name, 'then')}: loops ({' -> '.join([*way, name])}), so the escalation "
                    "would never end; take one `then` out, and repeat with rounds:"
                )


def without_policy(sources: Sequence[Source], directory: Directory) -> Iterator[str]:
    """Severities that page and have no policy to do it by."""
    if not directory.policies:
        return
    for name, severity in directory.severities.items():
        if severity.page and directory.policy_of(name) is None:
            place = next((s for s in sources if name in s.model.severities), None)
            place = place or next(s for s in sources if s.model.policies)
            yield (
                f"{place.at('severities' if name in place.model.severities else 'policies')}: {name} has no policy; "
                f'call one of them "{DEFAULT_POLICY}", or write severities: {{{name}: {{policy: NAME}}}}'
            )


def _twice(sources: Sequence[Source]) -> Iterator[str]:
    for section in SECTIONS:
        first: dict[str, str] = {}
        for source in sources:
            for name in getattr(source.model, section):
                if name in first:
                    yield f"{source.at(section, name)}: is in {first[name]} as well; keep one of them"
                first.setdefault(name, source.name)
    # A page's key and the chat name people only, so vendors' people must be told from ours.
    ours = {n.lower() for source in sources for n in source.model.people}
    for source in sources:
        for vendor, model in source.model.vendors.items():
            for name in model.people:
                if name.lower() in ours:
                    yield f"{source.at('vendors', vendor, 'people', name)}: is one of ours too; give one another name"


def _told_differently(sources: Sequence[Source], base: Base) -> Iterator[str]:
    given = {p.name: p.phone for p in base.people if p.phone}
    for source in sources:
        for name, person in source.model.people.items():
            if person.phone and given.get(name, person.phone) != person.phone:
                yield (
                    f"{source.at('people', name, 'phone')}: [[people]] of warroom.toml has another number "
                    f"({given[name]}); keep one of them"
                )


def _schedules(source: Source, known: Mapping[str, Collection[str]]) -> Iterator[str]:
    for name, schedule in source.model.schedules.items():
        for number, layer in enumerate(schedule.layers):
            for turn, person in enumerate(layer.people):
                where = source.at("schedules", name, "layers", number, "people", turn)
                yield from _missing(known, "people", person, where)


def _policies(source: Source, known: Mapping[str, Collection[str]]) -> Iterator[str]:
    for name, policy in source.model.policies.items():
        for number, step in enumerate(policy.steps):
            for target in step.who:
                yield from _target(known, target, source.at("policies", name, "steps", number, "who"))
        if policy.then:
            yield from _missing(known, "policies", policy.then, source.at("policies", name, "then"))
        for severity in policy.quiet.severities if policy.quiet else ():
            levels = {*SEVERITIES, *known["severities"]}
            if severity not in levels:
                where = source.at("policies", name, "quiet", "severities")
                yield f'{where}: unknown severity "{severity}"; there are {", ".join(sorted(levels))}'


def _target(known: Mapping[str, Collection[str]], target: Target, where: str) -> Iterator[str]:
    section = SECTION_OF.get(target.kind.value)
    if section is not None:
        yield from _missing(known, section, target.name, where)


def _missing(known: Mapping[str, Collection[str]], section: str, name: str, where: str) -> Iterator[str]:
    if name not in known[section]:
        yield f'{where}: unknown {WORD[section]} "{name}"; {near(name, known[section]) or ADD[section]}'
