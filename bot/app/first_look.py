"""What happens to an incident that was just opened unasked: its playbook runs, its room is made, its like is named."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bot.app import diag
from bot.app.create_room import first_called
from bot.app.opening_rooms import open_rooms
from bot.app.parts import Call, Parts, Then
from bot.app.ports import Tx
from bot.app.similar import recollect
from bot.domain.command import Command
from bot.domain.incident import Incident, Room
from bot.domain.message import Header
from bot.domain.text import Text

FRESH = timedelta(minutes=5)
"""A run so young says what a new one would say."""


async def first_look(
    parts: Parts, tx: Tx, incident: Incident, *, by: str = "warroom", invite: Sequence[str] = ()
) -> Then | None:
    """Begin the run of the incident's playbook, make its war room if the severity wants one, say what it is like.

    Carry the result out after the commit; None where there is nothing to do. Whoever is called first and `invite` come
    into the room.
    """
    room = await tx.rooms.get(incident.room)
    if room is None:
        return None
    run = await _run(parts, tx, incident, room, by=by)
    wants_room = parts.directory.severity(incident.severity).room and incident.room == incident.origin_room
    members = list(dict.fromkeys([*invite, *await first_called(parts, tx, incident)])) if wants_room else []

    async def then() -> None:
        # The run first: a platform may take seconds to make a room.
        if run is not None:
            await run()
        if wants_room:
            await open_rooms(parts, incident, room, by=by, members=members)
        parts.jobs.start(recollect(parts, incident.id), key=f"similar-{incident.id}")

    return then


async def _run(parts: Parts, tx: Tx, incident: Incident, room: Room, *, by: str) -> Then | None:
    """Begin the run; None without a playbook, right after such a run, or without agents, which is said."""
    playbook = parts.playbooks.get(incident.playbook)
    if playbook is None:
        return None
    at = parts.clock.now()
    run = await tx.runs.latest(room=room.key, playbook=playbook.name)
    if run is not None and run.incident == incident.id and run.started_at > at - FRESH:
        return None
    command = Command(verb="diag", args=(playbook.name,), raw=f"diag {playbook.name}", user=by, room=room.key)
    call = Call(parts=parts, command=command, room=room, at=at)
    known = parts.agents.agents()
    there = [a for a in known if not incident.environments or a.env in incident.environments]
    agents = there if any(a.state == "ready" for a in there) else known
    if not any(a.state == "ready" for a in agents):
        text = Text(
            f"没有在线的观测点，{playbook.name} 没有自动诊断；/agents 看原因",
            f"no agent is connected, so {playbook.name} was not diagnosed by itself; /agents shows why",
        )
        await call.reply(tx, Header(text=text, tone="warn"))
        return None
    return await diag.start(call, tx, playbook, agents)
