"""What happens to an incident that was just opened before anybody asks: its playbook runs."""

from __future__ import annotations

from datetime import timedelta

from bot.app import diag
from bot.app.parts import Call, Parts, Then
from bot.app.ports import Tx
from bot.domain.command import Command
from bot.domain.incident import Incident
from bot.domain.message import Header
from bot.domain.text import Text

FRESH = timedelta(minutes=5)
"""A run so young says what a new one would say."""


async def first_look(parts: Parts, tx: Tx, incident: Incident, *, by: str = "warroom") -> Then | None:
    """Begin the run of the incident's playbook in its room; carry the result out after the commit.

    None where it has no playbook, it was just run, or no agent is there to look (which is said in the room).
    """
    playbook = parts.playbooks.get(incident.playbook)
    room = await tx.rooms.get(incident.room)
    if playbook is None or room is None:
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
