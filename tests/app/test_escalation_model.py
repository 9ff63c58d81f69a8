"""Anything in any order: people who page, acknowledge and escalate, bots that send, die and come back.

The store is a real one and every step a real transaction; only time and the phone are the test's.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.adapters.store import SqlStore
from bot.app.audit import audit
from bot.app.deliver import Deliverer
from bot.app.dispatch import handle
from bot.app.escalation import take_due
from bot.app.outgoing import outdated, read_page
from bot.app.page_result import page_recorded
from bot.app.parts import Parts
from bot.app.ports import OutboxRow
from bot.domain.escalation import Phase
from bot.domain.incident import EntryKind, Incident
from bot.domain.page import CallState
from bot.testing import FakeChat, FakePager, FixedClock, ScriptedAgents
from tests.app.test_escalation import DIRECTORY
from tests.store.databases import sqlite_database
from tests.transcript import ROOM

LEASE_S = 10


class Escalating(RuleBasedStateMachine):
    """One room, one incident at a time, and a sender whose claims are held between its steps."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="warroom-model-"))
        self.loop = asyncio.new_event_loop()
        self.clock = FixedClock()
        self.store = SqlStore(sqlite_database(self.folder / "model.db"), clock=self.clock, lang="en")
        self.phone = FakePager()
        self.claimed: list[OutboxRow] = []
        self.late: list[str] = []
        self.parts = Parts(
            store=self.store,
            agents=ScriptedAgents((), lambda _: None),
            chat={"console": FakeChat("console")},
            clock=self.clock,
            playbooks={},
            hypotheses=(),
            people=DIRECTORY.people,
            directory=DIRECTORY,
            pagers=True,
            lang="en",
        )
        self.do(self.store.upgrade())
        self.sender = Deliverer(
            self.store,
            {},
            [self.phone],
            self.clock,
            owner="me",
            lease_s=LEASE_S,
            recorded=lambda tx, row, result, found: page_recorded(self.parts, tx, row, result, found),
        )

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.everybody_who_was_to_be_called_is_called()
        finally:
            self.do(self.store.close())
            self.loop.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    # What people do.

    @rule(text=st.sampled_from(["/page", "/page boss", "/page nobody", "/escalate", "/escalate leads", "/note x"]))
    def types(self, text: str) -> None:
        self.do(handle(self.parts, text, user="lin", room=ROOM))

    @rule(user=st.sampled_from(["lin", "chen"]))
    def acknowledges(self, user: str) -> None:
        self.do(handle(self.parts, "/ack", user=user, room=ROOM))

    @rule()
    def resolves(self) -> None:
        self.do(handle(self.parts, "/incident resolve", user="lin", room=ROOM))

    # What time and bots do.

    @rule(minutes=st.sampled_from([0.2, 1, 5, 5, 7, 61]))
    def passes(self, minutes: float) -> None:
        self.do(self.clock.advance(minutes * 60))

    @rule()
    def takes_what_is_due(self) -> None:
        while self.do(take_due(self.parts)):
            pass

    @rule()
    def claims(self) -> None:
        async def claim() -> list[OutboxRow]:
            async with self.store.begin() as tx:
                return list(await tx.outbox.claim(owner="me", limit=5, lease_s=LEASE_S, kind="page"))

        self.claimed += self.do(claim())

    @precondition(lambda self: self.claimed)
    @rule(refused=st.booleans())
    def sends(self, refused: bool) -> None:
        row = self.claimed.pop(0)
        incident = self.do(self.incident(row.incident))
        before = len(self.phone.calls)
        if refused:
            from bot.domain.errors import SendFailed

            self.phone.fail_next(SendFailed("HTTP 403", permanent=True))
        self.do(self.sender._page(row))
        self.phone._next.clear()
        if len(self.phone.calls) > before and outdated(row, incident):
            self.late.append(row.key)

    @rule()
    def dies(self) -> None:
        """What was claimed is forgotten; the lease runs out."""
        self.claimed.clear()
        self.do(self.clock.advance(LEASE_S + 1))

    # What must hold.

    async def incident(self, ident: str | None) -> Incident | None:
        async with self.store.begin() as tx:
            return await tx.incidents.look(ident) if ident else None

    @invariant()
    def the_auditor_finds_nothing(self) -> None:
        if hasattr(self, "store") and not self.overdue():
            assert self.do(audit(self.parts)) == 0

    def overdue(self) -> bool:
        async def left() -> bool:
            async with self.store.begin() as tx:
                found = await tx.escalations.next_in()
                return found is not None and found.total_seconds() <= 0

        return bool(self.do(left()))

    @invariant()
    def nobody_is_called_after_an_acknowledgement(self) -> None:
        assert not getattr(self, "late", [])

    @invariant()
    def every_step_is_on_record_once_and_in_order(self) -> None:
        if not hasattr(self, "store"):
            return

        async def read() -> None:
            async with self.store.begin() as tx:
                for incident in await tx.incidents.list():
                    entries = await tx.timeline.read(incident=incident.id, limit=10_000)
                    steps = [s for e in entries if e.kind is EntryKind.ESCALATION for s in e.data.get("steps", ())]
                    assert steps == list(range(1, len(steps) + 1))
                    pages = [p for e in entries if e.kind is EntryKind.ESCALATION for p in e.data.get("pages", ())]
                    keys = [p["key"] for p in pages]
                    assert len(keys) == len(set(keys))
                    sent = [e.data["key"] for e in entries if e.kind is EntryKind.PAGE and e.data.get("state")]
                    assert len(sent) == len(set(sent))

        self.do(read())

    @invariant()
    def somebody_will_be_called_while_nobody_has_it(self) -> None:
        if not hasattr(self, "store"):
            return

        async def read() -> None:
            async with self.store.begin() as tx:
                for incident in await tx.incidents.list(only_open=True):
                    state = await tx.escalations.get(incident.id)
                    if state is not None and incident.acked_at is None:
                        assert state.phase is Phase.PAGING
                        assert state.due_at is not None

        self.do(read())

    def everybody_who_was_to_be_called_is_called(self) -> None:
        """Left alone, a bot that works sends every page that is still wanted."""
        self.dies()
        for _ in range(20):
            self.claims()
            if not self.claimed:
                break
            while self.claimed:
                self.sends(refused=False)

        async def read() -> None:
            async with self.store.begin() as tx:
                for incident in await tx.incidents.list():
                    wanted = incident.escalates
                    queued = [c for c in await tx.calls.list(incident.id) if c.state is CallState.QUEUED]
                    assert not queued or not wanted, queued
            rung = {read_page(row.payload).key for row in self.claimed}
            assert not rung

        self.do(read())


TestEscalating = Escalating.TestCase
TestEscalating.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
