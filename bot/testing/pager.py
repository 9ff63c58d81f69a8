"""A phone provider that remembers whom it was asked to call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bot.domain.errors import SendFailed
from bot.domain.page import CallLimit, Page


class FakePager:
    """Implements `Pager` and `HangsUp` and honours keys: `calls` holds every request, `rung` each key once.

    `fail_next` refuses the coming calls one by one, `down` all of them; a cleared `gate` makes calls hang;
    `limited` is what it says of its limits, without keeping to them.
    """

    def __init__(self, name: str = "phone") -> None:
        self._name = name
        self.calls: list[Page] = []
        self.rung: dict[str, Page] = {}
        self.down: SendFailed | None = None
        self.hung_up: list[str] = []
        self.limited: Sequence[CallLimit] = ()
        self.gate = asyncio.Event()
        self.gate.set()
        self._next: list[SendFailed] = []

    @property
    def name(self) -> str:
        """What the timeline calls it."""
        return self._name

    @property
    def limits(self) -> Sequence[CallLimit]:
        """None, unless `limited` is set."""
        return self.limited

    def fail_next(self, *errors: SendFailed) -> None:
        """Refuse the next calls with these errors, in order."""
        self._next.extend(errors)

    async def call(self, page: Page) -> str:
        """Record the call. Raises SendFailed when told to; an uncertain failure still rings the phone."""
        self.calls.append(page)
        await self.gate.wait()
        error = self._next.pop(0) if self._next else self.down
        if error is None or error.uncertain:
            self.rung.setdefault(page.key, page)
        if error is not None:
            raise error
        return f"{self._name}-{page.key}"

    async def hang_up(self, ref: str) -> None:
        """Record which call was ended."""
        self.hung_up.append(ref)
