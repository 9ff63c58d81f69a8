"""While a chat platform is away, what is said about incidents there goes to another one, and says so.

Nothing is taken from the platform that is away: its rooms get everything, in order, when it is back.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace

from bot.app.mirror import PLATFORMS
from bot.app.outgoing import read_message
from bot.app.parts import Parts, record, say
from bot.app.ports import Direct, OutboxRow, Tx
from bot.app.rooms import room_of
from bot.domain.errors import StoreUnavailable
from bot.domain.incident import EntryKind, Incident
from bot.domain.message import Buttons, Header, Message, Progress, to_json
from bot.domain.text import Text

log = logging.getLogger("warroom")

TRIES = 3
"""After so many a platform is away: about 3 s of a refusal, 15 s of a hang."""


class Failover:
    """`wake` looks whether some room is held up; any number of bots may do so."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def wake(self) -> None:
        """Look, unless an earlier look is under way."""
        if len(self._parts.chat) > 1:
            self._parts.jobs.once("failover", self.round)

    async def round(self) -> None:
        """Say elsewhere what waits."""
        try:
            async with self._parts.store.begin() as tx:
                rows = await tx.outbox.held_up(tries=TRIES)
        except StoreUnavailable:
            return
        diverted = False
        for row in rows:
            if row.incident:
                diverted |= await self._divert(row, row.incident)
        if diverted:
            self._parts.wake()

    async def _divert(self, row: OutboxRow, incident_id: str) -> bool:
        parts = self._parts
        try:
            message = read_message(row.payload)
        except (KeyError, TypeError, ValueError):
            return False
        if any(isinstance(block, Progress) for block in message.blocks):
            return False
        async with parts.store.begin() as tx:
            incident = await tx.incidents.get(incident_id)
            if incident is None or not await self._news(tx, row, message):
                return False
            platform = message.room.partition(":")[0]
            places = await self._places(tx, incident, message.room)
            if not places:
                return False
            if message.room in incident.rooms and await tx.inbox.first(
                f"diverted:{message.room}:{incident.id}", at=parts.clock.now()
            ):
                await self._say_so(tx, incident, platform, places)
            for place in places:
                copy = replace(message, key=f"instead-{message.key}", room=place, answers="", thread="", mention=())
                await say(parts, tx, copy, incident=incident.id)
        return True

    async def _news(self, tx: Tx, row: OutboxRow, message: Message) -> bool:
        """Whether this very text was not said elsewhere yet, by whichever bot."""
        return await tx.inbox.first(f"divert:{row.key}:{_digest(message)}", at=self._parts.clock.now())

    async def _places(self, tx: Tx, incident: Incident, away: str) -> Sequence[str]:
        """Where to say it: nowhere if a mirror shows it; else the room that was configured, else people alone."""
        platform = away.partition(":")[0]
        mirrors = [key for key in await tx.rooms.mirrors(away) if not key.startswith(f"{platform}:")]
        if mirrors:
            return ()
        fallback = self._parts.fallback_room
        if fallback and not fallback.startswith(f"{platform}:"):
            await room_of(self._parts, tx, fallback)
            return (fallback,)
        return await self._alone(tx, incident, platform)

    async def _alone(self, tx: Tx, incident: Incident, away: str) -> Sequence[str]:
        """The rooms of those who have to do with the incident, on the platforms that are left."""
        calls = await tx.calls.list(incident.id)
        names = [name for holders in incident.roles.values() for name in holders]
        names += [incident.acked_by or "", incident.opened_by, *(call.person for call in calls)]
        people = [self._parts.directory.find(name) for name in dict.fromkeys(filter(None, names))]
        others = [p for name, p in self._parts.chat.items() if name != away and isinstance(p, Direct)]
        rooms = [platform.direct_room(person) for platform in others for person in people if person]
        for key in (found := list(dict.fromkeys(key for key in rooms if key))):
            await room_of(self._parts, tx, key)
        return found

    async def _say_so(self, tx: Tx, incident: Incident, platform: str, places: Sequence[str]) -> None:
        parts = self._parts
        where = PLATFORMS.get(platform, Text(platform, platform))
        text = Text(
            f"{where.zh}现在发不出去：{incident.id} 的消息先发到这里，恢复后会按顺序补发",
            f"{where.en} is not reachable: what is said about {incident.id} comes here, and there too once it is back",
        )
        log.warning("%s", text.en)
        at = parts.clock.now()
        data = {"away": platform, "instead": list(places)}
        await record(tx, EntryKind.NOTICE, text, at=at, room=incident.room, incident=incident.id, data=data)
        for place in places:
            said = Message(key=f"away-{platform}-{incident.id}", room=place, blocks=(Header(text=text, tone="warn"),))
            await say(parts, tx, said, incident=incident.id)


def _digest(message: Message) -> str:
    """Tells one edit from another; which buttons it offers makes none."""
    blocks = [block for block in message.blocks if not isinstance(block, Buttons)]
    return hashlib.sha256(json.dumps(to_json(blocks), sort_keys=True).encode()).hexdigest()[:16]
