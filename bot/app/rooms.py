"""Rooms by key, made when they are new, and whether one is free for an incident."""

from __future__ import annotations

from bot.app.parts import Parts
from bot.app.ports import Tx
from bot.domain.incident import Incident, Room


async def room_of(parts: Parts, tx: Tx, key: str) -> Room:
    """The room, made if it is new."""
    found = await tx.rooms.get(key)
    if found is None:
        found = Room(key=key, title=key.partition(":")[2] or key, lang=parts.lang, lang_chosen=False)
        await tx.rooms.save(found)
    return found


async def open_in(tx: Tx, room: Room) -> Incident | None:
    """The incident this room works on; None where it is free."""
    found = await tx.incidents.get(room.incident) if room.incident else None
    return found if found is not None and found.is_open else None


def summary_key(incident: str) -> str:
    """The key of the message that says how an incident stands."""
    return f"summary-{incident}"


def thread_in(place: str, incident: Incident) -> str:
    """Where the incident is not worked on, what happens is told under its summary, so that others are not disturbed."""
    return summary_key(incident.id) if place != incident.room else ""


async def places(tx: Tx, incident: Incident) -> tuple[str, ...]:
    """Where people are told of it: its own rooms, and those that followed a duplicate of it here."""
    followed = (room.key for room in await tx.rooms.working_on(incident.id) if not room.mirror_of)
    return tuple(dict.fromkeys((*incident.rooms, *followed)))
