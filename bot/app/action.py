"""`/action add|done|list`: what will be done so that it does not happen again, with an owner, a day, and reminders."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from datetime import time as day_time

from bot.app.parts import Call, Parts, Then, record, say
from bot.app.ports import Tx
from bot.app.times import read_moment
from bot.app.which_incident import last_incident, take_id
from bot.domain.action import ActionItem
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind
from bot.domain.message import Block, Bullets, Button, Buttons, Header, Message
from bot.domain.text import Text, same

LENGTH = 500
AT = day_time(10, 0)
"""When reminders are said, on the team's clock: people are at work."""
BEFORE, AGAIN = timedelta(days=1), timedelta(days=1)
"""Before the day it is due, and then daily until it is done."""
_DUE = re.compile(r"(?:due|by|期限|截止)[=:：](\S+)", re.IGNORECASE)
_OWNER = re.compile(r"(?:owner|负责人)[=:：](\S+)", re.IGNORECASE)


async def action(call: Call, tx: Tx) -> Then | None:
    """Carry out what is named."""
    words = call.command.rest.split()
    word = words[0].lower() if words else "list"
    act = ACTS.get(word)
    if act is None:
        names = ("add", "done", "list")
        hint = Text("可用：add、done、list", "there are: add, done, list")
        raise unknown(Text("动作", "action"), word, names, hint)
    await act(call, tx, words[1:])
    return None


async def add(call: Call, tx: Tx, words: list[str]) -> None:
    """`add [INC-n] TEXT [@OWNER] [due=DATE]`: owner and date may stand anywhere."""
    incident = await last_incident(call, tx, take_id(words))
    owner, due, text = "", None, []
    for word in words:
        if match := _DUE.fullmatch(word):
            due = read_day(match[1], call.parts, call.at)
        elif match := _OWNER.fullmatch(word):
            owner = match[1].lstrip("@")
        elif word.startswith("@") and len(word) > 1 and not owner:
            owner = word[1:]
        else:
            text.append(word)
    said = " ".join(text)
    if not said or len(said) > LENGTH:
        raise UserError(
            "bad_action",
            Text(
                f"写一句要做的事（最多 {LENGTH} 字）：/action add 压测迁走 @负责人 due=12-01",
                f"one sentence of what is to be done ({LENGTH} characters at most): /action add TEXT @OWNER due=12-01",
            ),
        )
    owner = _known(call.parts, owner, call.command.user)
    made = ActionItem(incident=incident.id, text=said, owner=owner, due=due, made_by=call.command.user, made_at=call.at)
    made = await tx.actions.add(replace(made, remind_at=remind_at(call.parts, due, call.at)))
    line = _line(call.parts, made, call.at)
    told = Text(f"改进项 {made.id}：{line.zh}", f"action item {made.id}: {line.en}")
    await call.record(tx, EntryKind.NOTE, told, incident=incident.id, action=made.id)
    missing = [
        name for name, value in ((Text("负责人", "an owner"), owner), (Text("期限", "a date"), due)) if not value
    ]
    if missing:
        lack = Text("、".join(m.zh for m in missing), " and ".join(m.en for m in missing))
        told += Text(f"（还缺{lack.zh}）", f" (it lacks {lack.en})")
    await call.reply(tx, Header(text=told, tone="good" if not missing else "warn"), _done_button(made))


async def done(call: Call, tx: Tx, words: list[str]) -> None:
    """`done act-n`: nothing is left to do about it."""
    found = await tx.actions.get(words[0]) if words else None
    if found is None:
        left = await tx.actions.list(only_open=True)
        known = ", ".join(a.id for a in left[:20]) or "-"
        raise UserError(
            "unknown_action",
            Text(
                f"没有这个改进项；未完成的：{known}（/action list 看全部）",
                f"there is no such action item; open ones: {known} (/action list shows them)",
            ),
        )
    if found.done:
        raise UserError("already_done", Text(f"{found.id} 已经完成", f"{found.id} is done already"))
    then = replace(found, done_at=call.at, done_by=call.command.user, remind_at=None)
    await tx.actions.save(then)
    text = Text(f"改进项 {then.id} 完成：{then.text}", f"action item {then.id} is done: {then.text}")
    await call.record(tx, EntryKind.NOTE, text, incident=then.incident, action=then.id, done=True)
    await call.reply(tx, Header(text=text, tone="good"))


async def list_(call: Call, tx: Tx, words: list[str]) -> None:
    """`list [INC-n] [all]`: the incident's, else every open one across incidents; `all` has the ones that are done."""
    name = take_id(words)
    everything = any(word.lower() in ("all", "全部") for word in words)
    incident = (await last_incident(call, tx, name)).id if name else call.room.incident
    found = await tx.actions.list(incident=incident, only_open=not everything)
    if not found and incident is not None and not name:
        incident, found = None, await tx.actions.list(only_open=not everything)
    of = Text(f"{incident} 的", f" of {incident}") if incident else Text("全部故障的", " of all incidents")
    title = Text(f"{of.zh}改进项（{len(found)}）", f"action items{of.en} ({len(found)})")
    if not found:
        none = Text("；/action add 内容 @负责人 due=12-01", "; /action add TEXT @OWNER due=12-01")
        await call.reply(tx, Header(text=title + none))
        return
    blocks: list[Block] = [Header(text=title), Bullets(items=tuple(_listed(call.parts, a, call.at) for a in found))]
    await call.reply(tx, *blocks)


ACTS: Mapping[str, Callable[[Call, Tx, list[str]], Awaitable[None]]] = {
    "add": add,
    "添加": add,
    "done": done,
    "完成": done,
    "list": list_,
    "列表": list_,
}


async def remind(parts: Parts) -> bool:
    """Say one that is due, in its incident's rooms, and when next; False when none is. Several bots say it once."""
    async with parts.store.begin() as tx:
        found = await tx.actions.claim_reminder()
        if found is None:
            return False
        now = await tx.now()
        await tx.actions.save(replace(found, remind_at=now + AGAIN))
        incident = await tx.incidents.look(found.incident)
        line = _line(parts, found, now)
        to = f"@{found.owner} " if found.owner else ""
        text = Text(
            f"{to}改进项 {found.id}（{found.incident}）：{line.zh}", f"{to}{found.id} of {found.incident}: {line.en}"
        )
        room = incident.room if incident is not None else ""
        await record(tx, EntryKind.NOTICE, text, at=now, room=room, incident=found.incident, data={"action": found.id})
        late = found.overdue(parts.local(now).date())
        message = Message(
            key=f"{found.id}-{now:%Y%m%d}",
            room=room,
            blocks=(Header(text=text, tone="warn" if late else "info"), _done_button(found)),
        )
        if room:
            await say(parts, tx, message, incident=found.incident)
    parts.wake()
    return True


def remind_at(parts: Parts, due: date | None, now: datetime) -> datetime | None:
    """The morning before it is due, or the next morning where that has passed; never without a date."""
    if due is None:
        return None
    first = datetime.combine(due, AT, tzinfo=parts.timezone) - BEFORE
    while first <= now:
        first += AGAIN
    return first


def read_day(word: str, parts: Parts, now: datetime) -> date:
    """A day as people type it: "12-01", "2026-12-01", "tomorrow", "fri". Raises UserError."""
    try:
        exact = date.fromisoformat(word)
    except ValueError:
        exact = None
    found = exact or parts.local(read_moment(f"{word} 12:00", now=now, zone=parts.timezone)).date()
    if found < parts.local(now).date():
        raise UserError("bad_time", Text(f"{found} 已经过去；写将来的日期", f"{found} has passed; name a day to come"))
    return found


def _known(parts: Parts, owner: str, user: str) -> str:
    """The person who is meant: "me" is whoever types; names of people.yaml in their own spelling."""
    if owner.lower() in ("me", "我"):
        return user
    return next((name for name in parts.people if name.lower() == owner.lower()), owner)


def _line(parts: Parts, item: ActionItem, now: datetime) -> Text:
    text = same(item.text)
    if item.owner:
        text += Text(f"，负责人 {item.owner}", f", owner {item.owner}")
    if item.due:
        late = item.overdue(parts.local(now).date())
        text += Text(f"，期限 {item.due}", f", due {item.due}") + (
            Text("（已过期）", " (overdue)") if late else same("")
        )
    return text


def _listed(parts: Parts, item: ActionItem, now: datetime) -> Text:
    line = _line(parts, item, now)
    mark = "✓" if item.done else "·"
    return Text(f"{mark} {item.id} {item.incident}：{line.zh}", f"{mark} {item.id} {item.incident}: {line.en}")


def _done_button(item: ActionItem) -> Buttons:
    return Buttons(buttons=(Button(label=Text("完成", "Done"), command=f"/action done {item.id}"),))
