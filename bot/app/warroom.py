"""`/warroom open|bind`: the room where one incident is worked on."""

from __future__ import annotations

from dataclasses import replace

from bot.app.create_room import first_called
from bot.app.incident import open_here
from bot.app.mirror import bind_mirror, open_mirror
from bot.app.opening_rooms import open_rooms
from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.app.rooms import room_of
from bot.app.summary import show_summary
from bot.app.which_incident import current_incident, need_incident
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind
from bot.domain.text import Text

ACTIONS = ("open", "bind", "mirror")


async def warroom(call: Call, tx: Tx) -> Then | None:
    """Open a room of its own for the incident, make this room the one, or show it on another platform as well."""
    word = call.args[0].lower() if call.args else "open"
    if word == "bind":
        await _bind(call, tx)
        return None
    if word == "mirror":
        return await _mirror(call, tx)
    if word != "open":
        hint = Text(f"可用：{'、'.join(ACTIONS)}", f"there are: {', '.join(ACTIONS)}")
        raise unknown(Text("动作", "action"), word, ACTIONS, hint)
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
    by = call.command.user
    return lambda: open_rooms(call.parts, incident, call.room, by=by, members=[by])


async def _mirror(call: Call, tx: Tx) -> Then:
    """The war room on another platform as well: a new room there, or one that is named by its key."""
    incident = await need_incident(call, tx)
    word, by = (call.args[1] if len(call.args) > 1 else ""), call.command.user
    platform, _, ident = word.partition(":")
    others = [name for name in call.parts.chat if name != call.room.platform]
    if platform not in call.parts.chat or (not ident and platform == call.room.platform):
        raise unknown(
            Text("平台", "platform"),
            word or "-",
            others,
            Text(f"/warroom mirror {' | '.join(others)}", f"/warroom mirror {' | '.join(others)}"),
        )
    members = list(dict.fromkeys([by, *await first_called(call.parts, tx, incident)]))
    if ident:
        main = await room_of(call.parts, tx, incident.room)
        return lambda: bind_mirror(call.parts, incident, main, word, by=by)

    async def make() -> None:
        await open_mirror(call.parts, incident, platform, by=by, members=members)

    return make


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
