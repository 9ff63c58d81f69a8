"""Server-sent events of one room (WHATWG HTML, section 9.2): message, refresh, and comments as heartbeats."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime

from bot.adapters.console.backend import ConsoleBackend
from bot.adapters.console.platform import Subscription
from bot.adapters.console.render import Renderer
from bot.domain.errors import StoreUnavailable
from bot.domain.message import Message
from bot.domain.text import Lang

HEARTBEAT_S = 15.0
LOOK_S = 1.0
"""How long a quiet connection may take to notice that the server is stopping or its session ended."""
PAUSE_S = 0.08
"""Edits that come faster than this are shown as one."""


async def stream(
    subscription: Subscription,
    *,
    backend: ConsoleBackend,
    renderer: Renderer,
    lang: Lang,
    alive: Callable[[], bool],
) -> AsyncIterator[str]:
    """The bytes of one connection, until the subscription ends or `alive` says no."""
    yield "retry: 1000\n: welcome\n\n"
    spoke = time.monotonic()
    while alive():
        await subscription.wait(LOOK_S)
        if subscription.ended:
            return
        messages, stale = subscription.take()
        if stale:
            yield "event: refresh\ndata: {}\n\n"
        for event in await _events(messages, subscription.room, backend, renderer, lang):
            yield event
        if messages or stale:
            spoke = time.monotonic()
            await asyncio.sleep(PAUSE_S)
        elif time.monotonic() - spoke >= HEARTBEAT_S:
            spoke = time.monotonic()
            yield ": still here\n\n"


async def _events(
    messages: Mapping[str, Message], room: str, backend: ConsoleBackend, renderer: Renderer, lang: Lang
) -> list[str]:
    if not messages:
        return []
    # What was put may have been overtaken by an edit that is recorded already; the record knows the latest.
    try:
        recorded = {m.key: (m, rev, at) for m, rev, at in await backend.messages(room)}
    except StoreUnavailable:
        recorded = {}
    said: list[tuple[Message, int | None, datetime]] = [
        recorded.get(key) or (message, None, datetime.now(UTC)) for key, message in messages.items()
    ]
    return [f"event: message\ndata: {json.dumps(renderer.row(*row, lang), ensure_ascii=False)}\n\n" for row in said]
