"""What the use cases need from the world; adapters implement these, `bot.testing` fakes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from bot.diagnosis.similar import Memory
from bot.domain.action import ActionItem
from bot.domain.alert import KeptAlert, OpenGroup
from bot.domain.chain import ChainHead, Fault
from bot.domain.change import Change
from bot.domain.chat import Captured, Finding, Inbound, Made, NewRoom, Profile
from bot.domain.enrolment import Enrolled, Invitation
from bot.domain.escalation import Escalation
from bot.domain.incident import EVERYTHING, Entry, Incident, Room, Run, Search, Watch
from bot.domain.message import Message
from bot.domain.night import Night
from bot.domain.page import Callback, CallLimit, CallMade, CallStatus, Page, Person
from bot.domain.patrol import PatrolClaim, Round
from bot.domain.probe import Agent, Observation, ProbeRequest
from bot.domain.record import Excerpt, Filter
from bot.domain.schedule import Override
from bot.wire.frames import Hello


class Clock(Protocol):
    """The time, so that tests can move it."""

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class AgentTransport(Protocol):
    """The way to the agents."""

    def agents(self) -> Sequence[Agent]:
        """Every agent known since start, lost ones included, in a stable order."""
        ...

    def forget(self, name: str) -> Agent | None:
        """Drop an agent, and hang up on it for good if it is connected. How it was; None when it is unknown."""
        ...

    def ask(
        self, requests: Sequence[ProbeRequest], *, deadline_s: float, late_s: float = 0.0
    ) -> AsyncIterator[Observation]:
        """Send the requests out and yield observations as they arrive.

        By the deadline every request has yielded exactly one observation: the agent's, or failure `agent_lost`
        (fault of the agent) when its connection broke, its own time was over or the deadline passed. For `late_s`
        more, an answer that comes after all is yielded as well, with the `request` it belongs to. Ends when
        nothing more can come.
        """
        ...


class Doorkeeper(Protocol):
    """Decides who may come in as an agent."""

    async def admit(self, hello: Hello, proven: Callable[[str], bool]) -> str:
        """The token the agent has shown, "" if its key was enough; `proven` tells whether it knows a token.

        Raises NotAdmitted.
        """
        ...


class ChatPlatform(Protocol):
    """One chat platform. Rooms it does not own are never passed to it."""

    async def put(self, message: Message, room: Room, ref: str | None, *, thread: str | None = None) -> str:
        """Post the message, or edit the one `ref` names; returns the platform's reference. Raises SendFailed.

        `thread` is the reference of the message it belongs under, where that was said and the message names one.
        """
        ...

    async def create_room(self, wanted: NewRoom) -> Made:
        """Create a room; its key is "platform:id". Raises SendFailed."""
        ...

    def refresh(self, room: str) -> None:
        """The room speaks another language now; a platform that draws messages itself draws them anew."""
        ...


@runtime_checkable
class Direct(Protocol):
    """A chat platform that can also talk to one person alone: a WeCom app message, a Slack direct message."""

    def direct_room(self, person: Person) -> str | None:
        """The key of the room that is this person's alone ("slack:D024..."); None where it knows no account of theirs.

        What is said there goes the way of every message.
        """
        ...


@runtime_checkable
class Profiles(Protocol):
    """A chat platform that knows more of an account than its id."""

    async def profile(self, account: str) -> Profile | None:
        """What it tells of the account of this id; None when it knows none. Raises SendFailed."""
        ...


@runtime_checkable
class Archives(Protocol):
    """A chat platform that can put a room away when nothing is left to do in it."""

    async def archive(self, room: str) -> None:
        """Put the room of this key away; one that is away already is no error. Raises SendFailed."""
        ...


@runtime_checkable
class Checks(Protocol):
    """A chat platform that can tell whether it is set up rightly."""

    async def check(self, accounts: Sequence[str] = ()) -> Sequence[Finding]:
        """What `warroom doctor` says of it; nothing is changed, and nothing is said to anybody.

        `accounts` are those of people who are to be reached there.
        """
        ...


@runtime_checkable
class Partial(Protocol):
    """A chat platform whose bots cannot all reach all of its rooms: one live connection, held by one of them."""

    def out_of_reach(self) -> Sequence[str]:
        """Beginnings of keys of rooms that this bot cannot write to just now; another one is left to do it."""
        ...


class ChatDoor(Protocol):
    """Where chat platforms bring what people say."""

    async def said(self, inbound: Inbound) -> None:
        """Take a line in and begin to carry it out; returns when it is recorded, so that it can be acknowledged.

        What it leads to, errors too, is said in its room by way of `put`. Long work goes on afterwards. Never raises
        for what the line says; raises StoreUnavailable only when it could neither be recorded nor answered.
        """
        ...

    async def captured(self, captured: Captured) -> bool:
        """Keep a message in the timeline of the room's incident; False when that was done before."""
        ...


class Pager(Protocol):
    """One way to make a phone ring."""

    @property
    def name(self) -> str:
        """Its name in `[[pagers]]`; the timeline says through whom somebody was called."""
        ...

    @property
    def limits(self) -> Sequence[CallLimit]:
        """How often the provider calls one person. It refuses what goes beyond: such a page goes elsewhere at once."""
        ...

    async def call(self, page: Page) -> str:
        """Ask for the call; returns the provider's reference. Raises SendFailed.

        The same key again places no second call where the provider honours keys. Of one that does not, ask `Finds`
        after an uncertain result; one that is not that either may call twice.
        """
        ...


@runtime_checkable
class HangsUp(Protocol):
    """A pager that can end a call it has placed."""

    async def hang_up(self, ref: str) -> None:
        """Ask the provider to end the call of this reference; a call that is over already is no error.

        Raises SendFailed.
        """
        ...


@runtime_checkable
class Finds(Protocol):
    """A pager that can be asked whether a page was taken already: after an uncertain result, before the next try."""

    async def find(self, page: Page) -> str | None:
        """The reference of the page's call; None when the provider has none. Raises SendFailed."""
        ...


@runtime_checkable
class Tells(Protocol):
    """A pager that can be asked how a call stands: where no callback can arrive. Pressed keys it cannot tell."""

    async def status(self, ref: str) -> CallStatus | None:
        """How the call of this reference stands; None while the provider does not know. Raises SendFailed."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A request to `/hooks/phone/NAME[/SECRET]`: `url` is the public one, as the provider called it, with its query."""

    headers: Mapping[str, str]
    url: str
    body: bytes
    secret: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What such a request says (nothing, for events of no interest), and the answer its sender wants.

    `kept` is the answer while the database is away and what was said is only kept on the disk; "" for the same one.

    `insists`: where no page fits, the sender is answered 404, so that it tries again or mends its key. Others send
    events of everybody, and would switch us off for it.
    """

    said: Sequence[Callback] = ()
    answer: str = '{"result": 0, "errmsg": "OK"}'
    kept: str = ""
    media_type: str = "application/json"
    insists: bool = True


@runtime_checkable
class Listens(Protocol):
    """A pager whose provider can report by HTTP."""

    def read(self, given: Given) -> Heard:
        """Verify and read one request. Raises BadSignature, or UserError for one that cannot be read."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxRow:
    """Something to send. `kind` is "page", "chat" or "hangup"; `key` is unique for ever."""

    key: str
    kind: str
    payload: Mapping[str, Any]
    due_at: datetime
    incident: str | None = None
    epoch: int = 0
    attempts: int = 0
    generation: int = 0
    ref: str | None = None


class Timeline(Protocol):
    """The append-only record."""

    async def append(self, entry: Entry) -> Entry:
        """Record one entry; returns it with `seq`, `recorded_at` and `hash`."""
        ...

    async def extend(self, entries: Sequence[Entry]) -> None:
        """Record many at once, in their order."""
        ...

    async def heads(self, incident: str) -> Sequence[ChainHead]:
        """The ends of the incident's chain and of its runs' own, that one first."""
        ...

    async def verify(self, incident: str, *, printed: Sequence[str] = ()) -> Sequence[Fault]:
        """What is wrong with them; empty when every entry is as it was recorded, and none is gone.

        `printed` are heads that exports have shown: each must be the hash of an entry still.
        """
        ...

    async def read(
        self, *, incident: str | None = None, room: str | None = None, after: int = 0, limit: int = 500
    ) -> Sequence[Entry]:
        """Entries of an incident (its runs' earlier entries included) or of a room, by `at`, then `seq`."""
        ...

    async def get(self, seq: int, *, incident: str | None = None, room: str | None = None) -> Entry | None:
        """The entry of this number, if it is one of the incident's or the room's."""
        ...

    async def page(
        self,
        wanted: Filter,
        *,
        incident: str | None = None,
        room: str | None = None,
        before: Entry | None = None,
        after: Entry | None = None,
        limit: int = 40,
    ) -> Excerpt:
        """Those that fit: the last ones, or the ones right before or right after an entry."""
        ...

    async def lines(self, incident: str) -> Sequence[str]:
        """Every entry of an incident with its place in the chain, one JSON document each, by `at`, then `seq`."""
        ...


class Incidents(Protocol):
    """Incidents and the rooms they live in."""

    async def open(self, incident: Incident) -> Incident:
        """Insert; an empty `id` gets the next "INC-n"."""
        ...

    async def save(self, incident: Incident) -> None:
        """Write back an incident read in this transaction."""
        ...

    async def get(self, incident: str) -> Incident | None:
        """By id, locked until the transaction ends where the database can."""
        ...

    async def look(self, incident: str) -> Incident | None:
        """By id, as it stands, without a lock."""
        ...

    async def list(
        self, *, only_open: bool = False, limit: int = 100, search: Search = EVERYTHING
    ) -> Sequence[Incident]:
        """Newest first."""
        ...

    async def claim_reminder(self) -> Incident | None:
        """An open one whose `update_due_at` or `commander_due_at` is past by the database's clock, locked.

        None when none is due, or others have all that are. Whoever claims it sets the next time, or takes it away.
        """
        ...


class Rooms(Protocol):
    """Rooms people talk in."""

    async def get(self, key: str) -> Room | None:
        """By key."""
        ...

    async def save(self, room: Room) -> None:
        """Insert or update."""
        ...

    async def list(self, platform: str) -> Sequence[Room]:
        """All rooms of a platform, oldest first."""
        ...

    async def working_on(self, incident: str) -> Sequence[Room]:
        """The rooms that have this incident, oldest first."""
        ...

    async def mirrors(self, key: str) -> Sequence[str]:
        """Keys of the other rooms that show what this one shows: the one it mirrors, and that one's mirrors."""
        ...


class Runs(Protocol):
    """What `/diag` found."""

    async def save(self, run: Run) -> None:
        """Insert or update."""
        ...

    async def get(self, run: str) -> Run | None:
        """By id."""
        ...

    async def latest(self, *, room: str, playbook: str | None = None) -> Run | None:
        """The newest run of a room that found something."""
        ...

    async def of(self, incident: str) -> Sequence[Run]:
        """The runs of an incident, oldest first."""
        ...

    async def unfinished(self, *, before: datetime) -> Sequence[Run]:
        """Runs begun before then that have no end."""
        ...

    async def attach(self, *, room: str, incident: str, since: datetime) -> int:
        """Attach the room's runs since then that have no incident yet; returns how many."""
        ...


class Watches(Protocol):
    """Which rooms are being watched."""

    async def save(self, watch: Watch) -> None:
        """Insert, in place of the room's earlier one."""
        ...

    async def get(self, room: str) -> Watch | None:
        """The room's watch, locked until the transaction ends where the database can."""
        ...

    async def list(self) -> Sequence[Watch]:
        """All of them, oldest first."""
        ...

    async def remove(self, watch: Watch) -> bool:
        """Take it away; False when it is gone or another one has its place."""
        ...


class Changes(Protocol):
    """What others told us they changed."""

    async def add(self, change: Change) -> bool:
        """Insert; False for one that is there already, word for word."""
        ...

    async def recent(self, *, since: datetime, limit: int = 100) -> Sequence[Change]:
        """Those since a moment, newest first."""
        ...


class Alerts(Protocol):
    """What monitoring told us, and which incidents it belongs to."""

    async def lock(self, source: str) -> None:
        """One transaction at a time decides about a source's alerts; taken before any incident is locked."""
        ...

    async def groups(self, source: str) -> Sequence[OpenGroup]:
        """The groups of a source whose incidents are not over."""
        ...

    async def get(self, source: str, keys: Sequence[str]) -> Mapping[str, KeptAlert]:
        """Those that are known, by key."""
        ...

    async def put(self, alerts: Sequence[KeptAlert]) -> None:
        """Insert or replace."""
        ...

    async def of(self, incident: str) -> Sequence[KeptAlert]:
        """The alerts of an incident, the newest first."""
        ...

    async def move(self, incident: str, to: str) -> int:
        """What belongs to one incident belongs to another now; returns how many."""
        ...


class Patrols(Protocol):
    """What light rounds of playbooks saw, and who is on one."""

    async def claim(
        self, playbooks: Collection[str], *, owner: str, every: timedelta, lease: timedelta
    ) -> PatrolClaim | None:
        """Take the round that has been due longest, by the database's clock; the next one is due `every` later.

        None when none is due, or while a round is out under its lease: one goes at a time, whatever the playbook and
        however many the bots, because all of them ask the same resolvers. A playbook's first round is due `every`
        after it is first named.
        """
        ...

    async def finish(self, claim: PatrolClaim) -> bool:
        """Give the claim back, with the incident it names; False when somebody else has the playbook by now."""
        ...

    async def keep(self, done: Round) -> None:
        """Insert a round; a second one of the same moment is dropped."""
        ...

    async def rounds(self, playbook: str, *, since: datetime, until: datetime, most: int) -> Sequence[Round]:
        """Rounds of a time, oldest first; of more than `most`, so many spread evenly over it."""
        ...

    async def lately(self, playbook: str, *, since: datetime, most: int) -> Sequence[int]:
        """From how many vantage points the newest rounds since then saw something red, newest first."""
        ...

    async def prune(self) -> None:
        """Drop what is older than 14 days, and of what is older than a day all but one round in ten minutes."""
        ...


class Overrides(Protocol):
    """Who takes over which shift. One that is cancelled ends there and then; one that had not begun never was."""

    async def add(self, override: Override) -> Override:
        """Insert; returns it with its id, "ovr-n"."""
        ...

    async def ending_after(self, at: datetime) -> Sequence[Override]:
        """Those that go on or begin after a moment, oldest first."""
        ...

    async def cancel(self, ident: str, *, by: str, at: datetime) -> Override | None:
        """End it now; returns it as it was. None: unknown, over or cancelled already."""
        ...


class Messages(Protocol):
    """What was said, by whom, so that the console can show it and edits find their message."""

    async def put(self, message: Message, *, at: datetime) -> int:
        """Insert, or replace the blocks of the same key; returns the revision, 1 for a new message."""
        ...

    async def list(self, room: str, *, limit: int = 200) -> Sequence[tuple[Message, int, datetime]]:
        """(message, revision, first said at), oldest first."""
        ...

    async def changed(self, room: str, *, since: datetime) -> Sequence[tuple[Message, int]]:
        """(message, revision) of what was said or edited since then, by the clocks of those who said it."""
        ...


class Outbox(Protocol):
    """Things to send, claimed for a while by one sender at a time."""

    async def add(self, row: OutboxRow) -> bool:
        """Queue; False when the key is known. A "chat" key that is known gets the new payload and is due again."""
        ...

    async def claim(
        self, *, owner: str, limit: int, lease_s: float, kind: str | None = None, but: Sequence[str] = ()
    ) -> Sequence[OutboxRow]:
        """Take due rows whose lease is free, by the database's clock; each claim raises the generation.

        Pages come before chat. A room has one chat row out at a time, and one that has to wait for its next try lets
        none past, so its messages keep their order. Rooms whose key begins with one of `but` are left to others.
        """
        ...

    async def lease_left(self, row: OutboxRow, *, owner: str) -> timedelta | None:
        """How much longer a claim holds, by the database's clock, cancelled or not; None when it is lost."""
        ...

    async def ref(self, key: str) -> str | None:
        """The reference of what was sent under a key; None when it was not."""
        ...

    async def held_up(self, *, tries: int, most: int = 100) -> Sequence[OutboxRow]:
        """What waits in rooms where a message of an incident failed so many times, oldest first."""
        ...

    async def finish(
        self,
        row: OutboxRow,
        *,
        state: str,
        ref: str | None = None,
        error: str | None = None,
        retry_at: datetime | None = None,
    ) -> bool:
        """Record the result: state "sent", "failed", "cancelled" or "pending" with `retry_at`.

        False when somebody else has claimed the row since (fenced on the generation), or a chat row has a
        newer payload, which stays due.
        """
        ...

    async def cancel(self, *, incident: str) -> int:
        """Cancel the incident's pages that are not sent yet; returns how many."""
        ...

    async def pages_since(self, due: timedelta) -> Sequence[OutboxRow]:
        """Pages that became due at most so long ago by the database's clock, whatever became of them; newest first."""
        ...

    async def live(self, *, incident: str) -> bool:
        """Whether a page of the incident waits or is out."""
        ...


class Escalations(Protocol):
    """Where the escalation of each incident stands; its `due_at` is the timer. Lock the incident first."""

    async def begin(self, escalation: Escalation) -> None:
        """Insert, in place of an earlier one of the incident."""
        ...

    async def get(self, incident: str) -> Escalation | None:
        """The incident's, locked until the transaction ends where the database can."""
        ...

    async def save(self, escalation: Escalation) -> None:
        """Write back one read in this transaction."""
        ...

    async def claim(self) -> Escalation | None:
        """One that is due by the database's clock, locked together with its incident until the transaction ends.

        None when none is due, or others have all that are. There is no I/O in such a transaction, so it needs no
        lease: a crash rolls it back.
        """
        ...

    async def next_in(self) -> timedelta | None:
        """How long until the next one is due, by the database's clock; zero or less when one is; None for none."""
        ...

    async def unwatched(self, *, most: int = 100) -> Sequence[str]:
        """Incidents that may break the rule: open, unacknowledged, escalation begun, and neither timer nor live page.

        Those whose escalation is over are among them: whether it may be is a matter of severity and policy.
        """
        ...


class Calls(Protocol):
    """Who was called, through whom, and what came of it: one row for each page. Lock the incident first."""

    async def add(self, call: CallMade) -> None:
        """Insert."""
        ...

    async def get(self, key: str) -> CallMade | None:
        """By the page's key."""
        ...

    async def save(self, call: CallMade) -> None:
        """Write back."""
        ...

    async def list(self, incident: str, *, step: int | None = None) -> Sequence[CallMade]:
        """The incident's calls, or those of one step, in the order they were queued."""
        ...

    async def cancel(self, incident: str) -> Sequence[CallMade]:
        """Those that are queued become cancelled; returns the ones in flight, which only a provider can stop."""
        ...

    async def sent_since(self, *, pager: str, person: str, since: datetime) -> Sequence[datetime]:
        """When this provider took calls to this person, oldest first."""
        ...


class Nights(Protocol):
    """What past incidents came to."""

    async def opened(self, *, since: datetime, until: datetime) -> Sequence[Night]:
        """Incidents opened in [since, until), oldest first; those merged into another are left out."""
        ...


class Spool(Protocol):
    """A place beside the database for what must not be lost while that is away.

    The methods block, and may raise OSError.
    """

    def put(self, key: str, document: Mapping[str, Any]) -> None:
        """Write, in place of an earlier document of the key, and return when it is on the disk."""
        ...

    def all(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """(key, document), oldest first."""
        ...

    def remove(self, key: str) -> None:
        """Take it out."""
        ...

    def set_aside(self, key: str) -> None:
        """Keep it for people to look at, and out of the way."""
        ...


class Inbox(Protocol):
    """Which inbound messages were already taken in."""

    async def first(self, key: str, *, at: datetime) -> bool:
        """True exactly once for each key."""
        ...


class Settings(Protocol):
    """Small facts the installation keeps for itself: the hub's signing key, the agents it has enrolled."""

    async def get(self, key: str) -> str | None:
        """The value, or None when it was never put."""
        ...

    async def put(self, key: str, value: str) -> None:
        """Insert or replace."""
        ...

    async def swap(self, key: str, old: str, new: str) -> bool:
        """Replace the value if it still is `old`; of several bots that try, one succeeds."""
        ...

    async def keep(self, key: str, value: str) -> str:
        """Insert unless it is there; returns what is there now: of several bots that start together, the first's."""
        ...


class Enrolments(Protocol):
    """Which agents are known by which keys, and who is invited."""

    async def get(self, name: str) -> Enrolled | None:
        """The agent of that name, locked until the transaction ends where the database can."""
        ...

    async def put(self, agent: Enrolled) -> None:
        """Insert, in place of an earlier key of that name."""
        ...

    async def list(self) -> Sequence[Enrolled]:
        """All of them, by name."""
        ...

    async def remove(self, name: str) -> bool:
        """Take a key away; False when the name is unknown."""
        ...

    async def invite(self, invitation: Invitation) -> None:
        """Insert."""
        ...

    async def invited(self, ident: str) -> Invitation | None:
        """An invitation, used or not."""
        ...

    async def redeem(self, ident: str, *, at: datetime) -> bool:
        """Use an invitation up; True exactly once, and only before it expires."""
        ...


class Actions(Protocol):
    """Action items of incidents."""

    async def add(self, action: ActionItem) -> ActionItem:
        """Insert; returns it with its id."""
        ...

    async def get(self, ident: str) -> ActionItem | None:
        """By id, locked until the transaction ends where the database can."""
        ...

    async def save(self, action: ActionItem) -> None:
        """Write back one that was read in this transaction."""
        ...

    async def list(
        self, *, incident: str | None = None, only_open: bool = False, limit: int = 200
    ) -> Sequence[ActionItem]:
        """Of an incident, else of all; those that are due first come first."""
        ...

    async def claim_reminder(self) -> ActionItem | None:
        """An open one whose `remind_at` is past by the database's clock, locked; None when none is."""
        ...


class Memories(Protocol):
    """What is remembered of incidents, for the next one of the kind."""

    async def put(self, memory: Memory) -> None:
        """Insert, in place of what was remembered before."""
        ...

    async def recent(self, *, limit: int) -> Sequence[Memory]:
        """The newest first."""
        ...

    async def missing(self, *, limit: int) -> Sequence[Incident]:
        """Incidents that are over and not remembered, the newest first."""
        ...


class Tx(Protocol):
    """One transaction: all of it happens or none of it."""

    async def now(self) -> datetime:
        """The database's clock, by which timers and leases are judged."""
        ...

    @property
    def timeline(self) -> Timeline: ...
    @property
    def incidents(self) -> Incidents: ...
    @property
    def rooms(self) -> Rooms: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def watches(self) -> Watches: ...
    @property
    def changes(self) -> Changes: ...
    @property
    def alerts(self) -> Alerts: ...
    @property
    def patrols(self) -> Patrols: ...
    @property
    def overrides(self) -> Overrides: ...
    @property
    def memories(self) -> Memories: ...
    @property
    def actions(self) -> Actions: ...
    @property
    def messages(self) -> Messages: ...
    @property
    def escalations(self) -> Escalations: ...
    @property
    def calls(self) -> Calls: ...
    @property
    def nights(self) -> Nights: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def enrolments(self) -> Enrolments: ...
    @property
    def settings(self) -> Settings: ...


class Store(Protocol):
    """The database."""

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        """A transaction, committed on leaving without an error. Raises StoreUnavailable."""
        ...

    async def check(self) -> str | None:
        """Why the database cannot be used, in one sentence with the fix, or None when it can."""
        ...
