"""`/ack [INC-n]`: somebody has it. One transaction: acknowledged, epoch raised, pages that wait are cancelled."""

from __future__ import annotations

from dataclasses import replace

from bot.app.call_card import show_all
from bot.app.escalation import hold, touched
from bot.app.hang_up import stop_calls
from bot.app.parts import Call, Parts, Then, record, say
from bot.app.ports import Tx
from bot.app.which_incident import by_id, current_incident
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind, Incident, Room
from bot.domain.message import Header, Message
from bot.domain.text import Text


async def ack(call: Call, tx: Tx) -> Then | None:
    """Acknowledge the incident named, or the room's; a second person joins the first."""
    incident = await by_id(tx, call.args[0].upper()) if call.args else await current_incident(call, tx)
    if incident is None or not incident.is_open:
        raise UserError(
            "no_incident",
            Text(
                "这个房间没有进行中的故障可以接手",
                "no incident is open in this room, so there is nothing to acknowledge",
            ),
        )
    had = incident.acked_by
    took = await acknowledge(
        call.parts, tx, incident, by=call.command.user, room=call.room, how=Text("在群里", "in the chat")
    )
    if not took:
        await call.tell(tx, Text(f"{had} 已经接手了；你也加入了", f"{had} has it already; you have joined"))
    return None


async def acknowledge(
    parts: Parts, tx: Tx, incident: Incident, *, by: str, room: Room, how: Text, pressed: str = ""
) -> bool:
    """Record who has it and stop what would still ring; False when somebody had it before, whom `by` joins then.

    `pressed` is the key of the call on which it was done: that one is not hung up.
    """
    if incident.acked_at is not None:
        await _join(parts, tx, incident, by=by, room=room)
        return False
    now = parts.clock.now()
    taken = replace(incident.looked_at(), acked_at=now, acked_by=by, epoch=incident.epoch + 1)
    await tx.incidents.save(taken)
    state = await tx.escalations.get(incident.id)
    if state is not None:
        await tx.escalations.save(hold(parts, taken, state, await tx.now()))
    cancelled, hung_up = await stop_calls(parts, tx, taken, but=pressed)
    took = (now - incident.opened_at).total_seconds()
    text = Text(f"{by} 接手了 {incident.id}（{how.zh}）", f"{by} has {incident.id} ({how.en})")
    facts = {"time_to_acknowledge_s": round(took, 1), "cancelled": cancelled, "hung_up": hung_up, "epoch": taken.epoch}
    await record(tx, EntryKind.ACK, text, at=now, actor=by, room=room.key, incident=incident.id, data=facts)
    for place in {incident.room, incident.origin_room}:
        said = Message(key=f"ack-{incident.id}-{taken.epoch}", room=place, blocks=(Header(text=text, tone="good"),))
        await say(parts, tx, said, incident=incident.id)
    await show_all(parts, tx, taken)
    return True


async def _join(parts: Parts, tx: Tx, incident: Incident, *, by: str, room: Room) -> None:
    """Somebody more is on it: no second acknowledgement, but a sign of life."""
    await touched(tx, parts, incident)
    if by == incident.acked_by or not await tx.inbox.first(
        f"join:{incident.id}:{incident.epoch}:{by}", at=parts.clock.now()
    ):
        return
    text = Text(f"{by} 加入处理 {incident.id}", f"{by} joins in on {incident.id}")
    facts = {"joined": by, "with": incident.acked_by}
    await record(
        tx, EntryKind.INCIDENT, text, at=parts.clock.now(), actor=by, room=room.key, incident=incident.id, data=facts
    )
