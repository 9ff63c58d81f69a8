"""How calls stand, asked of providers that cannot report it: without a public address no callback arrives.

What is known of a call is on the timeline, so that it makes no difference which process asks, or that it was restarted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot.app.ports import Store, Tells
from bot.domain.errors import SendFailed, StoreUnavailable
from bot.domain.incident import Entry, EntryKind
from bot.domain.page import Callback, CallStatus

EVERY_S = 5.0
FOR = timedelta(minutes=5)
"""A call is over by then, whatever the provider says."""
AT_ONCE = 20
OVER = frozenset({CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.FAILED, CallStatus.COMPLETED})
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class InFlight:
    """A call that was taken by a provider and of whose end nothing is known."""

    key: str
    pager: str
    ref: str
    known: CallStatus | None = None


class CallPoller:
    """Asks the providers `tells` (by name) about the calls they took, and passes on what is new to `reported`."""

    def __init__(
        self, store: Store, tells: Mapping[str, Tells], reported: Callable[[str, Callback], Awaitable[object]]
    ) -> None:
        self._store = store
        self._tells = tells
        self._reported = reported

    async def round(self) -> int:
        """Ask once about every call in flight; returns how many were asked about."""
        try:
            calls = await self._in_flight() if self._tells else ()
        except StoreUnavailable as exc:
            log.warning("cannot look for calls to ask about: %s", exc)
            return 0
        gate = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._ask(call, gate) for call in calls))
        return len(calls)

    async def _in_flight(self) -> Sequence[InFlight]:
        async with self._store.begin() as tx:
            rows = await tx.outbox.pages_since(FOR)
            incidents = dict.fromkeys(row.incident for row in rows if row.incident and row.ref)
            keys = {row.key for row in rows}
            entries = [e for one in incidents for e in await tx.timeline.read(incident=one, limit=100_000)]
        return [call for call in in_flight(entries) if call.key in keys and call.pager in self._tells]

    async def _ask(self, call: InFlight, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                status = await self._tells[call.pager].status(call.ref)
                if status is not None and status is not call.known:
                    await self._reported(call.pager, Callback(key=call.key, status=status))
            except (SendFailed, StoreUnavailable) as exc:
                log.warning("%s: %s does not say how the call stands: %s", call.key, call.pager, exc)


def in_flight(entries: Sequence[Entry]) -> Sequence[InFlight]:
    """The calls of a timeline that were sent and are not over, with the last that is known of them."""
    calls: dict[str, InFlight] = {}
    for entry in entries:
        key = str(entry.data.get("key") or "")
        if entry.kind is EntryKind.PAGE and entry.data.get("state") == "sent" and entry.data.get("ref"):
            calls[key] = InFlight(key=key, pager=str(entry.data.get("pager")), ref=str(entry.data["ref"]))
        elif entry.kind is EntryKind.CALL and key in calls and entry.data.get("status") in set(CallStatus):
            known = CallStatus(entry.data["status"])
            if known in OVER:
                del calls[key]
            else:
                old = calls[key]
                calls[key] = InFlight(key=key, pager=old.pager, ref=old.ref, known=known)
    return list(calls.values())
