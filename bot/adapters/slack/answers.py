"""Answers only the one who typed sees, through the address a delivery came with: also where the bot is not inside."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.adapters.slack.api import Api
from bot.adapters.slack.read import Line
from bot.adapters.slack.recent import Recent
from bot.app.ports import Clock
from bot.domain.errors import SendFailed

log = logging.getLogger(__name__)

USES, LIFE_S = 5, 30 * 60
"""docs.slack.dev: a response_url is good for five answers in 30 minutes."""


@dataclass(slots=True)
class _Address:
    url: str
    until: float
    left: int


class Answers:
    """Remembers the latest response_url of each channel."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._known: Recent[_Address] = Recent(1000)

    def know(self, line: Line) -> None:
        """A delivery came with an address."""
        if line.respond:
            until = self._clock.monotonic() + LIFE_S
            self._known.put(line.channel, _Address(line.respond, until, USES))

    async def privately(self, url: str, text: str) -> None:
        """Tell one person; nothing depends on it."""
        if not url.startswith(("https://", "http://")):
            return
        try:
            await self._api.post(url, json={"response_type": "ephemeral", "replace_original": False, "text": text})
        except SendFailed as exc:
            log.info("a private answer did not arrive: %s", exc)

    async def instead(self, channel: str, message: Mapping[str, Any]) -> bool:
        """Say something in a channel the bot may not write to, by way of somebody's command there. Never raises."""
        address = self._known.get(channel)
        if address is None or address.left <= 0 or address.until < self._clock.monotonic():
            return False
        address.left -= 1
        try:
            await self._api.post(address.url, json={"response_type": "ephemeral", "replace_original": False, **message})
        except SendFailed as exc:
            log.info("an answer by response_url did not arrive: %s", exc)
            return False
        return True
