"""What a report is made of, as it is read from the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from bot.app.postmortem.model import Action, Head
from bot.diagnosis.hypothesis import HEALTHY, INCONCLUSIVE
from bot.domain.incident import Entry, EntryKind, Incident, Run
from bot.domain.page import CallMade
from bot.domain.record import Correction, corrected, corrections

SURE = 0.6
"""Below this share a verdict leans, and does not name."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Rows of one incident. `entries` are as they were recorded, in the order in which things happened."""

    incident: Incident
    entries: Sequence[Entry] = ()
    runs: Sequence[Run] = ()
    """Oldest first."""
    calls: Sequence[CallMade] = ()
    actions: Sequence[Action] = ()
    heads: Sequence[Head] = ()
    zone: tzinfo = field(default_factory=lambda: ZoneInfo("Asia/Shanghai"))

    def local(self, at: datetime) -> datetime:
        """A moment on the team's clock."""
        return at.astimezone(self.zone)

    @cached_property
    def corrections(self) -> Mapping[int, Correction]:
        """What should stand in place of which entry."""
        return corrections(self.entries)

    @cached_property
    def first(self) -> Mapping[int, Entry]:
        """The entries as they were recorded, by number."""
        return {entry.seq: entry for entry in self.entries}

    @cached_property
    def told(self) -> Sequence[Entry]:
        """The entries as they should have been; the corrections stand in them."""
        there = {entry.seq for entry in self.entries}
        kept = [e for e in self.entries if e.kind is not EntryKind.CORRECTION or e.data.get("corrects") not in there]
        mended = [corrected(entry, self.corrections.get(entry.seq)) for entry in kept]
        return sorted(mended, key=lambda e: (e.at, e.seq))

    def of(self, *kinds: EntryKind) -> list[Entry]:
        """The entries of these kinds, as they should have been."""
        return [entry for entry in self.told if entry.kind in kinds]

    @property
    def found(self) -> list[tuple[Run, Mapping[str, Any]]]:
        """The runs that found something, with their documents."""
        return [(run, run.document) for run in self.runs if run.document is not None and "verdict" in run.document]

    @property
    def recovered_at(self) -> datetime | None:
        """When it was green again, as a watch saw it; else when people said that it is over."""
        seen = [entry.at for entry in self.of(EntryKind.RECOVERY)]
        return seen[-1] if seen else self.incident.resolved_at

    def verdict(self) -> tuple[Run, Mapping[str, Any]] | None:
        """The run whose verdict stands: the last sure one that names a cause, else the surest that does."""
        named = [(run, doc) for run, doc in self.found if set(doc["verdict"]) - {HEALTHY, INCONCLUSIVE}]
        sure = [one for one in named if share_of(one[1]) >= SURE]
        return sure[-1] if sure else max(named, key=lambda one: share_of(one[1]), default=None)


def share_of(document: Mapping[str, Any]) -> float:
    """The share of a document's verdict; older documents have it at their hypotheses only."""
    if "share" in document:
        return float(document["share"])
    return float(sum(h["share"] for h in document.get("hypotheses", ()) if h["id"] in document["verdict"]))
