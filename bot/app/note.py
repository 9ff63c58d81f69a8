"""`/note TEXT`: put a line on the timeline, at its true time when one is given; `/note correct #17 TEXT` mends one."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from bot.app import words
from bot.app.memory import remember
from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.app.postmortem import knowing
from bot.app.timeline import the_entry
from bot.app.which_incident import by_id
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind
from bot.domain.record import CORRECTABLE
from bot.domain.text import Text

_CLOCK = re.compile(r"([01]?\d|2[0-3])[:：]([0-5]\d)\s+(.+)", re.DOTALL)
_CORRECT = re.compile(r"(?:correct|更正)\s*[#＃]\s*(\d{1,15})(?!\d)\s*(.*)", re.DOTALL | re.IGNORECASE)
"""Only with "#": "correct 17 rows" is prose."""
_TAGS = "|".join(re.escape(tag) for tag in (*knowing.CAUSE, *knowing.FIX, *knowing.WELL, *knowing.HURT))
_NAMED = re.compile(
    rf"(INC-\d+)[\s:：]+((?:{_TAGS}|{_CORRECT.pattern}|(?:[01]?\d|2[0-3])[:：][0-5]\d\s).*)", re.DOTALL | re.IGNORECASE
)
_TELLS = re.compile("|".join(re.escape(tag) for tag in (*knowing.CAUSE, *knowing.FIX)) + "|[#＃]", re.IGNORECASE)
"""What changes what is remembered of an incident: its cause, what helped, and any correction."""


async def note(call: Call, tx: Tx) -> Then | None:
    """Record the text; `23:40 COS down too` is recorded at the last 23:40 there was."""
    text = call.command.rest
    if not text or text.lower() in ("correct", "更正"):
        raise UserError(
            "empty_note",
            Text(
                "要记什么？例如 /note 23:40 COS 也不可用；更正 17 号记录：/note correct #17 正确的内容",
                "note what? for example /note 23:40 COS is down too; /note correct #17 TEXT mends entry 17",
            ),
        )
    incident, text = await _of(call, tx, text)
    match = _CORRECT.fullmatch(text)
    if match:
        await _correct(call, tx, incident, int(match[1]), match[2].strip())
    else:
        await _keep(call, tx, incident, text)
    if incident is not None and _TELLS.search(text) and (found := await tx.incidents.get(incident)) is not None:
        await remember(call.parts, tx, found)
    return None


async def _of(call: Call, tx: Tx, text: str) -> tuple[str | None, str]:
    """The incident it is about, and the text: the one before a tag, a time or a correction, else the room's.

    Anywhere else "INC-7" is a word of the note. A room is free again once its incident is resolved, and the best notes
    come then.
    """
    named = _NAMED.fullmatch(text)
    if named is None:
        return call.room.incident, text
    return (await by_id(tx, named[1])).id, named[2]


async def _keep(call: Call, tx: Tx, incident: str | None, text: str) -> None:
    at, text = _when(text, call.parts.local(call.at))
    entry = await call.record(tx, EntryKind.NOTE, Text(text, text), at=at, incident=incident)
    when = _clock(call, at)
    of = f" {incident}" if incident != call.room.incident else ""
    said = Text(f"已记录{of}（{when}）：{text}（#{entry.seq}）", f"noted{of} ({when}): {text} (#{entry.seq})")
    await call.tell(tx, said)


async def _correct(call: Call, tx: Tx, incident: str | None, number: int, text: str) -> None:
    """A correction is an entry of its own: what it corrects stays as it was recorded, and is shown corrected."""
    wrong = await the_entry(tx, number, incident=incident, room=None if incident else call.room.key)
    if wrong.kind is EntryKind.CORRECTION:
        # What people want to mend is what the correction was about.
        corrects = int(wrong.data.get("corrects", wrong.seq))
        wrong = await the_entry(tx, corrects, incident=incident, room=None if incident else call.room.key)
    if wrong.kind not in CORRECTABLE:
        raise UserError(
            "not_correctable",
            Text(
                f"#{number} 不是人写的，不能更正；用 /note 补充说明",
                f"#{number} was not written by a person and stays as it is; add what is to be said with /note",
            ),
        )
    if not text:
        raise UserError(
            "empty_note",
            Text(
                f"应该是什么？/note correct #{number} 正确的内容", f"what should it say? /note correct #{number} TEXT"
            ),
        )
    at, text = _nearest(call, wrong.at, text)
    then = at.isoformat() if at else None
    moved = f"{_clock(call, at)} " if at else ""
    said = Text(f"更正 #{wrong.seq}：{moved}{text}", f"corrects #{wrong.seq}: {moved}{text}")
    entry = await call.record(
        tx, EntryKind.CORRECTION, said, incident=incident, corrects=wrong.seq, says=text, happened_at=then
    )
    await call.tell(
        tx,
        Text(
            f"#{wrong.seq} 已更正（记为 #{entry.seq}，原文保留）：{moved}{text}",
            f"#{wrong.seq} is corrected (as #{entry.seq}; what it said is kept): {moved}{text}",
        ),
    )


def _clock(call: Call, at: datetime) -> str:
    shown = call.parts.local(at)
    return f"{shown:%H:%M} {words.zone(shown)}"


def _nearest(call: Call, was: datetime, text: str) -> tuple[datetime | None, str]:
    """The time of the day a correction begins with, on the day that is closest to what was recorded."""
    match = _CLOCK.fullmatch(text)
    if not match:
        return None, text
    local = call.parts.local(was).replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    days = [local + timedelta(days=n) for n in (-1, 0, 1)]
    return min((day for day in days if day <= call.at), key=lambda day: abs(day - was), default=local), match[3]


def _when(text: str, now: datetime) -> tuple[datetime, str]:
    match = _CLOCK.fullmatch(text)
    if not match:
        return now, text
    at = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    return (at - timedelta(days=1) if at > now else at), match[3]
