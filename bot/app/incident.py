"""`/incident declare|status|resolve`: take something on, see how it stands, end it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from bot.app import words
from bot.app.call_card import show_all
from bot.app.hang_up import stop_calls
from bot.app.parts import Call, Then, say
from bot.app.ports import Tx
from bot.app.watch import end_watch
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.escalating import over
from bot.domain.incident import EntryKind, Incident, IncidentState
from bot.domain.message import Block, Bullets, Button, Buttons, Header, Message, Paragraph
from bot.domain.text import Text

TITLE_LENGTH = 200
"""It is read out on the phone."""
LOOK_BACK = timedelta(hours=6)
"""Runs of the room this far back belong to an incident that is opened in it."""


async def incident(call: Call, tx: Tx) -> Then | None:
    """Carry out the action that is named."""
    word = call.args[0].lower() if call.args else "status"
    action = ACTIONS.get(word)
    if action is None:
        hint = Text("可用：declare、status、resolve", "there are: declare, status, resolve")
        raise unknown(Text("动作", "action"), word, ACTIONS, hint)
    return await action(call, tx)


async def declare(call: Call, tx: Tx) -> Then | None:
    """Open an incident in this room."""
    current = await current_incident(call, tx)
    if current is not None:
        raise UserError(
            "already_open",
            Text(
                f"这个房间已有未结束的故障 {current.id}（{current.title}）；先 /incident resolve",
                f"this room already has {current.id} open ({current.title}); /incident resolve ends it",
            ),
        )
    title = _title(call.command.rest)
    if len(title) > TITLE_LENGTH:
        raise UserError(
            "too_long",
            Text(
                f"标题太长（{len(title)} 字，最多 {TITLE_LENGTH}）；细节用 /note 记",
                f"that title is {len(title)} characters long; at most {TITLE_LENGTH}, and /note takes the rest",
            ),
        )
    opened = await open_here(call, tx, title)
    await call.reply(tx, *summary(call, opened), key=f"summary-{opened.id}-{call.room.key}")
    return None


def _title(rest: str) -> str:
    """What follows the word "declare", without the quotes that some put around it."""
    title = " ".join(rest.split()[1:])
    return title[1:-1] if len(title) > 1 and title[0] in "\"'" and title[0] == title[-1] else title


async def status(call: Call, tx: Tx) -> Then | None:
    """Say how the room's incident stands."""
    current = await need_incident(call, tx)
    await call.reply(tx, *summary(call, current))
    return None


async def resolve(call: Call, tx: Tx) -> Then | None:
    """End the room's incident, stop its calls and its watch, and free its rooms for the next one."""
    current = await need_incident(call, tx)
    ended = replace(current, state=IncidentState.RESOLVED, resolved_at=call.at)
    await tx.incidents.save(ended)
    state = await tx.escalations.get(current.id)
    if state is not None:
        await tx.escalations.save(over(state))
    cancelled, _ = await stop_calls(call.parts, tx, ended)
    lasted = words.duration((call.at - current.opened_at).total_seconds())
    text = Text(f"故障 {current.id} 已解决，历时 {lasted.zh}", f"{current.id} resolved after {lasted.en}")
    await call.record(tx, EntryKind.INCIDENT, text, state="resolved", cancelled=cancelled)
    for key in {current.room, current.origin_room}:
        room = await tx.rooms.get(key)
        if room is not None and room.incident == current.id:
            await tx.rooms.save(replace(room, incident=None))
        await end_watch(call.parts, tx, key)
        said = Message(key=call.parts.new_id("msg"), room=key, blocks=(Header(text=text, tone="good"),))
        await say(call.parts, tx, said, incident=current.id)
    await show_all(call.parts, tx, ended)
    return None


STATE_WORDS: Mapping[IncidentState, Text] = {
    IncidentState.DECLARED: Text("已登记", "declared"),
    IncidentState.INVESTIGATING: Text("处理中", "investigating"),
    IncidentState.MITIGATED: Text("已缓解", "mitigated"),
    IncidentState.RESOLVED: Text("已解决", "resolved"),
    IncidentState.CLOSED: Text("已关闭", "closed"),
}
Action = Callable[[Call, Tx], Awaitable[Then | None]]
ACTIONS: Mapping[str, Action] = {"declare": declare, "status": status, "resolve": resolve}


async def current_incident(call: Call, tx: Tx) -> Incident | None:
    """The room's open incident, read in this transaction."""
    if call.room.incident is None:
        return None
    found = await tx.incidents.get(call.room.incident)
    return found if found is not None and found.is_open else None


async def need_incident(call: Call, tx: Tx) -> Incident:
    """The room's open incident. Raises UserError with what to do when there is none."""
    current = await current_incident(call, tx)
    if current is None:
        raise UserError(
            "no_incident",
            Text(
                "这个房间没有进行中的故障；/incident declare 标题，或 /warroom open",
                "no incident is open in this room; /incident declare TITLE or /warroom open starts one",
            ),
        )
    return current


async def open_here(call: Call, tx: Tx, title: str = "", *, severity: str = "sev2") -> Incident:
    """Open an incident in the call's room; the room's recent runs become part of it."""
    parts = call.parts
    run = await tx.runs.latest(room=call.room.key)
    if not title and run is not None and run.document is not None:
        title = str(run.document.get("title", ""))
    opened = await tx.incidents.open(
        Incident(
            id="",
            title=title or {"zh": "未命名故障", "en": "untitled incident"}[call.room.lang],
            severity=severity,
            state=IncidentState.DECLARED,
            room=call.room.key,
            origin_room=call.room.key,
            opened_at=call.at,
            opened_by=call.command.user,
        )
    )
    call.room = replace(call.room, incident=opened.id)
    await tx.rooms.save(call.room)
    attached = await tx.runs.attach(room=call.room.key, incident=opened.id, since=call.at - LOOK_BACK)
    text = Text(f"登记故障 {opened.id}：{opened.title}", f"declared {opened.id}: {opened.title}")
    await call.record(tx, EntryKind.INCIDENT, text, state="declared", severity=severity, runs=attached)
    parts.wake()
    return opened


def summary(call: Call, current: Incident) -> tuple[Block, ...]:
    """How an incident stands, to be pinned."""
    since = call.parts.local(current.opened_at)
    zone = words.zone(since)
    lasted = words.duration((call.at - current.opened_at).total_seconds())
    acked = (
        Text(f"{current.acked_by} 已接手", f"{current.acked_by} has it")
        if current.acked_by
        else Text("还没有人接手", "nobody has acknowledged yet")
    )
    state = STATE_WORDS[current.state]
    facts = (
        Text(f"级别 {current.severity}，{state.zh}", f"severity {current.severity}, {state.en}"),
        Text(f"始于 {since:%H:%M} {zone}（已 {lasted.zh}）", f"since {since:%H:%M} {zone} ({lasted.en})"),
        Text(f"登记人 {current.opened_by}", f"declared by {current.opened_by}"),
        acked,
    )
    buttons = []
    if current.is_open:
        if not current.acked_by:
            buttons.append(Button(label=Text("我来处理", "I have it"), command="/ack", primary=True))
            buttons.append(Button(label=Text("呼叫值班", "Page on-call"), command="/page"))
        buttons.append(Button(label=Text("时间线", "Timeline"), command="/timeline"))
    blocks: tuple[Block, ...] = (
        Header(
            text=Text(f"{current.id} {current.title}", f"{current.id} {current.title}"),
            tone="bad" if current.is_open else "good",
        ),
        Bullets(items=facts),
    )
    if call.parts.public_url:
        url = f"{call.parts.public_url}/incidents/{current.id}"
        blocks = (*blocks, Paragraph(text=Text(url, url), label=Text("控制台", "Console")))
    return (*blocks, Buttons(buttons=tuple(buttons))) if buttons else blocks
