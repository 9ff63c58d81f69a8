"""`/timeline [INC-n] [WORDS] [kind=] [by=] [since=] [until=] [before=#n|after=#n]`: what happened, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.app import record_filter, words
from bot.app.parts import Call, Parts, Then
from bot.app.ports import Tx
from bot.app.which_incident import by_id, take_id
from bot.domain.errors import UserError
from bot.domain.incident import Entry, EntryKind, Incident
from bot.domain.message import Block, Bullets, Button, Buttons, Header
from bot.domain.record import Correction, Excerpt, Filter, corrected, corrections
from bot.domain.text import Text, same

SHOWN = 40
"""Lines of one page in a chat."""
MOST_SHOWN = 1000
"""Of one page anywhere."""
MOST_CORRECTIONS = 2000


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a timeline: an incident's, else a room's; options and words as they were typed."""

    incident: Incident | None = None
    room: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    words: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A page of it, and the corrections of anything on it."""

    wanted: Filter
    page: Excerpt
    corrections: Mapping[int, Correction]


async def timeline(call: Call, tx: Tx) -> Then | None:
    """Show a page of the incident named, the room's incident, or the room."""
    typed = list(call.args)
    name = take_id(typed) or call.room.incident
    incident = await by_id(tx, name) if name else None
    asked = Asked(
        incident=incident,
        room=None if incident else call.room.key,
        options=call.command.options,
        words=typed,
    )
    answer = await look(call.parts, tx, asked, now=call.at)
    await call.reply(tx, *_card(call, asked, answer))
    return None


async def look(parts: Parts, tx: Tx, asked: Asked, *, now: datetime, limit: int = SHOWN) -> Answer:
    """The page that is asked for. Raises UserError for options that cannot be read, and numbers that are not in it."""
    name, room = asked.incident.id if asked.incident else None, asked.room
    # "23:40" is of the night that is looked at, also when that was last week.
    incident = asked.incident
    over = incident.resolved_at if incident is not None and not incident.is_open else None
    wanted = record_filter.read_filter(asked.options, asked.words, now=over or now, zone=parts.timezone)
    before, after = [
        await the_entry(tx, number, incident=name, room=room) if number else None
        for number in record_filter.cursors(asked.options)
    ]
    page = await tx.timeline.page(wanted, incident=name, room=room, before=before, after=after, limit=limit)
    about = Filter(kinds=frozenset({EntryKind.CORRECTION}))
    told = await tx.timeline.page(about, incident=name, room=room, limit=MOST_CORRECTIONS)
    return Answer(wanted=wanted, page=page, corrections=corrections(told.entries))


async def the_entry(tx: Tx, number: int, *, incident: str | None, room: str | None) -> Entry:
    """The entry of this number. Raises UserError when it is none of this timeline's."""
    found = await tx.timeline.get(number, incident=incident, room=room)
    if found is None:
        whose = incident or room or ""
        raise UserError(
            "unknown_entry",
            Text(
                f"{whose} 的时间线里没有 #{number}；/timeline 列出编号",
                f"there is no #{number} in the timeline of {whose}; /timeline shows the numbers",
            ),
        )
    return found


def _card(call: Call, asked: Asked, answer: Answer) -> Sequence[Block]:
    page, whose = answer.page, asked.incident.id if asked.incident else call.room.title
    title = Text(f"时间线 {whose}", f"timeline of {whose}")
    fits = record_filter.shown(answer.wanted, asked.options)
    if not page.entries:
        nothing = (
            Text("：没有符合的记录", ": nothing fits") if fits.en else Text("：还没有记录", ": nothing recorded yet")
        )
        return (Header(text=title + nothing, sub=fits if fits.en else None), *_ways(asked, answer))
    first, last, total = page.earlier + 1, page.earlier + len(page.entries), page.total
    if len(page.entries) < total:
        title += Text(f"（第 {first}–{last} 条，共 {total} 条）", f" ({first}-{last} of {total})")
    times = Text("时间为 ", "times in ") + same(words.zone(call.parts.local(page.entries[-1].at)))
    sub = fits + Text("；", "; ") + times if fits.en else times
    shown = tuple(lines(call.parts, page.entries, answer.corrections))
    return (Header(text=title, sub=sub), Bullets(items=shown), *_ways(asked, answer))


def _ways(asked: Asked, answer: Answer) -> tuple[Block, ...]:
    """Buttons to where there is more."""
    page = answer.page
    base = f"/timeline {asked.incident.id} " if asked.incident else "/timeline "
    buttons = []
    if page.earlier and page.entries:
        there = record_filter.again(asked.options, asked.words, before=f"#{page.entries[0].seq}")
        buttons.append(Button(label=Text("更早", "Earlier"), command=base + there))
    if page.later and page.entries:
        there = record_filter.again(asked.options, asked.words, after=f"#{page.entries[-1].seq}")
        buttons.append(Button(label=Text("更晚", "Later"), command=base + there))
    if answer.wanted:
        buttons.append(Button(label=Text("全部", "All of it"), command=base.strip()))
    return (Buttons(buttons=tuple(buttons)),) if buttons else ()


def lines(parts: Parts, entries: Sequence[Entry], told: Mapping[int, Correction] | None = None) -> Sequence[Text]:
    """Entries as people read them: number, local time (with the date where it is another day), who, what."""
    last = parts.local(entries[-1].at).date() if entries else None
    out = []
    for entry in entries:
        at = parts.local(entry.at)
        when = f"{at:%H:%M:%S}" if at.date() == last else f"{at:%m-%d %H:%M:%S}"
        by = (told or {}).get(entry.seq)
        text = Text(entry.zh, entry.en) if by is None else mended(parts, entry, by)
        who = f"#{entry.seq} {when} {entry.actor}"
        out.append(Text(f"{who}：{text.zh}", f"{who}: {text.en}"))
    return out


def mended(parts: Parts, entry: Entry, by: Correction) -> Text:
    """What the entry should have said, and what it said."""
    then = corrected(entry, by)
    moved = f"{parts.local(then.at):%H:%M} " if by.at is not None else ""
    return Text(
        f"{moved}{then.zh}（#{by.seq} 更正；原文：{entry.zh}）",
        f"{moved}{then.en} (corrected by #{by.seq}; it said: {entry.en})",
    )
