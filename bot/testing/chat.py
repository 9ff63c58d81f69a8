"""A chat platform that remembers what it was told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bot.domain.chat import Made, NewRoom
from bot.domain.errors import SendFailed
from bot.domain.incident import Room
from bot.domain.message import Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Put:
    """One accepted `put`: `edited` is the reference it replaced, `ref` the one it returned."""

    message: Message
    room: Room
    edited: str | None
    ref: str
    thread: str | None = None


class FakeChat:
    """Implements `ChatPlatform`.

    `fail_next` refuses the coming puts one by one; `down` refuses all of them (of the rooms in `down_rooms`
    only, when that is not empty); a cleared `gate` makes puts hang until it is set.
    """

    def __init__(self, platform: str = "fake") -> None:
        self.platform = platform
        self.puts: list[Put] = []
        self.rooms: list[tuple[str, str, tuple[str, ...]]] = []
        self.down: SendFailed | None = None
        self.down_rooms: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.refreshed: list[str] = []
        self.attempts = 0
        self._next: list[SendFailed] = []

    def fail_next(self, *errors: SendFailed) -> None:
        """Refuse the next puts with these errors, in order."""
        self._next.extend(errors)

    async def put(self, message: Message, room: Room, ref: str | None, *, thread: str | None = None) -> str:
        """Record the message under its old or a new reference. Raises SendFailed when told to."""
        self.attempts += 1
        await self.gate.wait()
        if self._next:
            raise self._next.pop(0)
        if self.down and (not self.down_rooms or room.key in self.down_rooms):
            raise self.down
        new = ref or f"{self.platform}-{len(self.puts) + 1}"
        self.puts.append(Put(message=message, room=room, edited=ref, ref=new, thread=thread))
        return new

    async def create_room(self, wanted: NewRoom) -> Made:
        """Record the room; its key is "platform:room-n". Raises SendFailed while `down`."""
        if self.down:
            raise self.down
        key = f"{self.platform}:room-{len(self.rooms) + 1}"
        self.rooms.append((key, wanted.title, wanted.members))
        return Made(key=key)

    def refresh(self, room: str) -> None:
        """Record that the room is to be drawn anew."""
        self.refreshed.append(room)

    def shown(self, room: str) -> list[Message]:
        """What a person in the room sees now: one message for each reference, the latest edit of it."""
        latest = {put.ref: put.message for put in self.puts if put.room.key == room}
        return list(latest.values())
