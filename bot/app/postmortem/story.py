"""What happened, grouped: the parts of the night with the entries that count, and the whole record behind them."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.app.postmortem import times
from bot.app.postmortem.facts import Facts
from bot.app.postmortem.knowing import CAUSE, FIX, HURT, WELL, tagged
from bot.app.postmortem.model import Line, Phase
from bot.domain.incident import Entry, EntryKind
from bot.domain.text import Text

COUNTS = frozenset(
    {
        EntryKind.INCIDENT,
        EntryKind.VERDICT,
        EntryKind.ACK,
        EntryKind.NOTE,
        EntryKind.VENDOR,
        EntryKind.CHANGE,
        EntryKind.ALERT,
        EntryKind.RECOVERY,
        EntryKind.CORRECTION,
        EntryKind.WATCH,
    }
)
"""What a reader of the story wants to know; calls have a table of their own, commands and probes the record."""
MOST_LINES = 40
"""Of one part of the night."""
LATE = timedelta(minutes=5)
"""A note recorded so long after it happened is marked."""


def line(facts: Facts, entry: Entry) -> Line:
    """An entry as the report shows it, on the team's clock."""
    corrects = entry.data.get("corrects")
    by = facts.corrections.get(entry.seq)
    first = facts.first.get(entry.seq) if by is not None else None
    late = entry.recorded_at is not None and entry.kind is EntryKind.NOTE and entry.recorded_at - entry.at > LATE
    return Line(
        seq=entry.seq,
        at=facts.local(entry.at),
        kind=entry.kind.value,
        actor=entry.actor,
        text=Text(entry.zh, entry.en),
        recorded_at=facts.local(entry.recorded_at) if entry.recorded_at else None,
        late=late,
        corrects=int(corrects) if corrects is not None else None,
        corrected=by is not None,
        was=Text(first.zh, first.en) if first is not None and first.zh != entry.zh else None,
    )


def record(facts: Facts) -> tuple[Line, ...]:
    """Every entry as it was recorded, in the order in which things happened."""
    return tuple(line(facts, entry) for entry in facts.entries)


def phases(facts: Facts) -> tuple[Phase, ...]:
    """The parts of the night that have something to tell."""
    bounds = _bounds(facts)
    told: dict[str, list[Line]] = {name: [] for name, _, _ in bounds}
    for entry in facts.told:
        if entry.kind in COUNTS and not _said_twice(entry):
            name = [name for name, _, since in bounds if since is None or since <= entry.at][-1]
            told[name].append(line(facts, entry))
    return tuple(
        Phase(id=name, title=title, lines=tuple(told[name][:MOST_LINES]), more=max(0, len(told[name]) - MOST_LINES))
        for name, title, _ in bounds
        if told[name]
    )


def _said_twice(entry: Entry) -> bool:
    """Whether the entry has a place of its own in the report: a note about the cause, what went well, what hurt."""
    mirrored = entry.kind is EntryKind.INCIDENT and "mirror" in entry.data
    return mirrored or "action" in entry.data or tagged(entry, (*CAUSE, *FIX, *WELL, *HURT)) is not None


def _bounds(facts: Facts) -> list[tuple[str, Text, datetime | None]]:
    """(id, title, since when) of each part; a part never begins before the one in front of it."""
    over = facts.recovered_at
    wanted: list[tuple[str, Text, datetime | None]] = [
        ("response", Text("登记之后", "After it was declared"), facts.incident.opened_at),
        ("investigation", Text("接手与排查", "Investigation"), times.acknowledged_at(facts)),
        ("repair", Text("找到原因之后", "From the cause to recovery"), times.diagnosed_at(facts)),
        ("after", Text("恢复之后", "After recovery"), over),
    ]
    found: list[tuple[str, Text, datetime | None]] = [("before", Text("登记之前", "Before it was declared"), None)]
    last = facts.incident.opened_at
    for name, title, since in wanted:
        if since is not None:
            last = max(last, since)
            found.append((name, title, last))
    return found
