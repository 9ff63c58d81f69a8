"""Addresses of Slack's names, remembered: on the night when DNS is what broke, the chat must go on.

Connections still prove by TLS whom they reached, so that an address that is old can do no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from dataclasses import dataclass

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

log = logging.getLogger(__name__)

FRESH_S = 60.0
"""An answer is good for so long without asking again."""
PATIENCE_S = 1.0
"""A resolver that is slower than this is not waited for where an older answer is known."""
Question = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class _Known:
    found: list[ResolveResult]
    at: float


class RememberingResolver(AbstractResolver):
    """Asks as the system does, and falls back on the last answer; `inner` is who is asked."""

    def __init__(self, inner: AbstractResolver | None = None, *, patience_s: float = PATIENCE_S) -> None:
        self._inner = inner or ThreadedResolver()
        self._patience_s = patience_s
        self._known: dict[Question, _Known] = {}
        self._asking: dict[Question, asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses. Raises OSError where none was ever known."""
        question = (host, port, int(family))
        known = self._known.get(question)
        if known is not None and time.monotonic() - known.at < FRESH_S:
            return known.found
        asking = self._asking.get(question)
        if asking is None:
            asking = asyncio.create_task(self._ask(question, host, port, family))
            self._asking[question] = asking
        if known is None:
            return await asyncio.shield(asking)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._patience_s):
                return await asyncio.shield(asking)
        log.warning("%s cannot be resolved just now; its last known address is used", host)
        return known.found

    async def _ask(self, question: Question, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        try:
            found = await self._inner.resolve(host, port, family)
            self._known[question] = _Known(found, time.monotonic())
            return found
        finally:
            del self._asking[question]

    async def close(self) -> None:
        """Stop asking."""
        for task in list(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self._inner.close()
