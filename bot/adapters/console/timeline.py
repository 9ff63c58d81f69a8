"""A timeline as the console shows it: the filter as it was typed, a page of what fits, and the ways to the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from bot.app.timeline import Answer
from bot.domain.incident import Entry
from bot.domain.record import Correction
from bot.domain.text import Text

FILTERS = ("q", "kind", "by", "since", "until", "before", "after")
"""Of the page's address, as `/timeline` has them; `q` are the words."""


@dataclass(frozen=True, kw_only=True)
class TimelineView:
    """What a page knows of its timeline. `problem` is what was asked wrongly; then all of it is shown."""

    path: str
    room: str
    typed: Mapping[str, str]
    answer: Answer
    problem: Text | None = None

    @property
    def page(self) -> Sequence[Entry]:
        """The entries."""
        return self.answer.page.entries

    @property
    def corrections(self) -> Mapping[int, Correction]:
        """What should stand in place of which."""
        return self.answer.corrections

    @property
    def filtered(self) -> bool:
        """Whether anything was left out by a filter."""
        return bool(self.answer.wanted)

    @property
    def first(self) -> int:
        """The place of the first entry of the page among all that fit, from 1."""
        return self.answer.page.earlier + 1

    @property
    def query(self) -> str:
        """What this page was asked with, for asking again."""
        return self._query({key: value for key, value in self.typed.items() if value})

    @property
    def earlier(self) -> str:
        """Where the entries before these are; "" when there are none."""
        page = self.answer.page
        return self._beside(before=page.entries[0].seq) if page.earlier and page.entries else ""

    @property
    def later(self) -> str:
        """Where the entries after these are; "" when there are none."""
        page = self.answer.page
        return self._beside(after=page.entries[-1].seq) if page.later and page.entries else ""

    @property
    def everything(self) -> str:
        """Where all of it is."""
        return f"{self.path}?{self._query({})}"

    def _beside(self, **cursor: int) -> str:
        kept = {key: value for key, value in self.typed.items() if value and key not in ("before", "after")}
        return f"{self.path}?{self._query({**kept, **cursor})}"

    def _query(self, asked: Mapping[str, object]) -> str:
        return urlencode({**({"room": self.room} if self.room else {}), **asked})
