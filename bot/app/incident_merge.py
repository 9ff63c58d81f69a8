"""`/incident merge INC-n`: this room's incident is the same as INC-n and goes on there."""

from __future__ import annotations

from dataclasses import replace

from bot.app import timers
from bot.app.alert_card import show_alerts, show_moved
from bot.app.call_card import show_all
from bot.app.escalation import begin_escalation, tell
from bot.app.incident_moves import free_rooms, stop_escalation
from bot.app.parts import Call, Then, record
from bot.app.ports import Tx
from bot.app.summary import show_summary
from bot.app.which_incident import by_id, need_incident, take_id
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind, Impact, Incident, IncidentState
from bot.domain.message import Header
from bot.domain.severity import graver, gravest
from bot.domain.text import Text


async def merge(call: Call, tx: Tx, typed: list[str]) -> Then | None:
    """Close the duplicate; who is affected, how badly and where goes to the one that stays, and so do its rooms."""
    name = take_id(typed)
    duplicate = await need_incident(call, tx)
    if not name:
        raise UserError(
            "no_incident_named",
            Text("并入哪一个？例如 /incident merge INC-1", "into which one? for example /incident merge INC-1"),
        )
    into = await by_id(tx, name)
    if into.id == duplicate.id or not into.is_open:
        why = Text("就是它自己", "it is that one") if into.id == duplicate.id else Text("已经结束", "it is over")
        raise UserError(
            "cannot_merge",
            Text(
                f"{duplicate.id} 不能并入 {into.id}：{why.zh}；进行中的故障见 warroom incidents",
                f"{duplicate.id} cannot be merged into {into.id}: {why.en}; `warroom incidents` lists those open",
            ),
        )
    over = timers.stopped(replace(duplicate, state=IncidentState.CLOSED, resolved_at=call.at, merged_into=into.id))
    stays = _united(into, duplicate)
    if stays.severity != into.severity:
        stays = timers.started(call.parts, stays, await tx.now())
    text = Text(f"{over.id}（{over.title}）并入 {stays.id}", f"{over.id} ({over.title}) was merged into {stays.id}")
    await tx.incidents.save(over)
    await tx.incidents.save(stays)
    await stop_escalation(call.parts, tx, over)
    for one in (over, stays):
        await record(
            tx,
            EntryKind.INCIDENT,
            text,
            at=call.at,
            actor=call.command.user,
            room=call.room.key,
            incident=one.id,
            data={"merged": over.id, "into": stays.id},
        )
        await tell(call.parts, tx, one, Header(text=text, tone="info"))
    if await tx.alerts.move(over.id, stays.id):
        await show_moved(call.parts, tx, over, stays.id)
    await show_all(call.parts, tx, over)
    await free_rooms(call.parts, tx, over, to=stays.id)
    await show_summary(call.parts, tx, stays)
    await show_alerts(call.parts, tx, stays)
    policy = call.parts.directory.policy_of(stays.severity)
    if graver(stays.severity, into.severity) and stays.escalates and policy is not None:
        await begin_escalation(call.parts, tx, stays, policy=policy.name, actor=call.command.user)
    call.room = replace(call.room, incident=stays.id)
    return None


def _united(into: Incident, duplicate: Incident) -> Incident:
    one, other = into.impact, duplicate.impact
    return replace(
        into,
        severity=gravest((into.severity, duplicate.severity)),
        environments=tuple(dict.fromkeys((*into.environments, *duplicate.environments))),
        impact=Impact(
            text=one.text or other.text,
            customers=tuple(dict.fromkeys((*one.customers, *other.customers))),
            amount=one.amount or other.amount,
        ),
        playbook=into.playbook or duplicate.playbook,
    )
