"""Postmortems as files: Markdown and HTML by templates that a team may change, PDF by a browser, JSON."""

from bot.adapters.postmortem.pdf import lacking
from bot.adapters.postmortem.scribe import FileScribe

__all__ = ["FileScribe", "lacking"]
