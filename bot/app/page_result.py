"""What the record of a page brings with it: the call's state, its card, a hang-up, or the next step at once."""

from __future__ import annotations

from dataclasses import replace

from bot.app.call_card import BY_HAND, show_call
from bot.app.escalation import advance
from bot.app.hang_up import hang_up
from bot.app.outgoing import Delayed, Refused, Result, Sent, outdated
from bot.app.parts import Parts, record
from bot.app.ports import OutboxRow, Tx
from bot.domain.escalating import passed_over
from bot.domain.escalation import Phase
from bot.domain.incident import EntryKind, Incident
from bot.domain.page import CALL_ALIVE, CallMade, CallState
from bot.domain.text import Text


async def page_recorded(parts: Parts, tx: Tx, row: OutboxRow, result: Result, incident: Incident | None) -> None:
    """In the transaction that records what became of a page, with its incident locked."""
    call = await tx.calls.get(row.key)
    if incident is None or call is None:
        return
    now = await tx.now()
    if isinstance(result, Sent):
        # A phone may have rung before we could write down that it was called.
        waiting = call.state in (CallState.QUEUED, CallState.CANCELLED)
        state = CallState.SENT if waiting else call.state
        call = replace(call, state=state, pager=result.pager, ref=result.ref, sent_at=now)
    elif not isinstance(result, Delayed):
        call = replace(call, state=CallState.REFUSED if isinstance(result, Refused) else CallState.CANCELLED)
    await tx.calls.save(call)
    if isinstance(result, Sent) and outdated(row, incident):
        await hang_up(parts, tx, call, at=now)
    if isinstance(result, (Refused, Delayed)) and await _passed_over(parts, tx, incident, call, result.reason):
        return
    await show_call(parts, tx, incident, call)


async def _passed_over(parts: Parts, tx: Tx, incident: Incident, call: CallMade, reason: str) -> bool:
    """Nobody takes the call: when nothing else of its step is alive, the next step is due now, visibly."""
    state = await tx.escalations.get(incident.id)
    if state is None or call.step == BY_HAND or state.step != call.step or state.phase is not Phase.PAGING:
        return False
    others = [c for c in await tx.calls.list(incident.id, step=call.step) if c.key != call.key]
    if any(other.state in CALL_ALIVE for other in others):
        return False
    then = passed_over(state, await tx.now())
    if then is state:
        return False
    words = Text(
        f"第 {call.step} 步打不出去（{call.person}：{reason}）：立即到下一步",
        f"step {call.step} reaches nobody ({call.person}: {reason}): the next step is taken now",
    )
    data = {"passed_over": call.step, "key": call.key, "error": reason}
    await record(
        tx,
        EntryKind.ESCALATION,
        words,
        at=parts.clock.now(),
        room=incident.room,
        incident=incident.id,
        data=data,
    )
    await show_call(parts, tx, incident, call)
    await advance(parts, tx, incident, then)
    return True
