"""`/oncall`: who is on call and until when; `/oncall override`: somebody takes over for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.app import words
from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.app.times import read_length, read_moment
from bot.domain.command import unknown
from bot.domain.directory import Directory
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind
from bot.domain.message import Block, Bullets, Button, Buttons, Header, Paragraph, Table
from bot.domain.page import Person
from bot.domain.schedule import Override, Schedule, shifts, tenure
from bot.domain.text import Text, join, same

LONGEST = timedelta(days=90)
SHOWN = timedelta(days=14)
MOST_SHIFTS = 10
KEYS: Mapping[str, str] = {"from": "from", "until": "until", "to": "until", "for": "for"} | {
    "从": "from",
    "到": "until",
    "至": "until",
    "共": "for",
}
ME = ("me", "我")
DAYS = (
    Text("周一", "Mon"),
    Text("周二", "Tue"),
    Text("周三", "Wed"),
    Text("周四", "Thu"),
    Text("周五", "Fri"),
    Text("周六", "Sat"),
    Text("周日", "Sun"),
)


async def oncall(call: Call, tx: Tx) -> Then | None:
    """Carry out what is named: nothing or "who", a schedule, or "override"."""
    args = list(call.args)
    if args[:1] == ["who"]:
        args.pop(0)
    if args and args[0].lower() in ("override", "overrides"):
        await _override(call, tx, args[1:])
        return None
    directory = call.parts.directory
    named = [_schedule(directory, args[0])] if args else list(directory.schedules.values())
    if not named:
        raise _no_schedule(directory)
    overrides = await tx.overrides.ending_after(call.at)
    lines = tuple(standing(schedule, call.at, overrides) for schedule in named)
    blocks: tuple[Block, ...] = (
        (Header(text=lines[0]), *_following(named[0], call, overrides))
        if len(named) == 1
        else (Header(text=Text("现在值班", "on call now")), Bullets(items=lines))
    )
    mine = [o for o in overrides if o.schedule in {s.name for s in named}]
    await call.reply(tx, *blocks, *_listed(directory, mine))
    return None


def document(schedule: Schedule, at: datetime, overrides: Sequence[Override], *, feed: str = "") -> dict[str, Any]:
    """As JSON: {"schedule", "timezone", "person", "since", "until", "override", "next": {"person", "since"}, "ics"}.

    "person" is null while nobody is on call, "next" when nothing is planned.
    """
    now, follows = tenure(schedule, at, overrides)
    return {
        "schedule": schedule.name,
        "timezone": str(schedule.timezone),
        "person": now.person if now else None,
        "since": now.since.isoformat() if now else None,
        "until": now.until.isoformat() if now else None,
        "override": (now.override or None) if now else None,
        "next": {"person": follows.person, "since": follows.since.isoformat()} if follows else None,
        "ics": feed or None,
    }


def when(at: datetime, schedule: Schedule) -> Text:
    """A moment on the schedule's clock, as "Thu 01-15 18:00 UTC+8"; the zone is named because readers sit elsewhere."""
    local = at.astimezone(schedule.timezone)
    return DAYS[local.weekday()] + same(f" {local:%m-%d %H:%M} {words.zone(local)}")


def standing(schedule: Schedule, at: datetime, overrides: Sequence[Override]) -> Text:
    """Who has it until when, and who comes next."""
    now, follows = tenure(schedule, at, overrides)
    then = when(follows.since, schedule) if follows else None
    if now is None:
        line = Text(f"{schedule.name}：现在没有人值班", f"{schedule.name}: nobody is on call")
        if follows is not None and then is not None:
            line += Text(f"；{follows.person} 从 {then.zh} 开始", f"; {follows.person} from {then.en}")
        return line
    line = Text(f"{schedule.name}：{now.person}", f"{schedule.name}: {now.person}")
    if now.override:
        line += Text(f"（替班 {now.override}）", f" (override {now.override})")
    if follows is None or then is None:
        return line + Text("，没有排交接", ", no hand-over planned")
    until = when(now.until, schedule)
    line += Text(f"，到 {until.zh}", f" until {until.en}")
    if follows.since > now.until:
        return line + Text(
            f"，然后没有人，{then.zh} 起 {follows.person}", f", then nobody, {follows.person} from {then.en}"
        )
    return line + Text(f"，然后 {follows.person}", f", then {follows.person}")


def _following(schedule: Schedule, call: Call, overrides: Sequence[Override]) -> tuple[Block, ...]:
    """The shifts of the next two weeks."""
    found = shifts(schedule, call.at, call.at + SHOWN, overrides)[:MOST_SHIFTS]
    if len(found) < 2:
        return ()
    lang = call.room.lang
    rows = tuple(
        (s.person, when(s.since, schedule).in_(lang), when(s.until, schedule).in_(lang), s.override or s.layer)
        for s in found
    )
    columns = (Text("值班人", "who"), Text("从", "from"), Text("到", "until"), Text("来源", "by"))
    return (Table(columns=columns, rows=rows),)


def _listed(directory: Directory, overrides: Sequence[Override]) -> tuple[Block, ...]:
    if not overrides:
        return ()
    items = tuple(_told(directory.schedules[o.schedule], o) for o in overrides if o.schedule in directory.schedules)
    return (Bullets(items=items, label=Text("替班（/oncall override cancel 编号 取消）", "Overrides (cancel by id)")),)


def _told(schedule: Schedule, one: Override) -> Text:
    start, until = when(one.start, schedule), when(one.until, schedule)
    return Text(
        f"{one.id} {schedule.name}：{one.person}，{start.zh} 到 {until.zh}（{one.by} 安排）",
        f"{one.id} {schedule.name}: {one.person}, {start.en} to {until.en} (by {one.by})",
    )


async def _override(call: Call, tx: Tx, args: list[str]) -> None:
    if not call.parts.directory.schedules:
        raise _no_schedule(call.parts.directory)
    if args and args[0].lower() == "cancel":
        await _cancel(call, tx, args[1:])
    elif len(args) < 2:
        found = await tx.overrides.ending_after(call.at)
        none = Text("没有替班", "there is no override")
        await call.reply(tx, *(_listed(call.parts.directory, found) or (Paragraph(text=none + USAGE),)))
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
        schedule, words_ = _schedule(directory, args[0]), args[1:]
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


def _schedule(directory: Directory, word: str) -> Schedule:
    found = {name.lower(): s for name, s in directory.schedules.items()}.get(word.lower())
    if found is None:
        if not directory.schedules:
            raise _no_schedule(directory)
        hint = Text(f"有：{'、'.join(directory.schedules)}", f"there are: {', '.join(directory.schedules)}")
        raise unknown(Text("排班", "schedule"), word, directory.schedules, hint)
    return found


def _no_schedule(directory: Directory) -> UserError:
    turn = Text(
        f"呼叫顺序：{'、'.join(directory.people)}" if directory.people else "也没有可以呼叫的人",
        f"people are called in turn: {', '.join(directory.people)}" if directory.people else "nor anybody to call",
    )
    how = Text(
        "。写一个排班文件，用 [paths] oncall 指给 warroom", ". Write an on-call file and name it in [paths] oncall"
    )
    return UserError("no_schedule", Text("还没有排班；", "there is no schedule; ") + turn + how)


def _no_phone(person: Person) -> Text:
    return Text(
        f"{person.name} 没有登记电话，只能在聊天里呼叫",
        f"{person.name} has no phone number; only the chat reaches them",
    )


USAGE = Text(
    "。例如 /oncall override backend chen from 18:00 until fri 09:00，或 for 4h",
    ". For example /oncall override backend chen from 18:00 until fri 09:00, or for 4h",
)
