"""`/oncall override`: somebody takes over for a while, and how that is undone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from bot.app.parts import Call
from bot.app.ports import Tx
from bot.app.rota import listed, no_schedule, schedule_named, standing, when
from bot.app.times import read_length, read_moment
from bot.domain.command import unknown
from bot.domain.directory import Directory
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind
from bot.domain.message import Button, Buttons, Header, Paragraph
from bot.domain.page import Person
from bot.domain.schedule import Override, Schedule, shifts
from bot.domain.text import Text, join, same

LONGEST = timedelta(days=90)
KEYS: Mapping[str, str] = {"from": "from", "until": "until", "to": "until", "for": "for"} | {
    "从": "from",
    "到": "until",
    "至": "until",
    "共": "for",
}
ME = ("me", "我")
USAGE = Text(
    "。例如 /oncall override backend chen from 18:00 until fri 09:00，或 for 4h",
    ". For example /oncall override backend chen from 18:00 until fri 09:00, or for 4h",
)


async def override(call: Call, tx: Tx, args: list[str]) -> None:
    """Carry out "cancel", or make one; without words enough for one, list them. Raises UserError."""
    if not call.parts.directory.schedules:
        raise no_schedule(call.parts.directory)
    if args and args[0].lower() == "cancel":
        await _cancel(call, tx, args[1:])
    elif len(args) < 2:
        found = await tx.overrides.ending_after(call.at)
        none = Text("没有替班", "there is no override")
        await call.reply(tx, *(listed(call.parts.directory, found) or (Paragraph(text=none + USAGE),)))
    else:
        await _take_over(call, tx, args)


async def _take_over(call: Call, tx: Tx, args: list[str]) -> None:
    """Make the override, and say whom it replaces and how to undo it."""
    directory = call.parts.directory
    schedule, person, rest = _who(call, directory, args)
    start, until = _span(rest, call.at, schedule)
    overrides = await tx.overrides.ending_after(call.at)
    replaced = list(dict.fromkeys(s.person for s in shifts(schedule, start, until, overrides)))
    made = await tx.overrides.add(
        Override(
            id="",
            schedule=schedule.name,
            person=person.name,
            start=start,
            until=until,
            by=call.command.user,
            made_at=call.at,
        )
    )
    since, end = when(start, schedule), when(until, schedule)
    others = join([same(name) for name in replaced if name != person.name])
    text = Text(
        f"{schedule.name}：{person.name} 从 {since.zh} 到 {end.zh} 值班" + (f"，替 {others.zh}" if others.zh else ""),
        f"{schedule.name}: {person.name} is on call from {since.en} to {end.en}"
        + (f", in place of {others.en}" if others.en else ""),
    )
    await call.record(tx, EntryKind.ONCALL, text, override=made.id, schedule=schedule.name, person=person.name)
    undo = Button(label=Text("撤销", "Undo"), command=f"/oncall override cancel {made.id}")
    silent = () if person.phone else (Paragraph(text=_no_phone(person)),)
    await call.reply(tx, Header(text=text, tone="good", sub=same(made.id)), *silent, Buttons(buttons=(undo,)))


async def _cancel(call: Call, tx: Tx, args: list[str]) -> None:
    current = await tx.overrides.ending_after(call.at)
    ident = args[0] if args else (current[0].id if len(current) == 1 else "-")
    ended = await tx.overrides.cancel(ident, by=call.command.user, at=call.at)
    if ended is None:
        known = [o.id for o in current]
        hint = Text(f"现有：{'、'.join(known) or '无'}", f"there are: {', '.join(known) or 'none'}")
        raise unknown(Text("替班", "override"), ident, known, hint)
    schedule = call.parts.directory.schedules.get(ended.schedule) or Schedule(name=ended.schedule, layers=())
    line = standing(schedule, call.at, await tx.overrides.ending_after(call.at))
    text = Text(f"已取消替班 {ended.id}（{ended.person}）", f"override {ended.id} of {ended.person} is cancelled")
    await call.record(tx, EntryKind.ONCALL, text, override=ended.id, schedule=ended.schedule, person=ended.person)
    await call.reply(tx, Header(text=text, tone="info"), Paragraph(text=line))


def _who(call: Call, directory: Directory, args: list[str]) -> tuple[Schedule, Person, list[str]]:
    """Schedule, person and what is left; the schedule may be left out where there is one."""
    named = {name.lower(): s for name, s in directory.schedules.items()}
    only = next(iter(named.values())) if len(named) == 1 else None
    misspelt = len(args) > 1 and directory.find(args[0]) is None and directory.find(args[1]) is not None
    if only is not None and args[0].lower() not in named and not misspelt:
        schedule, words_ = only, args
    else:
        schedule, words_ = schedule_named(directory, args[0]), args[1:]
    word = call.command.user if words_[0].lower() in ME else words_[0]
    person = directory.find(word)
    if person is None or person.name not in directory.people:
        hint = Text(f"有：{'、'.join(directory.people)}", f"there are: {', '.join(directory.people)}")
        raise unknown(Text("人", "person"), word.lstrip("@"), directory.people, hint)
    return schedule, person, words_[1:]


def _span(rest: list[str], now: datetime, schedule: Schedule) -> tuple[datetime, datetime]:
    """From when until when, within bounds. What is over is not changed: a start in the past is now."""
    said: dict[str, list[str]] = {}
    for word in rest:
        key = KEYS.get(word.lower())
        if key is not None and key not in said:
            said[key] = []
        elif not said:
            raise UserError("bad_time", Text(f"看不懂 “{word}”", f'"{word}" is not understood') + USAGE)
        else:
            said[list(said)[-1]].append(word)
    text = {key: " ".join(words_) for key, words_ in said.items()}
    if ("until" in text) == ("for" in text):
        raise UserError("no_end", Text("要写到什么时候", "until when?") + USAGE)
    begins = read_moment(text["from"], now=now, zone=schedule.timezone) if "from" in text else now
    start = max(begins, now)
    if "for" in text:
        until = begins + read_length(text["for"])
    else:
        until = read_moment(text["until"], now=now, zone=schedule.timezone, after=start)
    if until <= start:
        end = when(until, schedule)
        raise UserError("ends_before", Text(f"{end.zh} 不在开始之后", f"{end.en} is not after its start"))
    if until - start > LONGEST:
        raise UserError(
            "too_long",
            Text("替班最长 90 天；更久就改排班文件", "an override lasts 90 days at most; edit the schedule for more"),
        )
    return start, until


def _no_phone(person: Person) -> Text:
    return Text(
        f"{person.name} 没有登记电话，只能在聊天里呼叫",
        f"{person.name} has no phone number; only the chat reaches them",
    )
