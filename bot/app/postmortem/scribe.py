"""The port that turns a report into a file, and the forms there are."""

from __future__ import annotations

from typing import Protocol

from bot.app.postmortem.model import Report
from bot.domain.message import File
from bot.domain.text import Lang

FORMS: tuple[str, ...] = ("md", "html", "pdf", "json")
RECORD = "jsonl"
"""Not a report: the record behind it, one JSON document for each entry."""


class Scribe(Protocol):
    """Writes reports."""

    async def write(self, report: Report, *, form: str, lang: Lang) -> File:
        """The report as a file in one of `FORMS`. The same report gives the same bytes (but for pdf).

        Raises UserError: a template of the team's has a mistake, or what the form needs is not installed.
        """
        ...
