"""What the console's pages need from the application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from bot.app.timeline import Answer
from bot.domain.incident import Incident, Room
from bot.domain.message import Message
from bot.domain.probe import Agent
from bot.domain.text import Lang


class ConsoleBackend(Protocol):
    """Reads and one verb. Every method may raise StoreUnavailable; the console then says so and tries again."""

    async def rooms(self) -> Sequence[Room]:
        """The rooms to list, in the order to list them; the first is shown when no other is asked for."""
        ...

    async def messages(self, room_key: str) -> Sequence[tuple[Message, int, datetime]]:
        """(message, revision from 1, first said at) of a room, oldest first."""
        ...

    async def say(self, *, room: str, user: str, text: str, message_id: str) -> None:
        """Take in what somebody typed; everything visible, the line itself included, comes back as messages.

        The line comes back under the key `message_id`, which the browser has chosen, so that its echo is replaced
        and a second try is no second command. Raises UserError when it cannot be taken in.
        """
        ...

    async def timeline(
        self,
        *,
        room: str | None = None,
        incident: Incident | None = None,
        options: Mapping[str, str] | None = None,
        words: Sequence[str] = (),
        limit: int = 200,
    ) -> Answer:
        """A page of the timeline of a room or an incident, as `/timeline` reads options and words. Raises UserError."""
        ...

    async def incidents(self) -> Sequence[Incident]:
        """Newest first."""
        ...

    def agents(self) -> Sequence[Agent]:
        """Every agent known, lost ones included."""
        ...

    async def set_language(self, room: str, lang: Lang) -> None:
        """Speak this language in the room from now on."""
        ...
