"""`/ack`: somebody has it. One transaction: acknowledged, epoch raised, pages that wait are cancelled."""

from __future__ import annotations

from dataclasses import replace

from bot.app.parts import Call, Parts, Then, record, say
from bot.app.ports import Tx
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind, Incident, IncidentState, Room
from bot.domain.message import Header, Message
from bot.domain.text import Text


async def ack(call: Call, tx: Tx) -> Then | None:
    """Acknowledge the room's incident."""
    incident = await tx.incidents.get(call.room.incident) if call.room.incident else None
    if incident is None or incident.state is not IncidentState.OPEN:
        raise UserError(
            "no_incident",
            Text(
                "这个房间没有进行中的故障可以接手",
                "no incident is open in this room, so there is nothing to acknowledge",
            ),
        )
    if incident.acked_by:
        await call.tell(tx, Text(f"{incident.acked_by} 已经接手了", f"{incident.acked_by} has it already"))
        return None
    await acknowledge(call.parts, tx, incident, by=call.command.user, room=call.room, how=Text("在群里", "in the chat"))
    return None


async def acknowledge(parts: Parts, tx: Tx, incident: Incident, *, by: str, room: Room, how: Text) -> bool:
    """Record who has it and stop what would still ring; False when somebody had it before."""
    if incident.acked_at is not None:
        return False
    now = parts.clock.now()
    await tx.incidents.save(replace(incident, acked_at=now, acked_by=by, epoch=incident.epoch + 1))
    cancelled = await tx.outbox.cancel(incident=incident.id)
    took = (now - incident.opened_at).total_seconds()
    text = Text(f"{by} 接手了 {incident.id}（{how.zh}）", f"{by} has {incident.id} ({how.en})")
    facts = {"time_to_acknowledge_s": round(took, 1), "cancelled": cancelled}
    await record(tx, EntryKind.ACK, text, at=now, actor=by, room=room.key, incident=incident.id, data=facts)
    for place in {incident.room, incident.origin_room}:
        said = Message(key=f"ack-{incident.id}", room=place, blocks=(Header(text=text, tone="good"),))
        await say(parts, tx, said, incident=incident.id)
    return True
