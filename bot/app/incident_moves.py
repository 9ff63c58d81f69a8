"""Moves of an incident through its lifecycle, each with what it starts and stops. The table is in the domain."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from bot.app import incident_words as said
from bot.app import timers, words
from bot.app.call_card import show_all
from bot.app.escalation import begin_escalation, tell
from bot.app.hang_up import stop_calls
from bot.app.memory import remember
from bot.app.parts import Call, Parts, Then, record
from bot.app.ports import Archives, Tx
from bot.app.rooms import places
from bot.app.summary import show_summary
from bot.app.watch import end_watch
from bot.app.which_incident import last_incident, need_incident, take_id
from bot.domain.errors import SendFailed, UserError
from bot.domain.escalating import over
from bot.domain.incident import EntryKind, Incident, IncidentState, Move, moves_of
from bot.domain.message import Block, Header, Paragraph
from bot.domain.text import Text, join, same

log = logging.getLogger("warroom")

ARCHIVE_AFTER_S = 5.0


def moved(incident: Incident, move: Move) -> Incident:
    """The incident after a move. Raises UserError with what can be done instead."""
    if incident.merged_into:
        raise UserError(
            "merged",
            Text(
                f"{incident.id} 已并入 {incident.merged_into}；请在那里操作",
                f"{incident.id} was merged into {incident.merged_into}; go on there",
            ),
        )
    then = incident.after(move)
    if then is not None:
        return then
    state = said.STATES[incident.state]
    typed = join([same(f"/incident {m}") for m in moves_of(incident.state) if m is not Move.INVESTIGATE])
    raise UserError(
        "wrong_state",
        Text(
            f"{incident.id} 现在是“{state.zh}”，不能 {move}；可以 {typed.zh}",
            f"{incident.id} is {state.en}, so it cannot {move}; what it can do: {typed.en}",
        ),
    )


async def investigating(parts: Parts, tx: Tx, incident_id: str | None, *, by: str, room: str) -> None:
    """Somebody looks at the incident: one that was only declared is under investigation from now on."""
    incident = await tx.incidents.get(incident_id) if incident_id else None
    if incident is None or incident.state is not IncidentState.DECLARED:
        return
    then = incident.looked_at()
    await tx.incidents.save(then)
    text = _words(then, Move.INVESTIGATE)
    data = {"state": then.state.value}
    at = parts.clock.now()
    await record(tx, EntryKind.INCIDENT, text, at=at, actor=by, room=room, incident=then.id, data=data)
    await show_summary(parts, tx, then)


async def called_again(parts: Parts, tx: Tx, incident: Incident, *, by: str) -> Incident:
    """People are called about an incident that was mitigated: then it is not, and has to be looked at."""
    if incident.state is not IncidentState.MITIGATED:
        return incident
    then = timers.started(parts, replace(incident, state=IncidentState.INVESTIGATING), await tx.now())
    await tx.incidents.save(then)
    text, data = _words(then, Move.REOPEN), {"state": then.state.value}
    at = parts.clock.now()
    await record(tx, EntryKind.INCIDENT, text, at=at, actor=by, room=then.room, incident=then.id, data=data)
    return then


async def mitigate(call: Call, tx: Tx, typed: list[str]) -> Then | None:
    """It does not hurt any more: calls stop, the watch and the reminders go on."""
    current = await need_incident(call, tx, take_id(typed))
    then = replace(moved(current, Move.MITIGATE), commander_due_at=None)
    await _save(call, tx, then, Move.MITIGATE, None, **await stop_escalation(call.parts, tx, then))
    await tell(call.parts, tx, then, Header(text=_words(then, Move.MITIGATE), tone="good"))
    await show_all(call.parts, tx, then)
    return None


async def resolve(call: Call, tx: Tx, typed: list[str]) -> Then | None:
    """End an incident, stop its calls and its watch, and free its rooms for the next one."""
    current = await need_incident(call, tx, take_id(typed))
    then = timers.stopped(replace(moved(current, Move.RESOLVE), resolved_at=call.at))
    facts = await stop_escalation(call.parts, tx, then)
    lasted = words.duration((call.at - then.opened_at).total_seconds())
    text = Text(f"故障 {then.id} 已解决，历时 {lasted.zh}", f"{then.id} resolved after {lasted.en}")
    await _save(call, tx, then, Move.RESOLVE, text, **facts)
    await tell(call.parts, tx, then, Header(text=text, tone="good"))
    await show_all(call.parts, tx, then)
    await remember(call.parts, tx, then)
    await call.reply(tx, *_ask_for_cause(then))
    # Last: every room that has it reads that it is over.
    await free_rooms(call.parts, tx, then)
    return None


def _ask_for_cause(incident: Incident) -> tuple[Block, ...]:
    """So that the next one of the kind is known."""
    ask = Text(
        f"一句话留给下一次：/note {incident.id} 原因：…，/note {incident.id} 修复：…（复盘和 /similar 会用到）",
        f"one line for the next time: /note {incident.id} cause: ..., /note {incident.id} fix: ... (the postmortem and "
        "/similar tell it)",
    )
    return (Paragraph(text=ask),)


async def reopen(call: Call, tx: Tx, typed: list[str]) -> Then | None:
    """It is not over: its rooms are its own again where they are free, and people are called anew."""
    current = await last_incident(call, tx, take_id(typed))
    then = replace(moved(current, Move.REOPEN), resolved_at=None, acked_at=None, acked_by=None, epoch=current.epoch + 1)
    then = timers.started(call.parts, then, await tx.now())
    await _take_rooms(call, tx, then)
    await _save(call, tx, then, Move.REOPEN)
    await tell(call.parts, tx, then, Header(text=_words(then, Move.REOPEN), tone="bad"))
    await show_all(call.parts, tx, then)
    if call.parts.directory.severity(then.severity).page:
        await begin_escalation(call.parts, tx, then, actor=call.command.user)
    return None


async def close(call: Call, tx: Tx, typed: list[str]) -> Then | None:
    """Nothing is left to do."""
    current = await last_incident(call, tx, take_id(typed))
    then = moved(current, Move.CLOSE)
    await _save(call, tx, then, Move.CLOSE)
    await tell(call.parts, tx, then, Header(text=_words(then, Move.CLOSE), tone="info"))
    await show_summary(call.parts, tx, then)
    await remember(call.parts, tx, then)

    async def after() -> None:
        call.parts.jobs.start(put_away(call.parts, then))

    return after


async def put_away(parts: Parts, incident: Incident) -> None:
    """Archive the war room where its platform can; what fails is logged, and the room stays."""
    async with parts.store.begin() as tx:
        rooms = [incident.room, *await tx.rooms.mirrors(incident.room)] if incident.room != incident.origin_room else []
    for key in rooms:
        platform = parts.chat.get(key.partition(":")[0])
        if platform is None or not isinstance(platform, Archives):
            continue
        # What was said last is in the outbox still.
        await parts.clock.sleep(ARCHIVE_AFTER_S)
        try:
            await platform.archive(key)
        except SendFailed as exc:
            log.warning("%s is not archived: %s", key, exc)


async def stop_escalation(parts: Parts, tx: Tx, incident: Incident) -> dict[str, int]:
    """Nobody is called about it any more; how many pages were cancelled and calls hung up."""
    state = await tx.escalations.get(incident.id)
    if state is not None:
        await tx.escalations.save(over(state))
    cancelled, hung_up = await stop_calls(parts, tx, incident)
    return {"cancelled": cancelled, "hung_up": hung_up}


async def free_rooms(parts: Parts, tx: Tx, incident: Incident, *, to: str | None = None) -> None:
    """Its rooms work on something else from now on: on `to`, or on nothing yet. Their watches end."""
    mirrors = [room.key for room in await tx.rooms.working_on(incident.id) if room.mirror_of]
    for key in (*await places(tx, incident), *mirrors):
        room = await tx.rooms.get(key)
        if room is not None and room.incident == incident.id:
            await tx.rooms.save(replace(room, incident=to))
        if to is None:
            await end_watch(parts, tx, key)


async def _take_rooms(call: Call, tx: Tx, incident: Incident) -> None:
    """Its rooms are its own again. Raises UserError when all of them work on something else by now."""
    taken = []
    for key in incident.rooms:
        room = await tx.rooms.get(key)
        other = await tx.incidents.look(room.incident) if room and room.incident else None
        if room is None or (other is not None and other.is_open and other.id != incident.id):
            continue
        await tx.rooms.save(replace(room, incident=incident.id))
        taken.append(key)
        if key == call.room.key:
            call.room = replace(call.room, incident=incident.id)
    if not taken:
        raise UserError(
            "room_busy",
            Text(
                f"{incident.id} 的房间现在在处理别的故障；先在那里 /incident resolve",
                f"the room of {incident.id} works on another incident by now; /incident resolve that one first",
            ),
        )


async def _save(call: Call, tx: Tx, then: Incident, move: Move, text: Text | None = None, **data: Any) -> None:
    """Write the incident and its line on the timeline."""
    await tx.incidents.save(then)
    facts = {"state": then.state.value, **data}
    await record(
        tx,
        EntryKind.INCIDENT,
        text or _words(then, move),
        at=call.at,
        actor=call.command.user,
        room=call.room.key,
        incident=then.id,
        data=facts,
    )


def _words(incident: Incident, move: Move) -> Text:
    return same(f"{incident.id} ") + said.MOVED[move]
