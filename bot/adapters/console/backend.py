"""What the console's pages need from the application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from bot.app.figures import Figures
from bot.app.postmortem.evidence import Evidence
from bot.app.timeline import Answer
from bot.domain.incident import EVERYTHING, Incident, Room, Search
from bot.domain.message import Message
from bot.domain.playbook import Playbook
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

    async def incidents(self, *, search: Search = EVERYTHING) -> Sequence[Incident]:
        """Newest first."""
        ...

    async def incident(self, name: str) -> Incident | None:
        """One by its id."""
        ...

    async def evidence(self, incident: Incident) -> Evidence:
        """How it was understood so far, and who was called for it."""
        ...

    async def figures(self, days: int) -> Figures:
        """How the nights of the last so many days went."""
        ...

    async def on_call(self) -> Sequence[Mapping[str, Any]]:
        """Every schedule, as `bot.app.rota.document` has it."""
        ...

    def playbooks(self) -> Sequence[Playbook]:
        """What can be diagnosed, by name."""
        ...

    def agents(self) -> Sequence[Agent]:
        """Every agent known, lost ones included."""
        ...

    async def set_language(self, room: str, lang: Lang) -> None:
        """Speak this language in the room from now on."""
        ...
