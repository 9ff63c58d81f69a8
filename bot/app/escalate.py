"""`/escalate [INC-n] [WHO|POLICY]`: the next step now, or somebody, or another level."""

from __future__ import annotations

from dataclasses import replace

from bot.app.escalation import begin_escalation, escalate_now, named_policy
from bot.app.incident_moves import called_again
from bot.app.page import page
from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.app.which_incident import by_id, current_incident
from bot.domain.errors import UserError
from bot.domain.text import Text


async def escalate(call: Call, tx: Tx) -> Then | None:
    """Take the next step of the incident's escalation now; with a name, call that person or begin that policy."""
    args = list(call.args)
    wanted = args.pop(0).upper() if args and args[0].upper().startswith("INC-") else ""
    incident = await by_id(tx, wanted) if wanted else await current_incident(call, tx)
    if incident is None or not incident.is_open:
        raise UserError(
            "no_incident",
            Text(
                "这个房间没有进行中的故障；/page 登记一个并呼叫值班",
                "no incident is open in this room; /page opens one and calls whoever is on call",
            ),
        )
    incident = await called_again(call.parts, tx, incident, by=call.command.user)
    call.room = replace(call.room, incident=incident.id)
    policy = named_policy(call.parts, args[0]) if args else None
    if policy is not None:
        await begin_escalation(call.parts, tx, incident, policy=policy.name, actor=call.command.user)
        return None
    if args:
        call.command = replace(call.command, args=tuple(args))
        return await page(call, tx)
    if await escalate_now(call.parts, tx, incident, actor=call.command.user) is None:
        raise UserError(
            "no_policy",
            Text(
                f"级别 {incident.severity} 没有呼叫策略；/page 名字 呼叫一个人",
                f"severity {incident.severity} has no policy; /page NAME calls somebody",
            ),
        )
    return None
