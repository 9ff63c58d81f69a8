"""Stop calling: pages that wait are cancelled, phones that ring are hung up where the provider can."""

from __future__ import annotations

from datetime import datetime

from bot.app.parts import Parts
from bot.app.ports import OutboxRow, Tx
from bot.domain.incident import Incident
from bot.domain.page import CallMade


async def stop_calls(parts: Parts, tx: Tx, incident: Incident, *, but: str = "") -> tuple[int, int]:
    """Nobody is called about the incident any more; (pages cancelled, calls to be hung up).

    `but` is the key of a call that goes on. The incident is locked, its epoch raised or itself over.
    """
    cancelled = await tx.outbox.cancel(incident=incident.id)
    hung_up = 0
    for call in await tx.calls.cancel(incident.id):
        if call.key != but:
            hung_up += await hang_up(parts, tx, call, at=await tx.now())
    return cancelled, hung_up


async def hang_up(parts: Parts, tx: Tx, call: CallMade, *, at: datetime) -> bool:
    """Queue the end of a call, where its provider can do that; False where it cannot."""
    if call.pager not in parts.hang_up_by or not call.ref:
        return False
    payload = {"key": call.key, "pager": call.pager, "ref": call.ref}
    row = OutboxRow(key=f"hangup:{call.key}", kind="hangup", payload=payload, due_at=at, incident=call.incident)
    return await tx.outbox.add(row)
