"""A night to type into: real store and deliverer, scripted agents, and a chat that remembers what it shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import select

from bot.adapters.playbooks import read_playbook
from bot.adapters.postmortem import FileScribe
from bot.adapters.store import SqlStore
from bot.adapters.store.tables import escalations, outbox
from bot.app.admit import Gate
from bot.app.deliver import Deliverer
from bot.app.dispatch import handle
from bot.app.escalation import Escalator
from bot.app.page import phone_reported
from bot.app.page_result import page_recorded
from bot.app.parts import Parts
from bot.app.plain import plain
from bot.app.ports import Clock, Tx
from bot.app.service import Service
from bot.bootstrap import SystemClock
from bot.domain.directory import Directory
from bot.domain.errors import UserError
from bot.domain.incident import Entry
from bot.domain.page import CallStatus, Page, Person
from bot.domain.probe import Agent, Outcome, ProbeRequest
from bot.domain.text import Lang
from bot.testing import FakeChat, FakePager, ScriptedAgents
from tests.diagnosis import nights
from tests.store.databases import sqlite_database

ROOM = "console:main"
PATIENCE_S = 30.0
"""What takes longer is taken for stuck: a busy machine is slow, not still."""


async def due_now(tx: Tx) -> list[object]:
    """Steps of escalations that are due and pages and hang-ups that are due or out, seen at one moment."""
    now = await tx.now()
    pages = select(outbox.c.key).where(outbox.c.state == "pending", outbox.c.kind != "chat", outbox.c.due_at <= now)
    steps = select(escalations.c.incident).where(escalations.c.due_at <= now)
    connection = tx.timeline._session.connection  # type: ignore[attr-defined]
    return list((await connection.execute(pages.union_all(steps))).scalars())


class Night:
    """One room and one night."""

    def __init__(self, parts: Parts, chat: FakeChat, pager: FakePager, agents: ScriptedAgents) -> None:
        self.parts = parts
        self.chat = chat
        self.pager = pager
        self.agents = agents
        self.rule: nights.Rule = nights.healthy
        gate = Gate(parts.store, parts.clock, shared_token="a token", secret=b"s" * 32)
        self.service = Service(parts, gate=gate, read_playbook=read_playbook)

    async def types(
        self, text: str, *, user: str = "lin", room: str = ROOM, key: str | None = None
    ) -> UserError | None:
        """`<< text`; returns once everything it started has been said."""
        error = await handle(self.parts, text, user=user, room=room, message_id=key)
        await self.settle()
        return error

    async def settle(self) -> None:
        """Wait until nothing is queued, due or running (a watch and its card change for ever: they may)."""
        ends = time.monotonic() + PATIENCE_S
        await asyncio.sleep(0.01)
        while left := await self._left():
            assert time.monotonic() < ends, f"the night does not come to rest: {left}"
            await asyncio.sleep(0.01)

    async def _left(self) -> list[object]:
        """What keeps it from resting: jobs, steps and pages that are due, messages that are not shown yet."""
        busy: list[object] = [key for key in self.parts.jobs._keyed if key.startswith(("run-", "probe-"))]
        async with self.parts.store.begin() as tx:
            due = await due_now(tx)
            rooms = [r.key for r in await tx.rooms.list("console")]
            said = {(m.room, m.key): m.blocks for room in rooms for m, _, _ in await tx.messages.list(room)}
        shown = {(m.room, m.key): m.blocks for room in rooms for m in self.chat.shown(room)}
        late = [key for key, blocks in said.items() if shown.get(key) != blocks]
        watched = {key for key in shown if key[1].startswith("watch-")}
        return [*busy, *due, *(key for key in late if key not in watched)]

    async def until(self, words: str, room: str = ROOM, *, lang: Lang = "en") -> None:
        """Wait until the room shows the words."""
        ends = time.monotonic() + PATIENCE_S
        while words not in self.shows(room, lang=lang):
            assert time.monotonic() < ends, f"{words!r} is not among:\n{self.shows(room, lang=lang)}"
            await asyncio.sleep(0.02)

    async def rings(self, times: int = 1) -> Sequence[Page]:
        """The calls placed so far, once there are so many."""
        ends = time.monotonic() + PATIENCE_S
        while len(self.pager.calls) < times and time.monotonic() < ends:
            await asyncio.sleep(0.02)
        return tuple(self.pager.calls)

    def shows(self, room: str = ROOM, lang: Lang = "en") -> str:
        """`>> everything the room shows now`, oldest first."""
        return "\n".join(plain(m.blocks, lang) for m in self.chat.shown(room))

    async def phone(self, key: str, status: CallStatus, digits: str = "") -> bool:
        """The provider reports."""
        known = await phone_reported(self.parts, pager="gateway", key=key, status=status, digits=digits)
        await self.settle()
        return known

    async def timeline(self, incident: str | None = None) -> Sequence[Entry]:
        async with self.parts.store.begin() as tx:
            return await tx.timeline.read(incident=incident, room=None if incident else ROOM)


@asynccontextmanager
async def a_night(
    folder: Path,
    *,
    who: Sequence[Agent] | None = None,
    url: str = "",
    alone: bool = False,
    slow: Collection[str] = (),
    clock: Clock | None = None,
    directory: Directory | None = None,
    chat: FakeChat | None = None,
    beside: Sequence[FakeChat] = (),
) -> AsyncIterator[Night]:
    """A night on a SQLite file of its own. The agents named `slow` answer only after the deadline.

    `beside` are other chat platforms. With a `clock` of the test's, everything but the delivery goes by it.
    """
    loop = asyncio.get_running_loop()
    people = {name: Person(name=name, phone="+86138", lang="en") for name in ("lin", "chen")}
    known = tuple(who if who is not None else nights.agents())
    by_name = {a.name: a for a in known}
    store = SqlStore(url or sqlite_database(folder / "night.db"), clock=clock, lang="en")
    await store.upgrade()
    chat, pager = chat or FakeChat("console"), FakePager()
    deliverer = Deliverer(
        store,
        (platforms := {"console": chat, **{other.platform: other for other in beside}}),
        [pager],
        SystemClock(),
        poll_s=0.05,
        recorded=lambda tx, row, result, incident: page_recorded(parts, tx, row, result, incident),
    )
    clock = clock or SystemClock()

    def answer(request: ProbeRequest) -> Outcome | None:
        return nights.answer(request, by_name[request.agent], night.rule, nights.CRAWLER)

    def in_time(request: ProbeRequest) -> Outcome | None:
        return None if request.agent in slow else answer(request)

    agents = ScriptedAgents(known, in_time, late=answer, clock=clock)
    parts = Parts(
        store=store,
        agents=agents,
        chat=platforms,
        clock=clock,
        playbooks=nights.PLAYBOOKS,
        hypotheses=nights.HYPOTHESES,
        people=people,
        directory=directory or Directory.of(people.values()),
        hang_up_by=frozenset({pager.name}),
        alone=alone,
        pagers=True,
        lang="en",
        scribe=FileScribe(),
        wake=lambda: (deliverer.wake(), escalator.wake()),  # type: ignore[arg-type, return-value]
    )
    escalator = Escalator(parts, lambda s: loop.call_later(s, escalator.wake) and None)
    night = Night(parts, chat, pager, agents)
    stop = asyncio.Event()
    delivering = asyncio.create_task(deliverer.run(stop))
    escalating = asyncio.create_task(escalator.run(stop))
    try:
        await night.service.prepare()
        yield night
    finally:
        await parts.jobs.close()
        stop.set()
        parts.wake()
        await asyncio.gather(delivering, escalating)
        await store.close()
