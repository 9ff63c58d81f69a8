"""The console as a chat platform: what is said reaches every browser that has the room open."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Iterator, Mapping

from bot.domain.chat import Made, NewRoom
from bot.domain.errors import SendFailed
from bot.domain.incident import Room
from bot.domain.message import Message

LIMIT = 256
"""Messages that may wait for one connection; one that falls further behind is dropped and reads the room anew."""
SLUG_LENGTH = 40


class Subscription:
    """One connection's inbox. An edit replaces the message still waiting under its key."""

    def __init__(self, room: str) -> None:
        self.room = room
        self.ended = False
        self._waiting: dict[str, Message] = {}
        self._stale = False
        self._news = asyncio.Event()

    def offer(self, message: Message) -> bool:
        """Queue a message; False when too much is waiting already."""
        if message.key not in self._waiting and len(self._waiting) >= LIMIT:
            return False
        self._waiting[message.key] = message
        self._news.set()
        return True

    def spoil(self) -> None:
        """What the browser shows is outdated as a whole (the room's language changed)."""
        self._stale = True
        self._news.set()

    def end(self) -> None:
        """No more will come."""
        self.ended = True
        self._news.set()

    async def wait(self, seconds: float) -> None:
        """Until there is news, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()

    def take(self) -> tuple[Mapping[str, Message], bool]:
        """What waited, by key, and whether the page has to be read anew; empties the inbox."""
        taken = self._waiting, self._stale
        self._waiting, self._stale = {}, False
        return taken


class ConsolePlatform:
    """Implements `bot.app.ports.ChatPlatform`. `close` ends all connections, so that the server can stop."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    async def put(self, message: Message, room: Room, ref: str | None, *, thread: str | None = None) -> str:
        """Show the message in every open browser; its key is its reference. Raises SendFailed after `close`."""
        if self._closed:
            raise SendFailed("the web console is shutting down")
        self.show(message, room.key)
        return message.key

    def show(self, message: Message, room: str) -> None:
        """Show the message in every open browser."""
        for subscription in self._of(room):
            if not subscription.offer(message):
                self._drop(subscription)

    def open_rooms(self) -> set[str]:
        """The rooms that some browser has open."""
        return {subscription.room for subscription in self._subscriptions}

    async def create_room(self, wanted: NewRoom) -> Made:
        """A key for a new room, "console:" and the ASCII words of the title; the application saves the room."""
        words = re.sub(r"[^a-z0-9]+", "-", wanted.title.lower()).strip("-")[:SLUG_LENGTH].strip("-") or "room"
        return Made(key=f"console:{words}-{secrets.token_hex(3)}")

    def refresh(self, room: str) -> None:
        """Make the room's browsers read it anew."""
        for subscription in self._of(room):
            subscription.spoil()

    @contextlib.contextmanager
    def subscribe(self, room: str) -> Iterator[Subscription]:
        """One connection's view of a room."""
        subscription = Subscription(room)
        if self._closed:
            subscription.end()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    @property
    def connections(self) -> int:
        """How many browsers are listening."""
        return len(self._subscriptions)

    def close(self) -> None:
        """End every connection and take no more."""
        self._closed = True
        for subscription in list(self._subscriptions):
            self._drop(subscription)

    def _of(self, room: str) -> list[Subscription]:
        return [s for s in self._subscriptions if s.room == room]

    def _drop(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        subscription.end()
