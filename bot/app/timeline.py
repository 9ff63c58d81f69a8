"""`/timeline [INC-n]`: what happened, in order."""

from __future__ import annotations

from collections.abc import Sequence

from bot.app import words
from bot.app.parts import Call, Parts, Then
from bot.app.ports import Tx
from bot.domain.command import unknown
from bot.domain.incident import Entry
from bot.domain.message import Bullets, Header
from bot.domain.text import Text

SHOWN = 40
"""Lines in the chat; the console has them all."""


async def timeline(call: Call, tx: Tx) -> Then | None:
    """Show the last entries of the incident named, the room's incident, or the room."""
    incident = call.args[0].upper() if call.args else call.room.incident
    if incident and await tx.incidents.get(incident) is None:
        known = [i.id for i in await tx.incidents.list()]
        raise unknown(
            Text("故障", "incident"), incident, known, Text("/incident status 看当前故障", "/incident status shows it")
        )
    entries = await tx.timeline.read(incident=incident, room=None if incident else call.room.key, limit=100_000)
    title = Text(f"时间线 {incident or call.room.title}", f"timeline of {incident or call.room.title}")
    if not entries:
        await call.reply(tx, Header(text=title + Text("：还没有记录", ": nothing recorded yet")))
        return None
    shown = entries[-SHOWN:]
    if len(entries) > SHOWN:
        title += Text(f"（最近 {SHOWN} 条，共 {len(entries)} 条）", f" (last {SHOWN} of {len(entries)})")
    zone = words.zone(call.parts.local(shown[-1].at))
    times = Text(f"时间为 {zone}", f"times in {zone}")
    await call.reply(tx, Header(text=title, sub=times), Bullets(items=tuple(lines(call.parts, shown))))
    return None


def lines(parts: Parts, entries: Sequence[Entry]) -> Sequence[Text]:
    """Entries as people read them: local time (with the date where it is another day), who, what."""
    last = parts.local(entries[-1].at).date() if entries else None
    out = []
    for entry in entries:
        at = parts.local(entry.at)
        when = f"{at:%H:%M:%S}" if at.date() == last else f"{at:%m-%d %H:%M:%S}"
        out.append(Text(f"{when} {entry.actor}：{entry.zh}", f"{when} {entry.actor}: {entry.en}"))
    return out
