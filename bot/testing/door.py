"""A door with one token."""

from __future__ import annotations

from collections.abc import Callable

from bot.domain.errors import NotAdmitted
from bot.wire.frames import Hello


class TokenDoor:
    """Implements `Doorkeeper` without a database: the token opens, and so does a key that came with it before."""

    def __init__(self, token: str) -> None:
        self._token = token
        self.keys: dict[str, str] = {}
        """The key each name is known by."""

    async def admit(self, hello: Hello, proven: Callable[[str], bool]) -> str:
        """See `bot.app.ports.Doorkeeper.admit`."""
        name = hello.agent.name.strip()
        shown = proven(self._token)
        if not shown and self.keys.get(name) != hello.public_key:
            raise NotAdmitted("wrong token; check that WARROOM_AGENT_TOKEN is the one the bot runs with")
        self.keys[name] = hello.public_key
        return self._token if shown else ""
