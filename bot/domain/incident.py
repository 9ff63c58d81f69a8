"""Rooms, incidents, runs and the entries of the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.domain.text import Lang


class IncidentState(StrEnum):
    """Where an incident stands."""

    DECLARED = "declared"
    """Nobody has looked at it yet."""
    INVESTIGATING = "investigating"
    MITIGATED = "mitigated"
    """It does not hurt any more, and its cause is still there."""
    RESOLVED = "resolved"
    CLOSED = "closed"
    """Resolved and done with: nothing is left to do."""


class Move(StrEnum):
    """What can happen to an incident; the words people type, but for the first one."""

    INVESTIGATE = "investigate"
    """Somebody looks at it: an acknowledgement, a `/diag`."""
    MITIGATE = "mitigate"
    RESOLVE = "resolve"
    CLOSE = "close"
    REOPEN = "reopen"


_D, _I, _M, _R, _C = IncidentState
MOVES: Mapping[tuple[IncidentState, Move], IncidentState] = {
    (_D, Move.INVESTIGATE): _I,
    (_D, Move.MITIGATE): _M,
    (_D, Move.RESOLVE): _R,
    (_I, Move.MITIGATE): _M,
    (_I, Move.RESOLVE): _R,
    (_M, Move.REOPEN): _I,
    (_M, Move.RESOLVE): _R,
    (_R, Move.REOPEN): _I,
    (_R, Move.CLOSE): _C,
    (_C, Move.REOPEN): _I,
}
"""The whole lifecycle: what is not here does not happen."""
OPEN = frozenset({_D, _I, _M})
"""Somebody has to do something about it."""
ESCALATING = frozenset({_D, _I})
"""People are called while nobody has acknowledged."""


def moves_of(state: IncidentState) -> tuple[Move, ...]:
    """What can happen next."""
    return tuple(move for at, move in MOVES if at is state)


class Role(StrEnum):
    """Who does what."""

    COMMANDER = "commander"
    """Decides; there is one."""
    SCRIBE = "scribe"
    """Writes down; there is one."""
    LIAISON = "liaison"
    """Talks to customers and vendors; there is one."""
    RESPONDER = "responder"
    """Works on it; as many as there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Impact:
    """What is broken for whom: a sentence, named customers, and an amount as it was typed ("3,000/h")."""

    text: str = ""
    customers: tuple[str, ...] = ()
    amount: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.customers or self.amount)


@dataclass(frozen=True, kw_only=True, slots=True)
class VendorCase:
    """Another company that was asked for help: when, under which ticket, and when it first answered."""

    name: str
    asked_at: datetime
    ticket: str = ""
    replied_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusUpdate:
    """The latest thing people were told."""

    text: str
    by: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """A place where people talk: `platform` and the platform's own id make the key "platform:id"."""

    key: str
    title: str
    lang: Lang = "zh"
    incident: str | None = None
    lang_chosen: bool = True
    """False where nobody chose a language: the configuration's is spoken, also after that has changed."""
    mirror_of: str | None = None
    """The room, mostly on another platform, that this one shows: what is said in either stands in both."""

    @property
    def platform(self) -> str:
        """The chat platform the room is on."""
        return self.key.partition(":")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """Something broken that somebody has taken on. `id` reads "INC-42", `severity` "sev1" to "sev4".

    `update_due_at` is when a status update is asked for, `commander_due_at` when a commander is; None: not at all.
    Both are timers on the database's clock. `snoozed` is until when people asked not to be reminded.
    """

    id: str
    title: str
    severity: str
    state: IncidentState
    room: str
    origin_room: str
    opened_at: datetime
    opened_by: str
    resolved_at: datetime | None = None
    acked_at: datetime | None = None
    acked_by: str | None = None
    epoch: int = 0
    """Counts acknowledgements; a page queued under an older epoch is not sent."""
    playbook: str = ""
    """The one that was run when it was opened."""
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Who holds which `Role`; no empty ones."""
    environments: tuple[str, ...] = ()
    impact: Impact = field(default_factory=Impact)
    update: StatusUpdate | None = None
    vendors: tuple[VendorCase, ...] = ()
    merged_into: str | None = None
    update_due_at: datetime | None = None
    commander_due_at: datetime | None = None
    snoozed: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody has to do something about it."""
        return self.state in OPEN

    @property
    def escalates(self) -> bool:
        """Whether people are called as long as nobody has it."""
        return self.state in ESCALATING

    @property
    def commander(self) -> str | None:
        """Who decides; None while nobody does."""
        return next(iter(self.roles.get(Role.COMMANDER, ())), None)

    @property
    def rooms(self) -> tuple[str, ...]:
        """Where it is talked about: the war room, and the room it was found in."""
        return tuple(dict.fromkeys((self.room, self.origin_room)))

    def after(self, move: Move) -> Incident | None:
        """As it stands after a move, timers and dates of resolving aside; None: that cannot happen now."""
        to = MOVES.get((self.state, move))
        return replace(self, state=to) if to is not None else None

    def looked_at(self) -> Incident:
        """Somebody looks at it now, if nobody did before."""
        return self.after(Move.INVESTIGATE) or self


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Which incidents are wanted; "" and None mean any. `text` is looked for in title, impact and id."""

    text: str = ""
    severity: str = ""
    is_open: bool | None = None


EVERYTHING = Search()


class EntryKind(StrEnum):
    """What the timeline records."""

    COMMAND = "command"
    PROBES = "probes"
    VERDICT = "verdict"
    PAGE = "page"
    CALL = "call"
    ACK = "ack"
    ESCALATION = "escalation"
    NOTE = "note"
    INCIDENT = "incident"
    VENDOR = "vendor"
    ONCALL = "oncall"
    WATCH = "watch"
    CHANGE = "change"
    ALERT = "alert"
    NOTICE = "notice"
    RECOVERY = "recovery"
    CORRECTION = "correction"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One append-only line of the timeline: `at` is when it happened, `seq` the order it was recorded in.

    `text` is one sentence in each language; `data` holds the structured act.
    """

    kind: EntryKind
    at: datetime
    actor: str
    room: str
    zh: str
    en: str
    incident: str | None = None
    run: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0
    recorded_at: datetime | None = None
    hash: str = ""
    """Over the entry before it in its chain and its own content (`bot.domain.chain`); "" outside of any chain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One `/diag`: a playbook asked from everywhere, and what came of it. `document` is the diag document."""

    id: str
    playbook: str
    room: str
    user: str
    started_at: datetime
    incident: str | None = None
    finished_at: datetime | None = None
    document: Mapping[str, Any] | None = None

    @property
    def war_key(self) -> str:
        """The key of its card in a war room that was made after it began; `id` is that of the card where it began."""
        return f"{self.id}-war"


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """A room that is told when a playbook's checks are green again: one for each room.

    `message` is the key of its card, `since` when the trouble was first looked at.
    """

    room: str
    playbook: str
    message: str
    since: datetime
    started_at: datetime
