"""`/playbooks`: what can be diagnosed."""

from __future__ import annotations

from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.domain.message import Header, Table
from bot.domain.text import Text


async def playbooks(call: Call, tx: Tx) -> Then | None:
    """Show every playbook with what it probes."""
    rows = tuple(
        (f"/diag {p.name}", p.title.in_(call.room.lang), p.vendor or "-", ", ".join(t.host for t in p.targets.values()))
        for p in call.parts.playbooks.values()
    )
    columns = (Text("命令", "command"), Text("服务", "service"), Text("厂商", "vendor"), Text("目标", "targets"))
    await call.reply(
        tx, Header(text=Text("可以诊断的服务", "what can be diagnosed")), Table(columns=columns, rows=rows)
    )
    return None
