"""Mistakes planted on purpose: a harness that does not notice each of them proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from bot.adapters.store import outbox as outbox_module
from bot.adapters.store.escalations import SqlEscalations
from bot.adapters.store.outbox import SqlOutbox
from bot.adapters.store.tables import outbox
from bot.app import deliver, placing
from bot.app.outgoing import Sent
from bot.app.placing import Placer
from bot.domain.errors import SendFailed


def no_fencing() -> None:
    """Whoever comes back from a send writes its result, however long ago somebody else took the row over."""

    async def finish(
        self: Any, row: Any, *, state: str, ref: Any = None, error: Any = None, retry_at: Any = None
    ) -> bool:
        values: dict[str, Any] = {"owner": None, "lease_until": None, "state": state, "error": error}
        values |= {"due_at": retry_at} if retry_at is not None else {}
        values |= {"ref": ref} if ref is not None else {}
        await self._session.connection.execute(update(outbox).where(outbox.c.key == row.key).values(values))
        return True

    SqlOutbox.finish = finish  # type: ignore[method-assign]


def deadline_is_failure() -> None:
    """A send that was not answered in time is written down as failed and never tried again."""
    ask = Placer._ask

    async def once(self: Placer, *args: Any) -> str:
        try:
            return await ask(self, *args)
        except SendFailed as error:
            raise SendFailed(str(error), permanent=error.permanent or error.uncertain) from error

    Placer._ask = once  # type: ignore[method-assign]


def late_timers_dropped() -> None:
    """A timer more than a second late is taken for misfired and its step passed over: APScheduler's default."""
    claim = SqlEscalations.claim

    async def punctual(self: SqlEscalations) -> Any:
        state = await claim(self)
        now = await self._session.now()
        if state is None or state.due_at is None or now - state.due_at < timedelta(seconds=1):
            return state
        await self.save(replace(state, step=state.step + 1, due_at=now + timedelta(seconds=1)))
        return None

    SqlEscalations.claim = punctual  # type: ignore[method-assign]


def claim_not_looked_at() -> None:
    """Whoever claimed a page once calls, however long ago that was."""

    async def whole(self: Any, row: Any, *, owner: str) -> timedelta:
        return timedelta(hours=1)

    SqlOutbox.lease_left = whole  # type: ignore[method-assign]


def shared_store() -> None:
    """Bots look into one table without locks and leases: two take the same job."""

    async def claim(
        self: Any, *, owner: str, limit: int, lease_s: float, kind: str | None = None, but: Any = ()
    ) -> Any:
        now = await self._session.now()
        due = select(outbox).where(outbox.c.state == "pending", outbox.c.due_at <= now, outbox.c.kind == kind)
        rows = (await self._session.connection.execute(due.limit(limit))).all()
        return [replace(outbox_module._row(row), attempts=row.attempts + 1) for row in rows]

    SqlOutbox.claim = claim  # type: ignore[method-assign]
    claim_not_looked_at()


def marked_before_sent() -> None:
    """The page is written down as sent, then sent."""
    page = deliver.Deliverer._page

    async def first_the_record(self: Any, row: Any) -> None:
        read = deliver.read_page(row.payload)
        await self._finish(row, state="sent", ref="?", entry=Sent(page=read, pager="phone", ref="?"))
        await page(self, row)

    deliver.Deliverer._page = first_the_record  # type: ignore[method-assign]
    claim_not_looked_at()


def ack_cancels_nothing() -> None:
    """Pages that wait go out although somebody has it."""

    async def cancel(self: Any, *, incident: str) -> int:
        return 0

    SqlOutbox.cancel = cancel  # type: ignore[method-assign]
    placing.outdated = lambda *_: False  # type: ignore[assignment]


MUTANTS: dict[str, Callable[[], None]] = {
    made.__name__.replace("_", "-"): made
    for made in (
        no_fencing,
        deadline_is_failure,
        late_timers_dropped,
        shared_store,
        marked_before_sent,
        ack_cancels_nothing,
        claim_not_looked_at,
    )
}
