"""Writes a report in the form that is asked for."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

from bot.adapters.postmortem.drawing import Templates
from bot.adapters.postmortem.pdf import print_pdf
from bot.app.postmortem.model import Report
from bot.app.postmortem.scribe import FORMS
from bot.domain.command import unknown
from bot.domain.message import File
from bot.domain.text import Lang, Text

MEDIA = {"md": "text/markdown", "html": "text/html", "json": "application/json", "pdf": "application/pdf"}


class FileScribe:
    """Implements `Scribe`. `folder` holds the team's own templates, each in place of the one of that name.

    Raises ConfigError for a folder that is not there, and for a template that cannot be read.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._templates = Templates(folder)

    async def write(self, report: Report, *, form: str, lang: Lang) -> File:
        """The report as a file; what takes time runs beside the event loop."""
        if form not in FORMS:
            raise unknown(
                Text("格式", "format"), form, FORMS, Text(f"可用：{'、'.join(FORMS)}", f"there are: {', '.join(FORMS)}")
            )
        text = await asyncio.to_thread(self._text, report, "html" if form == "pdf" else form, lang)
        name = f"{report.incident}-postmortem.{form}"
        title = Text(f"{report.incident} 复盘", f"postmortem of {report.incident}")
        if form == "pdf":
            content = base64.b64encode(await print_pdf(text)).decode()
            return File(name=name, title=title, content=content, media_type=MEDIA[form], encoded=True)
        return File(name=name, title=title, content=text, media_type=MEDIA[form])

    def _text(self, report: Report, form: str, lang: Lang) -> str:
        if form == "json":
            return json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n"
        return self._templates.render(f"postmortem.{form}", report, lang)
