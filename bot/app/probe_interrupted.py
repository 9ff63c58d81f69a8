"""After a restart: no card may say for ever that agents are being asked."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from bot.app.parts import Parts, record, say
from bot.app.ports import Tx
from bot.app.probe import KEY, LIFE_S
from bot.domain.errors import StoreUnavailable
from bot.domain.incident import EntryKind, Room
from bot.domain.message import Button, Buttons, Header, Message
from bot.domain.text import Text

log = logging.getLogger("warroom.probe")

RECENT = 50
"""Messages of a room that are looked through; a probe that was cut off is among the newest."""


async def close_interrupted(parts: Parts, *, began: datetime) -> None:
    """Say of probes that a stop of the bot cut off that they were.

    `began` is when this bot did. Where others work on the same database, a probe is theirs as long as it may live.
    """
    for wait_s in (0.0,) if parts.alone else (0.0, LIFE_S):
        await parts.clock.sleep(wait_s)
        before = began if parts.alone else parts.clock.now() - timedelta(seconds=LIFE_S)
        try:
            async with parts.store.begin() as tx:
                for platform in parts.chat:
                    for room in await tx.rooms.list(platform):
                        await _look_through(parts, tx, room, before)
        except StoreUnavailable as exc:
            log.warning("interrupted probes were not looked for: %s", exc)
        parts.wake()


async def _look_through(parts: Parts, tx: Tx, room: Room, before: datetime) -> None:
    for message, _, at in await tx.messages.list(room.key, limit=RECENT):
        head = message.blocks[0] if message.blocks else None
        if message.key.startswith(KEY) and at < before and isinstance(head, Header) and head.tone == "busy":
            await _interrupted(parts, tx, room, message, head)


async def _interrupted(parts: Parts, tx: Tx, room: Room, message: Message, head: Header) -> None:
    line = head.sub.en if head.sub else "/probe"
    text = Text(f"{line} 被重启打断；请再来一次", f"{line} was interrupted by a restart; ask again")
    again = Button(label=Text("再测一次", "Ask again"), command=line)
    blocks = (Header(text=text, tone="warn"), Buttons(buttons=(again,)))
    await say(parts, tx, Message(key=message.key, room=room.key, blocks=blocks), incident=room.incident)
    now = parts.clock.now()
    data = {"interrupted": True}
    await record(tx, EntryKind.PROBES, text, at=now, room=room.key, incident=room.incident, data=data)
