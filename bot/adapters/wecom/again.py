"""Edits of what cannot be edited: said anew, but not more often than people can read, and only the latest of them."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bot.adapters.wecom.said import Said
from bot.domain.errors import SendFailed

log = logging.getLogger("warroom.wecom")

PAUSE_S = 20.0
"""Between two tellings of the same message."""
PATIENCE_S = 600.0
MOST = 2000
Post = Callable[[Said], Awaitable[str]]
"""Sends it as a new message; returns its reference."""


@dataclass(kw_only=True)
class _Told:
    at: float
    waiting: Said | None = None
    since: float = 0.0
    post: Post | None = None


class Again:
    """Keeps what waits in memory: the record of the room is in the database, this is only its picture."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._told: OrderedDict[tuple[str, str], _Told] = OrderedDict()

    def told(self, said: Said) -> None:
        """Remember that it was said just now, the first time or again."""
        key = (said.room, said.key)
        self._told[key] = _Told(at=self._now())
        self._told.move_to_end(key)
        while len(self._told) > MOST:
            self._told.popitem(last=False)

    async def tell(self, said: Said, post: Post) -> str | None:
        """Say it now and return its reference, or keep it for later: None. Raises SendFailed."""
        known = self._told.get((said.room, said.key))
        if known is None or self._now() - known.at >= PAUSE_S:
            ref = await post(said)
            self.told(said)
            return ref
        known.since = known.since if known.waiting else self._now()
        known.waiting, known.post = said, post
        return None

    def withdraw(self, room: str, key: str) -> None:
        """What waited is not the latest any more."""
        known = self._told.get((room, key))
        if known is not None:
            known.waiting = None

    async def flush(self) -> None:
        """Say what has waited long enough."""
        for known in self._due():
            said, post = known.waiting, known.post
            if said is None or post is None:
                continue
            known.at = self._now()
            try:
                await post(said)
            except SendFailed as exc:
                if exc.permanent or self._now() - known.since > PATIENCE_S:
                    log.warning("the latest state of %s is not shown in %s: %s", said.key, said.room, exc)
                    known.waiting = None
                continue
            if known.waiting is said:
                known.waiting = None

    def _due(self) -> Sequence[_Told]:
        return [k for k in self._told.values() if k.waiting is not None and self._now() - k.at >= PAUSE_S]
