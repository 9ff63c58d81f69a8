"""One agent's connection, whatever carries it."""

from __future__ import annotations

from typing import Protocol

GOING_AWAY, POLICY_CLOSED, BUSY = 1001, 1008, 1013
"""WebSocket close codes (RFC 6455 7.4.1, IANA): the hub leaves, the agent is refused, try again later."""


class LinkBroken(Exception):
    """The connection is gone; the message says how."""


class Link(Protocol):
    """Carries texts both ways, in order. What they say is nobody's business here."""

    @property
    def where(self) -> str:
        """Where the other side is, for the log."""
        ...

    @property
    def beat_s(self) -> float:
        """How often the agent must hear from us; 0 where the link notices by itself when a side is gone."""
        ...

    async def send(self, text: str) -> None:
        """Pass a text on. Raises LinkBroken."""
        ...

    async def receive(self) -> str:
        """The next text. Raises LinkBroken at the end, FrameError for what is no text."""
        ...

    async def close(self, code: int) -> None:
        """End the connection; the other side learns the code. Never raises."""
        ...
