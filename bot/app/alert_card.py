"""The card of an incident's alerts: one in each of its rooms, edited in place however many there are."""

from __future__ import annotations

from collections.abc import Sequence

from bot.app.parts import Parts, say
from bot.app.ports import Tx
from bot.app.rooms import places
from bot.domain.alert import AlertStatus, KeptAlert
from bot.domain.incident import Incident
from bot.domain.message import Block, Bullets, Button, Buttons, Header, Message, Paragraph
from bot.domain.text import Text, same

SHOWN = 8
"""Alerts a card names; the rest are counted."""


async def show_alerts(parts: Parts, tx: Tx, incident: Incident) -> None:
    """Draw it anew in every room of the incident; nothing where no alert belongs to it."""
    kept = await tx.alerts.of(incident.id)
    if kept:
        await _say(parts, tx, incident, card(incident.id, kept))


async def show_moved(parts: Parts, tx: Tx, incident: Incident, to: str) -> None:
    """Its alerts belong to another incident now: the card must not go on saying that they fire here."""
    text = Text(f"这里的告警归 {to}", f"its alerts are part of {to} now")
    await _say(parts, tx, incident, (Header(text=text, tone="info"),))


async def _say(parts: Parts, tx: Tx, incident: Incident, blocks: tuple[Block, ...]) -> None:
    for place in await places(tx, incident):
        message = Message(key=f"alerts-{incident.id}", room=place, blocks=blocks)
        await say(parts, tx, message, incident=incident.id)


def card(incident: str, kept: Sequence[KeptAlert]) -> tuple[Block, ...]:
    """What fires and what is over; the newest first."""
    firing = [k for k in kept if k.alert.status is AlertStatus.FIRING]
    over = len(kept) - len(firing)
    if not firing:
        head = Header(
            text=Text(f"{over} 条告警全部恢复", f"all {over} alerts are over" if over > 1 else "the alert is over"),
            tone="good",
        )
        button = Button(label=Text("解决", "Resolve"), command=f"/incident resolve {incident}", primary=True)
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
