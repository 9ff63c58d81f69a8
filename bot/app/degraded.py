"""While the database is away: alerts and acknowledgements are kept in the spool, and people are called from it.

The decision is the same function as ever, and its state is one more file. The keys of pages come from the alert's own
key, so that every bot derives the same ones and a provider that hears two of them calls once. When the database is
back, everything is merged by key: the alert opens its incident, which takes the escalation over as it stands.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.app.escalation import adopting, page_of
from bot.app.outgoing import moves_on
from bot.app.parts import Parts
from bot.app.placing import in_time
from bot.app.ports import Pager, Spool
from bot.app.spooled_state import read_state, write_state
from bot.app.who import policies_of
from bot.domain.errors import SendFailed, StoreUnavailable
from bot.domain.escalating import begin, decide
from bot.domain.escalation import Escalation, Target
from bot.domain.incident import Incident, IncidentState
from bot.domain.page import DIGIT_ACK, CallMade, CallState, Person

log = logging.getLogger("warroom.degraded")

JOB = "spool"
PATIENCE = timedelta(seconds=15)
"""The database may come back by itself; after so long people are called without it."""
ACK_COMES = timedelta(seconds=30)
SEND_S = 8.0
ORDER = ("alert", "alerts", "callback", "command")
"""What is merged first: an acknowledgement needs its incident."""

Merge = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Does with a spooled document what would have been done at once. Raises StoreUnavailable."""


class Degraded:
    """The spool, and what is done from it. `merge` maps kinds (`ORDER`) to their way back."""

    def __init__(self, parts: Parts, spool: Spool, pagers: Sequence[Pager], merge: Mapping[str, Merge]) -> None:
        self._parts = parts
        self._spool = spool
        self._pagers = pagers
        self._merge = merge

    async def keep(self, kind: str, key: str, document: Mapping[str, Any]) -> bool:
        """Put something into the spool; False when the disk does not take it either.

        An alert has at least "alert" (its own key), "title" and "severity".
        """
        row = {"kind": kind, "at": self._parts.clock.now().isoformat(), **document}
        try:
            known = dict(await asyncio.to_thread(self._spool.all))
            if f"{kind}:{key}" not in known:
                await asyncio.to_thread(self._spool.put, f"{kind}:{key}", row)
        except OSError as exc:
            log.error("the spool cannot be written: %s", exc)
            return False
        log.warning("the database is away: %s %s is kept in the spool", kind, key)
        return True

    def wake(self) -> None:
        """Look in the background, unless an earlier look is still under way."""
        self._parts.jobs.once(JOB, self.look)

    async def look(self) -> None:
        """Merge what there is if the database is back, else call people about alerts that have waited long enough."""
        rows = await asyncio.to_thread(self._spool.all)
        if not rows:
            return
        if await self._parts.store.check() is None:
            await self._merge_all(rows)
        else:
            await self._call_from(rows)

    async def _merge_all(self, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        for kind in ORDER:
            for key, row in [(k, r) for k, r in rows if r["kind"] == kind]:
                stands = self._stands(row, rows) if kind == "alert" else None
                try:
                    with adopting(*stands) if stands else nullcontext():
                        await self._merge[kind](row)
                except StoreUnavailable:
                    return
                except Exception:
                    # What cannot be merged must not keep the rest out; it stays on the disk for people to look at.
                    log.exception("%s cannot be merged and is set aside", key)
                    await asyncio.to_thread(self._spool.set_aside, key)
                    continue
                await asyncio.to_thread(self._spool.remove, key)
                if kind == "alert":
                    await asyncio.to_thread(self._spool.remove, f"state:{row['alert']}")
                log.warning("%s was merged into the database", key)
        self._parts.wake()

    def _stands(
        self, alert: Mapping[str, Any], rows: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> tuple[Escalation, Sequence[CallMade]] | None:
        """The escalation that ran meanwhile; None when nobody was called yet.

        Of an alert that somebody has, the next step waits for a moment: the acknowledgement is merged after it.
        """
        kept = dict(rows).get(f"state:{alert['alert']}")
        state, calls = read_state(kept) if kept else (self._first(alert), ())
        if state is None or not (kept or _held(alert, rows)):
            return None
        if _held(alert, rows):
            state = replace(state, due_at=self._parts.clock.now() + ACK_COMES)
        return state, calls

    async def _call_from(self, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        known = dict(rows)
        now = self._parts.clock.now()
        for _, row in rows:
            if row["kind"] != "alert" or _held(row, rows) or datetime.fromisoformat(row["at"]) + PATIENCE > now:
                continue
            kept = known.get(f"state:{row['alert']}")
            state, calls = read_state(kept) if kept else (self._first(row), ())
            if state is None:
                continue
            await self._step(row, state, list(calls), now)

    def _first(self, row: Mapping[str, Any]) -> Escalation | None:
        policy = self._parts.directory.policy_of(row["severity"])
        began = datetime.fromisoformat(row["at"]) + PATIENCE
        return begin(spooled_id(row["alert"]), policy, severity=row["severity"], epoch=0, now=began) if policy else None

    async def _step(self, row: Mapping[str, Any], state: Escalation, calls: list[CallMade], now: datetime) -> None:
        """Take what is due and call; what no provider took is asked for again at the next look."""
        decision = decide(state, policies=policies_of(self._parts), who=self._who, now=now)
        calls += [due.call(state.incident, at=now) for due in decision.pages]
        if decision.pages:
            # Before anybody is called: a bot that dies in between calls again under the same keys.
            await self._write(row, decision.next, calls)
        for n, call in enumerate(calls):
            person = self._parts.directory.find(call.person)
            if call.state is CallState.QUEUED and person is not None:
                calls[n] = await self._place(row, call, person)
        await self._write(row, decision.next, calls)

    def _who(self, target: Target, at: datetime) -> Sequence[Person]:
        # Overrides are in the database: without it the files alone say who is on call.
        return self._parts.directory.people_of(target, at=at)

    async def _place(self, row: Mapping[str, Any], call: CallMade, person: Person) -> CallMade:
        now = self._parts.clock.now()
        page = page_of(self._parts, _incident(row, now), person, step=call.step, attempt=call.attempt)
        for pager in self._pagers:
            try:
                ref = await in_time(pager.call(page), SEND_S)
            except SendFailed as error:
                log.error("%s: %s does not take it: %s", call.key, pager.name, error)
                if not moves_on(error):
                    return call
            else:
                log.warning("%s: called without the database through %s", call.key, pager.name)
                return replace(call, state=CallState.SENT, pager=pager.name, ref=ref, sent_at=now)
        return call

    async def _write(self, row: Mapping[str, Any], state: Escalation, calls: Sequence[CallMade]) -> None:
        await asyncio.to_thread(self._spool.put, f"state:{row['alert']}", write_state(row["alert"], state, calls))


def spooled_id(alert: str) -> str:
    """What stands for the incident's id in keys, as long as there is none: the same on every bot."""
    return f"SPOOL-{hashlib.sha256(alert.encode()).hexdigest()[:10]}"


def _held(alert: Mapping[str, Any], rows: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
    """Whether somebody has it: key 1 or the link of one of its pages, or an /ack typed since then anywhere."""
    mine = f"{spooled_id(alert['alert'])}:"
    return any(
        (row["kind"] == "callback" and row.get("digits") == DIGIT_ACK and str(row.get("page")).startswith(mine))
        or (row["kind"] == "command" and row["at"] >= alert["at"])
        for _, row in rows
    )


def _incident(row: Mapping[str, Any], now: datetime) -> Incident:
    """What the alert will be, as far as the words on the phone need it."""
    return Incident(
        id=spooled_id(row["alert"]),
        title=row["title"],
        severity=row["severity"],
        state=IncidentState.DECLARED,
        room="",
        origin_room="",
        opened_at=now,
        opened_by="alert",
    )
