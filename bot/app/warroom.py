"""`/warroom open|bind`: the room where one incident is worked on."""

from __future__ import annotations

from dataclasses import replace

from bot.app.incident import open_here
from bot.app.parts import Call, Then, say
from bot.app.ports import Tx
from bot.app.summary import show_summary
from bot.app.which_incident import current_incident
from bot.domain.command import unknown
from bot.domain.errors import SendFailed, UserError
from bot.domain.incident import EntryKind, Incident, Room
from bot.domain.message import Header, Message, Paragraph
from bot.domain.text import Text

ACTIONS = ("open", "bind")
TITLE_LENGTH = 50


async def warroom(call: Call, tx: Tx) -> Then | None:
    """Open a room of its own for the incident, or make this room the one."""
    word = call.args[0].lower() if call.args else "open"
    if word == "bind":
        await _bind(call, tx)
        return None
    if word != "open":
        raise unknown(Text("动作", "action"), word, ACTIONS, Text("可用：open、bind", "there are: open, bind"))
    incident = await current_incident(call, tx)
    if incident is not None and incident.room != incident.origin_room:
        raise UserError(
            "room_open",
            Text(
                f"{incident.id} 的战情室已经开了：{incident.room}",
                f"the war room of {incident.id} is open: {incident.room}",
            ),
        )
    if incident is None:
        # The one who opens the room is awake; /page calls the others.
        incident = await open_here(call, tx, escalate=False)
    return lambda: _create(call, incident)


async def _create(call: Call, incident: Incident) -> None:
    """Ask the platform for a room (outside any transaction), then move the incident there."""
    parts = call.parts
    title = _fit(f"{incident.id} {incident.title}")
    try:
        key = await parts.chat[call.room.platform].create_room(title, [call.command.user])
    except SendFailed as exc:
        async with parts.store.begin() as tx:
            await call.tell(
                tx,
                Text(
                    f"不能新建房间（{exc}）；这个房间就是 {incident.id} 的战情室",
                    f"no room can be created ({exc}); this room is the war room of {incident.id}",
                ),
            )
        return
    async with parts.store.begin() as tx:
        room = Room(key=key, title=title, lang=call.room.lang, incident=incident.id, lang_chosen=call.room.lang_chosen)
        await tx.rooms.save(room)
        current = await tx.incidents.get(incident.id) or incident
        current = replace(current, room=key)
        await tx.incidents.save(current)
        there = Call(parts=parts, command=call.command, room=room, at=call.at)
        text = Text(f"战情室已建：{title}", f"war room opened: {title}")
        await there.record(tx, EntryKind.INCIDENT, text, room=key)
        await show_summary(parts, tx, current)
        await _bring_verdict(call, there, tx)
        await call.reply(
            tx,
            Header(text=text, tone="info"),
            Paragraph(text=Text(f"在房间 “{title}” 里继续", f'go on in the room "{title}"')),
        )


def _fit(title: str) -> str:
    """A room's title as WeCom takes it (50 characters), cut with an ellipsis."""
    return title if len(title) <= TITLE_LENGTH else f"{title[: TITLE_LENGTH - 1].rstrip()}…"


async def _bring_verdict(call: Call, there: Call, tx: Tx) -> None:
    """Show the latest verdict in the new room as well, so that nobody has to scroll back."""
    run = await tx.runs.latest(room=call.room.key)
    if run is None:
        return
    for message, _, _ in await tx.messages.list(call.room.key):
        if message.key == run.id:
            copy = Message(key=f"{run.id}-war", room=there.room.key, blocks=message.blocks)
            await say(there.parts, tx, copy, incident=there.room.incident)


async def _bind(call: Call, tx: Tx) -> None:
    wanted = call.args[1].upper() if len(call.args) > 1 else ""
    open_ones = await tx.incidents.list(only_open=True)
    if not wanted and len(open_ones) == 1:
        wanted = open_ones[0].id
    incident = await tx.incidents.get(wanted) if wanted else None
    if incident is None or not incident.is_open:
        known = [i.id for i in open_ones]
        hint = Text(f"进行中：{'、'.join(known) or '无'}", f"open: {', '.join(known) or 'none'}")
        raise unknown(Text("进行中的故障", "open incident"), wanted or "-", known, hint)
    call.room = replace(call.room, incident=incident.id)
    await tx.rooms.save(call.room)
    incident = replace(incident, room=call.room.key)
    await tx.incidents.save(incident)
    text = Text(f"这个房间现在是 {incident.id} 的战情室", f"this room is now the war room of {incident.id}")
    await call.record(tx, EntryKind.INCIDENT, text, room=call.room.key)
    await show_summary(call.parts, tx, incident)
