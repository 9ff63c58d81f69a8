"""`/note TEXT`: put a line on the timeline, at its true time when one is given."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from bot.app import words
from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind
from bot.domain.text import Text

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s+(.+)", re.DOTALL)


async def note(call: Call, tx: Tx) -> Then | None:
    """Record the text; `23:40 COS down too` is recorded at the last 23:40 there was."""
    text = call.command.rest
    if not text:
        raise UserError(
            "empty_note",
            Text("要记什么？例如 /note 23:40 COS 也不可用", "note what? for example /note 23:40 COS is down too"),
        )
    at, text = _when(text, call.parts.local(call.at))
    await call.record(tx, EntryKind.NOTE, Text(text, text), at=at)
    shown = call.parts.local(at)
    when = f"{shown:%H:%M} {words.zone(shown)}"
    await call.tell(tx, Text(f"已记录（{when}）：{text}", f"noted ({when}): {text}"))
    return None


def _when(text: str, now: datetime) -> tuple[datetime, str]:
    match = _CLOCK.fullmatch(text)
    if not match:
        return now, text
    at = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    return (at - timedelta(days=1) if at > now else at), match[3]
