"""Where chat platforms bring what people say: who it is, whether they may, and on to the commands."""

from __future__ import annotations

from dataclasses import replace

from bot.app.accounts import Accounts
from bot.app.dispatch import handle
from bot.app.escalation import touched
from bot.app.parts import Parts, record, say
from bot.app.rooms import room_of
from bot.domain.chat import Captured, Inbound
from bot.domain.incident import EntryKind
from bot.domain.message import Message, Paragraph
from bot.domain.text import Text, legible, same

MOST_CAPTURED = 3000
"""Characters of a message that are kept."""


class Door:
    """Implements `ChatDoor`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._accounts = Accounts(parts)

    async def said(self, inbound: Inbound) -> None:
        """Take a line in; returns when it is recorded. Long work goes on afterwards."""
        caller = await self._accounts.caller(inbound.who)
        if inbound.room_title or inbound.lang:
            await self._introduce(inbound)
        await handle(
            self._parts,
            inbound.text,
            user=caller.name,
            room=inbound.room,
            message_id=inbound.message_id,
            level=caller.level,
            beside=True,
        )

    async def _introduce(self, inbound: Inbound) -> None:
        """A room that is new to us gets the title and the language its platform tells."""
        async with self._parts.store.begin() as tx:
            if await tx.rooms.get(inbound.room) is None:
                room = await room_of(self._parts, tx, inbound.room)
                known = replace(room, title=inbound.room_title or room.title, lang=inbound.lang or room.lang)
                await tx.rooms.save(replace(known, lang_chosen=inbound.lang is not None))

    async def captured(self, captured: Captured) -> bool:
        """Keep a message in the timeline of the room's incident, at its own time; False when it was kept before."""
        parts = self._parts
        author, by = [(await self._accounts.caller(who)).name for who in (captured.author, captured.by)]
        text = legible(captured.text)[:MOST_CAPTURED]
        async with parts.store.begin() as tx:
            if not await tx.inbox.first(f"captured:{captured.room}:{captured.message_id}", at=parts.clock.now()):
                return False
            room = await room_of(parts, tx, captured.room)
            data = {"captured_by": by, "message": captured.message_id, "link": captured.link}
            await record(
                tx,
                EntryKind.NOTE,
                same(text),
                at=captured.at,
                actor=author,
                room=room.key,
                incident=room.incident,
                data=data,
            )
            incident = await tx.incidents.get(room.incident) if room.incident else None
            await touched(tx, parts, incident)
            when = f"{parts.local(captured.at):%H:%M}"
            said = Text(f"{by} 记入时间线：{when} {author}", f"{by} put this in the timeline: {when} {author}")
            answer = Message(
                key=f"captured-{captured.message_id}",
                room=room.key,
                blocks=(Paragraph(text=said),),
                answers=captured.message_id,
            )
            await say(parts, tx, answer, incident=room.incident)
        parts.wake()
        return True
