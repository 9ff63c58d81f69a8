"""Reading the timeline: what somebody wants to see of it, a page of that, and what later entries correct."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.incident import Entry, EntryKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which entries fit: all that is given must hold. `since` belongs to it, `until` does not.

    `words` must all stand in an entry's text, in either language and whatever their case.
    """

    kinds: frozenset[EntryKind] = frozenset()
    actor: str = ""
    since: datetime | None = None
    until: datetime | None = None
    words: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.kinds or self.actor or self.since or self.until or self.words)


EVERYTHING = Filter()


@dataclass(frozen=True, kw_only=True, slots=True)
class Excerpt:
    """Some of the entries that fit, in the order in which things happened, and how many lie before and after them."""

    entries: Sequence[Entry]
    earlier: int = 0
    later: int = 0

    @property
    def total(self) -> int:
        """How many fit."""
        return self.earlier + len(self.entries) + self.later


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """What should stand in place of entry `of`: the text, and the time where that was wrong, too."""

    of: int
    seq: int
    by: str
    made_at: datetime
    text: str
    at: datetime | None = None


CORRECTABLE = frozenset({EntryKind.NOTE, EntryKind.VENDOR})
"""What people wrote. What Warroom did or measured is as it was."""


def corrections(entries: Iterable[Entry]) -> Mapping[int, Correction]:
    """By the number of the entry that is corrected; of several the one recorded last."""
    found: dict[int, Correction] = {}
    for entry in sorted(entries, key=lambda e: e.seq):
        if entry.kind is EntryKind.CORRECTION and "corrects" in entry.data:
            at = entry.data.get("happened_at")
            of = int(entry.data["corrects"])
            found[of] = Correction(
                of=of,
                seq=entry.seq,
                by=entry.actor,
                made_at=entry.at,
                text=str(entry.data.get("says", entry.zh)),
                at=datetime.fromisoformat(at) if at else None,
            )
    return found


def corrected(entry: Entry, by: Correction | None) -> Entry:
    """The entry as it should have been."""
    return entry if by is None else replace(entry, zh=by.text, en=by.text, at=by.at or entry.at)
