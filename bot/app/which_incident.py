"""The incident a command means: the one that is named, the room's, or the last one the room had."""

from __future__ import annotations

import re

from bot.app.parts import Call
from bot.app.ports import Tx
from bot.app.rooms import open_in
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.incident import Incident
from bot.domain.text import Text

_ID = re.compile(r"inc-\d+", re.IGNORECASE)


def take_id(words: list[str]) -> str:
    """The id that stands first among the words, which it is taken from; "" for none."""
    return words.pop(0).upper() if words and _ID.fullmatch(words[0]) else ""


async def current_incident(call: Call, tx: Tx) -> Incident | None:
    """The room's open incident, read in this transaction."""
    return await open_in(tx, call.room)


async def need_incident(call: Call, tx: Tx, name: str = "") -> Incident:
    """The incident named, else the room's open one. Raises UserError with what to do when there is none."""
    if name:
        return await by_id(tx, name)
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


async def last_incident(call: Call, tx: Tx, name: str = "") -> Incident:
    """The incident named, else the room's open one, else the last one it had. Raises UserError."""
    if name:
        return await by_id(tx, name)
    current = await current_incident(call, tx)
    if current is not None:
        return current
    for known in await tx.incidents.list():
        if call.room.key in known.rooms and (found := await tx.incidents.get(known.id)) is not None:
            return found
    return await need_incident(call, tx)


async def by_id(tx: Tx, name: str) -> Incident:
    """The incident of this id, locked. Raises UserError that names those that are open."""
    found = await tx.incidents.get(name.upper())
    if found is None:
        known = [i.id for i in await tx.incidents.list(only_open=True)]
        hint = Text(f"进行中：{'、'.join(known) or '无'}", f"open: {', '.join(known) or 'none'}")
        raise unknown(Text("故障", "incident"), name or "-", known, hint)
    return found
