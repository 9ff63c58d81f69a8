"""Send what is queued: claim in a short transaction, send outside it, record in a short transaction.

A crash between send and record leaves a lease that runs out; the row is then sent again under the same key.
Pages and chat have loops of their own, every send is a task of its own: nothing waits for a platform that hangs.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from bot.app.outgoing import (
    Cancelled,
    Delayed,
    Refused,
    Result,
    Retry,
    Sent,
    chat_key,
    decide,
    moves_on,
    outdated,
    read_message,
    read_page,
)
from bot.app.placing import STARTING, ClaimLost, NotWanted, Placer, in_time
from bot.app.ports import ChatPlatform, Clock, OutboxRow, Pager, Partial, Store, Tx
from bot.domain.errors import SendFailed, StoreUnavailable
from bot.domain.incident import Entry, EntryKind, Incident, Room
from bot.domain.message import Message
from bot.domain.page import Page

T = TypeVar("T")
log = logging.getLogger(__name__)

LEASE_S = 10.0
"""Longer than a provider's 5 s timeout, so that a slow send is not taken for a dead sender."""
POLL_S = 1.0
AT_ONCE = {"page": 200, "chat": 400, "hangup": 50}
CALM_S = {"page": 0.0, "chat": 0.02, "hangup": 0.05}
"""After it was woken, a loop waits so long before it looks: what is written together is looked for once. Not pages."""
HANG_UP_TRIES = 5
"""Best effort: a call that nobody answers ends by itself."""
_RECORD_AGAIN_S = 0.2


Recorded = Callable[[Tx, OutboxRow, Result, Incident | None], Awaitable[None]]
"""(transaction, row, what became of the page, its locked incident): what else is written with the record of a page."""


class Deliverer:
    """Sends pages and chat for as long as `run` runs; any number of bots may do so on one database.

    `chat` maps a platform's name to its adapter; `pagers` are tried in their order. Every send is stopped at
    eight tenths of the lease. `recorded` is called in the transaction that records what became of a page.
    """

    def __init__(
        self,
        store: Store,
        chat: Mapping[str, ChatPlatform],
        pagers: Sequence[Pager],
        clock: Clock,
        *,
        owner: str = "",
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
        recorded: Recorded | None = None,
    ) -> None:
        self._store = store
        self._chat = chat
        self._clock = clock
        self._owner = owner or secrets.token_hex(8)
        self._placer = Placer(store, pagers, owner=self._owner, lease_s=lease_s, on_its_way=self._turn_is_free)
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._recorded = recorded
        self._looked = clock.monotonic()
        self._wake = {kind: asyncio.Event() for kind in AT_ONCE}
        self._full = dict.fromkeys(AT_ONCE, False)
        """Whether more may be waiting than the last look could take."""
        self._paging: set[asyncio.Task[None]] = set()
        self._most_turns = STARTING

    def wake(self) -> None:
        """Something was queued: look now instead of at the next poll."""
        for event in self._wake.values():
            event.set()

    def silent_s(self) -> float:
        """Seconds since this bot last looked for pages with success: what tells a loop that is alive."""
        return self._clock.monotonic() - self._looked

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; what is being sent then is sent and recorded to the end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._drain("page", self._page, stop))
            group.create_task(self._drain("chat", self._say, stop))
            group.create_task(self._drain("hangup", self._hang_up, stop))

    async def _drain(self, kind: str, send: Callable[[OutboxRow], Awaitable[None]], stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as sends:
            busy = self._paging if kind == "page" else set()
            while not stop.is_set():
                self._wake[kind].clear()
                free = min(AT_ONCE[kind] - len(busy), self._turns() if kind == "page" else AT_ONCE[kind])
                rows = await self._claim(kind, free)
                # Fewer than could be taken: these were all. More than that are waited for, not looked for.
                self._full[kind] = len(rows) >= free
                for row in rows:
                    task = sends.create_task(self._guarded(row, send))
                    busy.add(task)
                    task.add_done_callback(busy.discard)
                if not rows or not self._full[kind]:
                    await self._rest(kind, stop)

    def _turns(self) -> int:
        """How many more pages could be begun now.

        One takes a turn unless it only waits for its provider: a lease must not run out in a queue of ours, neither
        before the call nor before its record. Claimed by the hundred, it did; then nothing was ever recorded in time.
        """
        return self._most_turns - (len(self._paging) - self._placer.waiting)

    def _went(self, *, in_time: bool) -> None:
        """One more at once after each page that was recorded in its lease, half as many after one that was not."""
        self._most_turns = min(STARTING, self._most_turns + 1) if in_time else max(1, self._most_turns // 2)

    def _turn_is_free(self) -> None:
        """More pages are waiting than could be claimed: look again, for several at once."""
        if self._full["page"] and self._turns() >= max(1, self._most_turns // 2):
            self._wake["page"].set()

    async def _claim(self, kind: str, limit: int) -> Sequence[OutboxRow]:
        if limit <= 0:
            return ()
        but = self._out_of_reach() if kind == "chat" else ()
        try:
            async with self._store.begin() as tx:
                rows = await tx.outbox.claim(owner=self._owner, limit=limit, lease_s=self._lease_s, kind=kind, but=but)
            if kind == "page":
                self._looked = self._clock.monotonic()
            return rows
        except StoreUnavailable as exc:
            log.warning("cannot look for %ss to send: %s", kind, exc)
        except Exception:
            # The loop that wakes people up ends when it is told to, and for nothing else.
            log.exception("cannot look for %ss to send", kind)
        return ()

    async def _rest(self, kind: str, stop: asyncio.Event) -> None:
        waits = [
            asyncio.ensure_future(wait)
            for wait in (self._clock.sleep(self._poll_s), self._wake[kind].wait(), stop.wait())
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if CALM_S[kind] and not stop.is_set():
            await asyncio.sleep(CALM_S[kind])

    async def _guarded(self, row: OutboxRow, send: Callable[[OutboxRow], Awaitable[None]]) -> None:
        try:
            await send(row)
        except StoreUnavailable as exc:
            log.warning("%s: not recorded, it will be sent again under the same key: %s", row.key, exc)
        except Exception:
            # One row's trouble must not stop the loop that wakes people up; its lease runs out and it comes again.
            log.exception("%s: could not be handled", row.key)
        finally:
            # The next message of the room was waiting for this one; a page only where there are many.
            if row.kind == "page":
                self._turn_is_free()
            else:
                self._wake[row.kind].set()

    async def _say(self, row: OutboxRow) -> None:
        try:
            message = read_message(row.payload)
        except (KeyError, TypeError, ValueError) as exc:
            await self._finish(row, state="failed", error=f"no message in the payload: {exc!r}")
            return
        room, thread = await self._place(message)
        try:
            platform = self._platform(room)
            ref = await in_time(platform.put(message, room, row.ref, thread=thread), self._lease_s * 0.8)
        except SendFailed as error:
            await self._failed_chat(row, error)
        else:
            await self._finish(row, state="sent", ref=ref)

    def _platform(self, room: Room) -> ChatPlatform:
        try:
            return self._chat[room.platform]
        except KeyError as exc:
            raise SendFailed(f'no chat platform "{room.platform}" is configured', permanent=True) from exc

    def _out_of_reach(self) -> Sequence[str]:
        """Beginnings of keys of rooms that another bot has to write to."""
        return [key for p in self._chat.values() if isinstance(p, Partial) for key in p.out_of_reach()]

    async def _place(self, message: Message) -> tuple[Room, str | None]:
        """The room, and the reference of the message this one belongs under."""
        async with self._store.begin() as tx:
            room = await tx.rooms.get(message.room) or Room(key=message.room, title=message.room)
            return room, await tx.outbox.ref(chat_key(message.room, message.thread)) if message.thread else None

    async def _failed_chat(self, row: OutboxRow, error: SendFailed) -> None:
        decision = decide(row, error, self._clock.now())
        log.warning("%s: try %d: %s", row.key, row.attempts, error)
        if isinstance(decision, Retry):
            await self._finish(row, state="pending", error=str(error), retry_at=decision.at)
        else:
            await self._finish(row, state="failed", error=decision.reason)

    async def _page(self, row: OutboxRow) -> None:
        try:
            page = read_page(row.payload)
        except (KeyError, TypeError, ValueError) as exc:
            await self._finish(row, state="failed", error=f"no page in the payload: {exc!r}")
            return
        try:
            pager, ref = await self._placer.place(row, page)
        except ClaimLost:
            self._went(in_time=False)
            log.warning("%s: its lease ran out before anybody was called; it is taken up again", row.key)
            self._wake["page"].set()
        except NotWanted:
            await self._finish(row, state="cancelled", entry=Cancelled(page=page))
        except SendFailed as error:
            await self._failed_page(row, page, error)
        else:
            await self._finish(row, state="sent", ref=ref, entry=Sent(page=page, pager=pager.name, ref=ref))

    async def _hang_up(self, row: OutboxRow) -> None:
        """End a call that still rings."""
        try:
            await self._placer.hang_up(str(row.payload.get("pager", "")), str(row.payload.get("ref", "")))
        except SendFailed as error:
            decision = decide(row, error, self._clock.now())
            if isinstance(decision, Retry) and row.attempts < HANG_UP_TRIES:
                await self._finish(row, state="pending", error=str(error), retry_at=decision.at)
            else:
                await self._finish(row, state="failed", error=str(error))
        else:
            await self._finish(row, state="sent")

    async def _failed_page(self, row: OutboxRow, page: Page, error: SendFailed) -> None:
        decision = decide(row, error, self._clock.now())
        log.warning("%s: try %d: %s", row.key, row.attempts, error)
        if isinstance(decision, Retry):
            # Nobody takes it soon: it stays queued, and whoever decides about the next step hears of it.
            delayed = Delayed(page=page, reason=str(error)) if moves_on(error) else None
            await self._finish(row, state="pending", error=str(error), retry_at=decision.at, entry=delayed)
        else:
            await self._finish(
                row, state="failed", error=decision.reason, entry=Refused(page=page, reason=decision.reason)
            )

    async def _finish(
        self,
        row: OutboxRow,
        *,
        state: str,
        ref: str | None = None,
        error: str | None = None,
        retry_at: datetime | None = None,
        entry: Result | None = None,
    ) -> None:
        # The send has happened; until it is recorded a crash or a lost lease means sending it once more.
        ends = self._clock.monotonic() + self._lease_s
        while True:
            try:
                async with self._store.begin() as tx:
                    # The incident first, as an acknowledgement does: two orders of locking would be a deadlock.
                    incident = await tx.incidents.get(row.incident) if entry and row.incident else None
                    done = await tx.outbox.finish(row, state=state, ref=ref, error=error, retry_at=retry_at)
                    if done and entry is not None:
                        await self._record(tx, row, entry, incident)
                        if self._recorded is not None:
                            await self._recorded(tx, row, entry, incident)
                if done and entry is not None:
                    self._wake_after(entry)
                if row.kind == "page":
                    self._went(in_time=done)
                return
            except StoreUnavailable:
                if self._clock.monotonic() >= ends:
                    raise
                await self._clock.sleep(_RECORD_AGAIN_S)

    def _wake_after(self, result: Result) -> None:
        """Its record changed a card, and may have queued a hang-up; one that failed may have brought the next page."""
        for kind in AT_ONCE:
            if kind != "page" or not isinstance(result, Sent):
                self._wake[kind].set()

    async def _record(self, tx: Tx, row: OutboxRow, result: Result, incident: Incident | None) -> None:
        if isinstance(result, Delayed):
            return
        late = isinstance(result, Sent) and outdated(row, incident)
        said = result.text(late=late)
        page = result.page
        facts = {"key": page.key, "person": page.person.name, "step": page.step, "attempt": page.attempt}
        await tx.timeline.append(
            Entry(
                kind=EntryKind.PAGE,
                at=self._clock.now(),
                actor="warroom",
                room=incident.room if incident else str(row.payload.get("room", "")),
                zh=said.zh,
                en=said.en,
                incident=row.incident,
                data={**facts, **result.facts(), **({"late": True, "late_call": True} if late else {})},
            )
        )
