"""The card of an incident's alerts: one in each of its rooms, edited in place however many there are."""

from __future__ import annotations

from collections.abc import Sequence

from bot.app.parts import Parts, say
from bot.app.ports import Tx
from bot.domain.alert import AlertStatus, KeptAlert
from bot.domain.incident import Incident
from bot.domain.message import Block, Bullets, Button, Buttons, Header, Message, Paragraph
from bot.domain.text import Text, same

SHOWN = 8
"""Alerts a card names; the rest are counted."""


async def show_alerts(parts: Parts, tx: Tx, incident: Incident) -> None:
    """Draw the card as it stands; nothing for an incident without alerts."""
    kept = await tx.alerts.of(incident.id)
    for room in incident.rooms if kept else ():
        message = Message(key=f"alerts-{incident.id}", room=room, blocks=card(kept))
        await say(parts, tx, message, incident=incident.id)


def card(kept: Sequence[KeptAlert]) -> tuple[Block, ...]:
    """What fires and what is over; the newest first."""
    firing = [k for k in kept if k.alert.status is AlertStatus.FIRING]
    over = len(kept) - len(firing)
    if not firing:
        head = Header(
            text=Text(f"{over} 条告警全部恢复", f"all {over} alerts are over" if over > 1 else "the alert is over"),
            tone="good",
        )
        button = Button(label=Text("解决", "Resolve"), command="/incident resolve", primary=True)
        return (head, Paragraph(text=Text("故障还没有结束", "the incident is still open")), Buttons(buttons=(button,)))
    text = Text(f"{len(firing)} 条告警在触发", f"{len(firing)} alert{'s' * (len(firing) > 1)} firing")
    text += Text(f"，{over} 条已恢复", f", {over} over") if over else Text("", "")
    graded = sorted(firing, key=lambda k: k.alert.severity)
    items = [
        same(f"{k.alert.severity} {k.alert.title}{f' {k.alert.url}' if k.alert.url else ''}") for k in graded[:SHOWN]
    ]
    if len(firing) > SHOWN:
        items.append(Text(f"另有 {len(firing) - SHOWN} 条", f"{len(firing) - SHOWN} more"))
    return (Header(text=text, tone="bad"), Bullets(items=tuple(items)))
