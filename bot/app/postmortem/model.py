"""The report of an incident: what templates are given, and what the JSON export is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.domain.message import Matrix, to_json
from bot.domain.text import Text

VERSION = 1
"""Of the JSON export; it is raised when a key changes its meaning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A label and what is known."""

    label: Text
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Something that happened once: `id` is fixed ("declared", "acknowledged", "diagnosed", "recovered", ...)."""

    id: str
    title: Text
    at: datetime
    by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """How long something took; `seconds` is None where it never happened, and `text` says so."""

    id: str
    title: Text
    seconds: float | None
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One entry of the timeline. `late` tells that it was recorded well after it happened."""

    seq: int
    at: datetime
    kind: str
    actor: str
    text: Text
    recorded_at: datetime | None = None
    late: bool = False
    corrects: int | None = None
    """The entry this one corrects."""
    corrected: bool = False
    """Whether a later entry corrects it: in the story `text` is what it should have said, and `was` what it said."""
    was: Text | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A part of the night with what counts of it; `more` lines are in the record only."""

    id: str
    title: Text
    lines: tuple[Line, ...]
    more: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The matrix at one moment. `said` is the verdict of that run, "" at recovery."""

    id: str
    title: Text
    at: datetime
    said: Text
    matrix: Matrix
    run: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Considered:
    """A hypothesis: whether the verdict names it, what spoke for it, and by what it was rejected."""

    id: str
    title: Text
    share: float
    named: bool
    speaks_for: tuple[Text, ...] = ()
    against: tuple[Text, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """What it was: each cause by its title, why we know, what is behind it, and what was to be done."""

    titles: tuple[Text, ...]
    share: float
    sure: bool
    why: tuple[Text, ...]
    behind: Text
    remedies: tuple[Text, ...] = ()
    told: tuple[Text, ...] = ()
    """What people wrote down about it."""
    fixes: tuple[Text, ...] = ()
    """And about what helped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """Something that will be done so that it does not happen again. `due` is a date, as 2026-12-01."""

    id: str
    text: str
    owner: str = ""
    due: str = ""
    done: bool = False
    done_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class VendorPart:
    """Another company: when it was asked, under which ticket, how long it took to answer, and what passed."""

    name: str
    asked_at: datetime
    ticket: str
    first_response_s: float | None
    said: Text
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Called:
    """One call to somebody and what came of it."""

    at: datetime
    person: str
    by: Text
    through: str
    outcome: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One run: what was asked and what it said."""

    run: str
    at: datetime
    playbook: str
    by: str
    took_s: float | None
    said: Text
    missing: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    """What one vantage point saw fail."""

    at: str
    where: str
    layer: Text
    target: str
    rate: float | None
    tries: int
    failure: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The end of a chain of the incident: what an edit or a cut tail would change."""

    chain: str
    entries: int
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything, in the order in which it is read."""

    incident: str
    title: str
    severity: str
    state: Text
    zone: str
    opened_at: datetime
    ended_at: datetime | None
    summary: tuple[Fact, ...]
    impact: tuple[Fact, ...]
    measures: tuple[Measure, ...]
    moments: tuple[Moment, ...]
    phases: tuple[Phase, ...]
    snapshots: tuple[Snapshot, ...]
    considered: tuple[Considered, ...]
    cause: Cause | None
    well: tuple[Text, ...]
    hurt: tuple[Text, ...]
    actions: tuple[Action, ...]
    vendors: tuple[VendorPart, ...]
    calls: tuple[Called, ...]
    runs: tuple[Asked, ...]
    raw: tuple[Raw, ...]
    record: tuple[Line, ...]
    record_left_out: bool = False
    """Whether `record` was too long for where this goes."""
    heads: tuple[Head, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """One document; texts are {"zh", "en"}, moments ISO 8601 with their zone."""
        return {"version": VERSION, **_dump(self)}


def _dump(value: Any) -> Any:
    match value:
        case Text():
            return value.to_json()
        case datetime():
            return value.isoformat()
        case Matrix():
            return to_json((value,))[0]
        case tuple() | list():
            return [_dump(one) for one in value]
        case Mapping():
            return {key: _dump(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value):
        return {field.name: _dump(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value
