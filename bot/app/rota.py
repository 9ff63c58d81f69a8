"""Schedules in words and as JSON, and finding one by its name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.app import words
from bot.domain.command import unknown
from bot.domain.directory import Directory
from bot.domain.errors import UserError
from bot.domain.message import Block, Bullets
from bot.domain.schedule import Override, Schedule, tenure
from bot.domain.text import Text, same

DAYS = (
    Text("周一", "Mon"),
    Text("周二", "Tue"),
    Text("周三", "Wed"),
    Text("周四", "Thu"),
    Text("周五", "Fri"),
    Text("周六", "Sat"),
    Text("周日", "Sun"),
)


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


def listed(directory: Directory, overrides: Sequence[Override]) -> tuple[Block, ...]:
    """Overrides with their ids, as a block; nothing where there are none."""
    if not overrides:
        return ()
    items = tuple(_told(directory.schedules[o.schedule], o) for o in overrides if o.schedule in directory.schedules)
    return (
        Bullets(
            items=items,
            label=Text("替班（/oncall override cancel 编号 取消）", "Overrides (/oncall override cancel ID)"),
        ),
    )


def _told(schedule: Schedule, one: Override) -> Text:
    start, until = when(one.start, schedule), when(one.until, schedule)
    return Text(
        f"{one.id} {schedule.name}：{one.person}，{start.zh} 到 {until.zh}（{one.by} 安排）",
        f"{one.id} {schedule.name}: {one.person}, {start.en} to {until.en} (by {one.by})",
    )


def schedule_named(directory: Directory, word: str) -> Schedule:
    """By name, capitals aside. Raises UserError."""
    found = {name.lower(): s for name, s in directory.schedules.items()}.get(word.lower())
    if found is None:
        if not directory.schedules:
            raise no_schedule(directory)
        hint = Text(f"有：{'、'.join(directory.schedules)}", f"there are: {', '.join(directory.schedules)}")
        raise unknown(Text("排班", "schedule"), word, directory.schedules, hint)
    return found


def no_schedule(directory: Directory) -> UserError:
    """Where no schedule is written: whom a page calls instead, and how to write one."""
    turn = Text(
        f"呼叫顺序：{'、'.join(directory.people)}" if directory.people else "也没有可以呼叫的人",
        f"people are called in turn: {', '.join(directory.people)}" if directory.people else "nor anybody to call",
    )
    how = Text(
        "。写一个排班文件，用 [paths] oncall 指给 warroom", ". Write an on-call file and name it in [paths] oncall"
    )
    return UserError("no_schedule", Text("还没有排班；", "there is no schedule; ") + turn + how)
