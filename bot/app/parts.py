"""What every use case works with: the ports, the loaded playbooks, and what the configuration says."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.app.outgoing import chat_row
from bot.app.ports import AgentTransport, ChatPlatform, Clock, Store, Tx
from bot.app.postmortem.scribe import Scribe
from bot.diagnosis.hypothesis import Hypothesis
from bot.domain.access import Level
from bot.domain.command import Command
from bot.domain.directory import Directory
from bot.domain.errors import StoreUnavailable
from bot.domain.incident import Entry, EntryKind, Room, Run
from bot.domain.message import Block, Message, Paragraph
from bot.domain.page import Person
from bot.domain.playbook import Playbook
from bot.domain.text import Lang, Text

log = logging.getLogger("warroom")

UNRECORDED = Text("（数据库不可写：结果还没有记录）", "(the database cannot be written: this is not recorded yet)")
Then = Callable[[], Awaitable[None]]
"""What a use case does after its transaction is committed."""


class Jobs:
    """Work that goes on after a command was answered. Jobs with a key can be found and replaced."""

    def __init__(self) -> None:
        self._all: set[asyncio.Task[Any]] = set()
        self._keyed: dict[str, asyncio.Task[Any]] = {}

    def start(self, work: Coroutine[Any, Any, Any], *, key: str = "") -> None:
        """Run in the background; an error is logged, never lost. A job with the same key is stopped first."""
        if key:
            self.stop(key)
        task = asyncio.create_task(work)
        self._all.add(task)
        task.add_done_callback(self._done)
        if key:
            self._keyed[key] = task

    def once(self, key: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run in the background, unless an earlier job of that key still does."""
        if not self.running(key):
            self.start(work(), key=key)

    def stop(self, key: str) -> bool:
        """Cancel a job; False when none runs under the key."""
        task = self._keyed.pop(key, None)
        return task.cancel() if task is not None and not task.done() else False

    def running(self, key: str) -> bool:
        """Whether a job runs under the key."""
        task = self._keyed.get(key)
        return task is not None and not task.done()

    async def wait(self, key: str, seconds: float) -> bool:
        """Wait until a job ends; True when it is over (or was never there)."""
        task = self._keyed.get(key)
        if task is None or task.done():
            return True
        done, _ = await asyncio.wait([task], timeout=seconds)
        return bool(done)

    async def close(self) -> None:
        """Cancel everything and wait for it."""
        for task in list(self._all):
            task.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._all.discard(task)
        for key in [k for k, t in self._keyed.items() if t is task]:
            del self._keyed[key]
        if not task.cancelled() and task.exception() is not None:
            log.error("a job failed", exc_info=task.exception())


async def _keeps_nothing(_kind: str, _key: str, _document: Mapping[str, Any]) -> bool:
    return False


@dataclass(kw_only=True)
class Parts:
    """The parts, put together once in `bot.bootstrap`."""

    store: Store
    agents: AgentTransport
    chat: Mapping[str, ChatPlatform]
    clock: Clock
    playbooks: Mapping[str, Playbook]
    hypotheses: Sequence[Hypothesis]
    people: Mapping[str, Person] = field(default_factory=dict)
    directory: Directory = field(default_factory=Directory)
    """Who can be asked, in whole; without one it is made of `people`."""
    hang_up_by: frozenset[str] = frozenset()
    """Phone providers that can end a call."""
    vendors: Mapping[str, str] = field(default_factory=dict)
    """Vendor name -> key of the room where its people are."""
    alone: bool = False
    """Whether no other bot works on the same database."""
    agents_meet_one_bot: bool = False
    """Whether agents that dial one bot would be unknown to another: several may run, and there is no NATS."""
    change_feed: bool = False
    """Whether somebody posts changes: only then is "none" an answer."""
    pagers: bool = False
    """Whether any phone provider is configured."""
    lang: Lang = "zh"
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Shanghai"))
    public_url: str = ""
    ack_link: Callable[[str], str] = lambda _key: ""
    """The signed one-time link that acknowledges a page, by the page's key."""
    calendar_link: Callable[[str], str] = lambda _schedule: ""
    """Where the calendar of a schedule can be subscribed to."""
    wake: Callable[[], None] = lambda: None
    """Tell the deliverer that something was queued."""
    callback_url: str = ""
    keep: Callable[[str, str, Mapping[str, Any]], Awaitable[bool]] = _keeps_nothing
    """Put (kind, key, document) into the spool while the database is away; False when nothing keeps it."""
    meeting_url: str = ""
    """The team's voice call, "{incident}" standing for the id; "" for none."""
    mirror_on: Sequence[str] = ()
    """Platforms on which every war room stands at once."""
    fallback_room: str = ""
    """Where what is said of an incident goes while its platform is away."""
    met: dict[tuple[str, str], str] = field(default_factory=dict)
    """(platform, name) -> account of who has said something there since this bot was started."""
    groups: Mapping[str, Level] = field(default_factory=dict)
    """What members of a platform's group may do, by "platform:group"."""
    default_level: Level = Level.RESPONDER
    """What somebody may do of whom nothing is written down, where anything is of anybody."""
    scribe: Scribe | None = None
    """Writes postmortems as files."""
    jobs: Jobs = field(default_factory=Jobs)
    counters: Counter[str] = field(default_factory=Counter)
    """What `/metrics` shows as `warroom_<name>_total`, since the start."""

    def __post_init__(self) -> None:
        if self.people and not self.directory.people:
            self.directory = Directory.of(self.people.values())

    def local(self, at: datetime) -> datetime:
        """The moment on the team's clock."""
        return at.astimezone(self.timezone)

    def meeting(self, incident: str) -> str:
        """The link of the incident's voice call; "" where the team has none."""
        return self.meeting_url.replace("{incident}", incident)

    def new_id(self, prefix: str) -> str:
        """A short unique id such as "run-5f0c9a1be2"."""
        return f"{prefix}-{secrets.token_hex(5)}"


@dataclass(kw_only=True)
class Call:
    """One command being carried out, with the room it was typed in."""

    parts: Parts
    command: Command
    room: Room
    at: datetime
    run: str | None = None
    """The run this command began."""

    @property
    def args(self) -> tuple[str, ...]:
        """The words after the verb."""
        return self.command.args

    def message(self, *blocks: Block, key: str = "") -> Message:
        """A message for this room; under a new key unless one is given."""
        return Message(key=key or self.parts.new_id("msg"), room=self.room.key, blocks=blocks)

    async def reply(self, tx: Tx, *blocks: Block, key: str = "") -> Message:
        """Say something in this room."""
        message = self.message(*blocks, key=key)
        await say(self.parts, tx, message, incident=self.room.incident)
        return message

    async def tell(self, tx: Tx, text: Text) -> None:
        """Say one sentence in this room."""
        await self.reply(tx, Paragraph(text=text))

    async def latest_run(self, tx: Tx) -> Run | None:
        """The newest run of this room that found something; in a war room, else that of the room it came from."""
        found = await tx.runs.latest(room=self.room.key)
        if found is not None or self.room.incident is None:
            return found
        incident = await tx.incidents.get(self.room.incident)
        return await tx.runs.latest(room=incident.origin_room) if incident is not None else None

    async def record(
        self,
        tx: Tx,
        kind: EntryKind,
        text: Text,
        *,
        run: str | None = None,
        at: datetime | None = None,
        incident: str | None = None,
        **data: Any,
    ) -> Entry:
        """Write one line on the timeline, by the person who typed the command; of the room's incident unless named."""
        return await record(
            tx,
            kind,
            text,
            at=at or self.at,
            actor=self.command.user,
            room=self.room.key,
            incident=incident or self.room.incident,
            run=run,
            data=data,
        )


async def record(
    tx: Tx,
    kind: EntryKind,
    text: Text,
    *,
    at: datetime,
    room: str,
    actor: str = "warroom",
    incident: str | None = None,
    run: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> Entry:
    """Write one line on the timeline; returns it as it was recorded."""
    entry = Entry(
        kind=kind,
        at=at,
        actor=actor,
        room=room,
        incident=incident,
        run=run,
        zh=text.zh,
        en=text.en,
        data=data or {},
    )
    return await tx.timeline.append(entry)


_said: ContextVar[list[str] | None] = ContextVar("said", default=None)
_answering: ContextVar[tuple[str, str]] = ContextVar("answering", default=("", ""))


@contextmanager
def answering(room: str, message_id: str) -> Iterator[None]:
    """What is said in the room meanwhile, also by jobs that are started meanwhile, answers that message."""
    token = _answering.set((room, message_id))
    try:
        yield
    finally:
        _answering.reset(token)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Collect the keys of all messages that are said meanwhile, also by jobs that are started meanwhile."""
    keys: list[str] = []
    token = _said.set(keys)
    try:
        yield keys
    finally:
        _said.reset(token)


async def say(parts: Parts, tx: Tx, message: Message, *, incident: str | None = None) -> None:
    """Keep the message and queue it for its room; the same key again edits it. Call `parts.wake` after commit."""
    now = parts.clock.now()
    collected = _said.get()
    if collected is not None:
        collected.append(message.key)
    where, what = _answering.get()
    if where == message.room and what and not message.answers:
        message = replace(message, answers=what)
    await _say_in(tx, message, incident, now)
    if incident is not None and len(parts.chat) > 1:
        for mirror in await tx.rooms.mirrors(message.room):
            await _say_in(tx, replace(message, room=mirror, answers="", mention=()), incident, now)


async def _say_in(tx: Tx, message: Message, incident: str | None, now: datetime) -> None:
    await tx.messages.put(message, at=now)
    await tx.outbox.add(chat_row(message, due_at=now, incident=incident))


async def say_progress(parts: Parts, message: Message, *, incident: str | None) -> None:
    """Edit what stands there while work goes on; without a database it is left as it is."""
    try:
        async with parts.store.begin() as tx:
            await say(parts, tx, message, incident=incident)
    except StoreUnavailable as exc:
        log.warning("progress of %s not shown: %s", message.key, exc)
        return
    parts.wake()


async def put_unrecorded(parts: Parts, message: Message, room: Room) -> None:
    """The database went away while work went on: the answer is said all the same, marked as not recorded."""
    platform = parts.chat.get(room.platform)
    if platform is not None:
        marked = replace(message, blocks=(*message.blocks, Paragraph(text=UNRECORDED)))
        await platform.put(marked, room, None)
