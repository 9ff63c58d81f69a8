"""Hand a page to a phone provider: the first that takes it, asked at the last moment whether it is still wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from bot.app.outgoing import all_refused, first_pager, moves_on, outdated
from bot.app.ports import Finds, HangsUp, OutboxRow, Pager, Store, Tx
from bot.domain.errors import SendFailed
from bot.domain.page import Page

T = TypeVar("T")
log = logging.getLogger(__name__)


STARTING = 16
"""So many pages at once are between the last look at their incident and their request: with hundreds, each would wait
for the others' turns of the loop, and an acknowledgement of meanwhile would come too late (measured: 600 ms)."""
LEAST = 0.3
"""Of the lease: with less of it left nobody is asked any more, since the answer would come too late."""
START_S = 0.02
"""By then a request is on its way, however long its answer takes."""


class NotWanted(Exception):
    """Somebody acknowledged, or it is over: the page must not go out."""


class ClaimLost(Exception):
    """The lease has run out, or nearly so, before the provider was asked: whoever claims the page next calls."""


class Placer:
    """The phone providers in their order. Every request ends two tenths of the lease before the claim does.

    `owner` is who claims; `on_its_way` is called when a request has left and only its answer is waited for.
    """

    def __init__(
        self,
        store: Store,
        pagers: Sequence[Pager],
        *,
        owner: str,
        lease_s: float,
        on_its_way: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._pagers = pagers
        self._owner = owner
        self._lease_s = lease_s
        self._most_s = lease_s * 0.8
        self._on_its_way = on_its_way
        self._starting = asyncio.Semaphore(STARTING)
        self.waiting = 0
        """Requests that have left and are not answered."""

    async def place(self, row: OutboxRow, page: Page) -> tuple[Pager, str]:
        """The provider that took it, and its reference. Raises NotWanted, ClaimLost, SendFailed, StoreUnavailable."""
        if not self._pagers:
            raise SendFailed("no phone provider is configured ([[pagers]])", permanent=True)
        start = first_pager(len(self._pagers), row.attempts)
        ends = asyncio.get_running_loop().time() + self._most_s
        refused: dict[str, SendFailed] = {}
        for pager in (*self._pagers[start:], *self._pagers[:start]):
            try:
                return pager, await self._ask(pager, row, page, ends)
            except SendFailed as error:
                if not moves_on(error):
                    raise
                log.error("%s: %s does not take it: %s", row.key, pager.name, error)
                refused[pager.name] = error
        raise all_refused(refused)

    async def hang_up(self, name: str, ref: str) -> None:
        """End a call. Raises SendFailed."""
        pager: object = next((p for p in self._pagers if p.name == name), None)
        if not isinstance(pager, HangsUp):
            raise SendFailed(f'"{name}" cannot end calls', permanent=True)
        await in_time(pager.hang_up(ref), self._most_s)

    async def _ask(self, pager: Pager, row: OutboxRow, page: Page, ends: float) -> str:
        left_s = ends - asyncio.get_running_loop().time()
        if row.attempts > 1 and isinstance(pager, Finds):
            # An earlier try may have arrived without our hearing of it.
            known = await in_time(pager.find(page), left_s)
            if known is not None:
                return known
        async with self._starting:
            # Read last: nothing but this may lie between knowing that the page is wanted, and ours, and sending it.
            async with self._store.begin() as tx:
                await self._within_limits(tx, pager, page)
                incident = await tx.incidents.look(row.incident) if row.incident else None
                lease = await tx.outbox.lease_left(row, owner=self._owner)
            if outdated(row, incident):
                raise NotWanted
            most_s = self._time_for(lease)
            calling = asyncio.ensure_future(in_time(pager.call(page), most_s))
            try:
                await asyncio.wait([calling], timeout=START_S)
            except asyncio.CancelledError:
                calling.cancel()
                raise
        if calling.done():
            return calling.result()
        self.waiting += 1
        self._on_its_way()
        try:
            return await calling
        finally:
            self.waiting -= 1

    def _time_for(self, lease: timedelta | None) -> float:
        """How long a request may take (s): what comes of it has to be recorded while the page is ours."""
        left_s = lease.total_seconds() if lease else 0.0
        if left_s < self._lease_s * LEAST:
            raise ClaimLost
        return left_s - self._lease_s * 0.2

    async def _within_limits(self, tx: Tx, pager: Pager, page: Page) -> None:
        """What the provider would refuse anyway goes elsewhere at once. Raises SendFailed."""
        if not pager.limits:
            return
        now = await tx.now()
        for limit in pager.limits:
            window = timedelta(seconds=limit.window_s)
            sent = await tx.calls.sent_since(pager=pager.name, person=page.person.name, since=now - window)
            if len(sent) >= limit.calls:
                left = sent[-limit.calls] + window - now
                raise SendFailed(
                    f"its limit of {limit} for {page.person.name} is reached", retry_after_s=left.total_seconds()
                )


async def in_time(sending: Awaitable[T], most_s: float) -> T:
    """What an adapter answers within so many seconds; everything else is a SendFailed."""
    try:
        async with asyncio.timeout(most_s):
            return await sending
    except TimeoutError as exc:
        raise SendFailed(f"no answer within {most_s:.3g} s", uncertain=True) from exc
    except SendFailed:
        raise
    except Exception as exc:
        # An adapter's mistake is not a refusal: somebody may still be waiting for this.
        log.exception("a send ended in an unexpected error")
        raise SendFailed(f"unexpected {type(exc).__name__}", uncertain=True) from exc
