"""The dead-man's switch: an outside address hears from us for as long as we could call somebody.

It is the only thing that notices a bot that is gone. The usual services (healthchecks.io, Better Stack, Dead Man's
Snitch) all take a plain GET.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import httpx

log = logging.getLogger("warroom.heartbeat")

TIMEOUT_S = 5.0


class Heartbeat:
    """Calls `url` every so many seconds while `trouble` finds none; it says in one sentence what is wrong."""

    def __init__(self, url: str, *, every_s: float, trouble: Callable[[], Awaitable[str | None]]) -> None:
        self._url = url
        self._every_s = every_s
        self._trouble = trouble

    async def run(self) -> None:
        """Until cancelled."""
        async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=True) as client:
            while True:
                await self._beat(client)
                await asyncio.sleep(self._every_s)

    async def _beat(self, client: httpx.AsyncClient) -> None:
        wrong = await self._trouble()
        if wrong is not None:
            log.error("no heartbeat is sent: %s", wrong)
            return
        try:
            answer = await client.get(self._url)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            # The address may hold a token, so it is not written down.
            log.warning("the heartbeat was not heard: %s", type(exc).__name__)
        else:
            if not answer.is_success:
                log.warning("the heartbeat was not taken: HTTP %d", answer.status_code)
