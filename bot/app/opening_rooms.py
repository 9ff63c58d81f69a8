"""The war room of an incident, on every platform it is wanted on."""

from __future__ import annotations

from collections.abc import Sequence

from bot.app.create_room import create_room
from bot.app.mirror import open_mirrors
from bot.app.parts import Parts
from bot.domain.incident import Incident, Room


async def open_rooms(parts: Parts, incident: Incident, beside: Room, *, by: str, members: Sequence[str]) -> None:
    """Beside the room it was found in, and mirrored where the configuration wants it."""
    await create_room(parts, incident, beside, by=by, members=members)
    if not parts.mirror_on:
        return
    async with parts.store.begin() as tx:
        current = await tx.incidents.look(incident.id)
    if current is not None:
        await open_mirrors(parts, current, by=by, members=members)
