"""What goes into the outbox, when it is tried again, and what the timeline says of a page: rules without I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.app.ports import OutboxRow
from bot.domain.errors import SendFailed
from bot.domain.incident import Incident
from bot.domain.message import Message, from_json, to_json
from bot.domain.page import Page, Person
from bot.domain.text import Text

LONGEST_WAIT_S = 30.0
TRIES_PER_PAGER = 2
"""After so many tries that were not refused for good, a page goes to the next provider (and round again)."""
PATIENCE_S = 5.0
"""A provider that asks for a longer pause is passed over: a throttled page must move on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Try again at this time."""

    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveUp:
    """Nobody will accept this as it stands."""

    reason: str


def decide(row: OutboxRow, error: SendFailed, now: datetime) -> Retry | GiveUp:
    """What to do after a failed try: 1, 2, 4 ... 30 s later, or as the other side asked, unless refused for good."""
    if error.permanent:
        return GiveUp(reason=str(error))
    wait = min(LONGEST_WAIT_S, 2.0 ** min(max(row.attempts - 1, 0), 10))
    return Retry(at=now + timedelta(seconds=max(wait, error.retry_after_s or 0.0)))


def outdated(row: OutboxRow, incident: Incident | None) -> bool:
    """Whether a page must not go out any more.

    An acknowledgement raises the incident's epoch. A page queued under epoch 0 is older than any
    acknowledgement; one queued after it ("call the DBA as well") carries the new epoch and is sent.
    """
    if incident is None:
        return False
    acked = incident.acked_at is not None and row.epoch == 0
    return acked or not incident.is_open or incident.epoch > row.epoch


def first_pager(pagers: int, attempts: int) -> int:
    """The provider a try begins with: each gets `TRIES_PER_PAGER` tries in turn. `attempts` counts from 1."""
    return (max(attempts - 1, 0) // TRIES_PER_PAGER) % pagers


def moves_on(error: SendFailed) -> bool:
    """Whether the next provider is asked at once: refused for good, or told to wait for longer than is decent."""
    return error.permanent or (error.retry_after_s or 0.0) > PATIENCE_S


def all_refused(errors: Mapping[str, SendFailed]) -> SendFailed:
    """What it means that every provider moved the page on: permanent only when all of them refuse for good."""
    reason = "; ".join(f"{name}: {error}" for name, error in errors.items())
    waits = [error.retry_after_s or 0.0 for error in errors.values() if not error.permanent]
    return SendFailed(reason, permanent=not waits, retry_after_s=min(waits, default=None))


def page_row(page: Page, *, due_at: datetime) -> OutboxRow:
    """A page as an outbox row."""
    payload = {"page": dataclasses.asdict(page)}
    return OutboxRow(
        key=page.key, kind="page", payload=payload, due_at=due_at, incident=page.incident or None, epoch=page.epoch
    )


_PLAIN = ("key", "room", "author", "answers", "thread", "pinned", "mention")
"""Fields of a message that are JSON as they stand."""


def chat_key(room: str, message: str) -> str:
    """The key of a message's row, by the keys of its room and of itself."""
    return f"chat:{room}:{message}"


def chat_row(message: Message, *, due_at: datetime, incident: str | None = None) -> OutboxRow:
    """A message as an outbox row; the same message again is an edit of it."""
    said = {name: getattr(message, name) for name in _PLAIN} | {"blocks": to_json(message.blocks)}
    key = chat_key(message.room, message.key)
    return OutboxRow(key=key, kind="chat", payload={"message": said}, due_at=due_at, incident=incident)


def read_page(payload: Mapping[str, Any]) -> Page:
    """The inverse of `page_row`. Raises KeyError or TypeError on a payload that is no page."""
    row = payload["page"]
    return Page(**{**row, "person": Person(**row["person"])})


def read_message(payload: Mapping[str, Any]) -> Message:
    """The inverse of `chat_row`. Raises KeyError or TypeError on a payload that is no message."""
    row = payload["message"]
    plain = {name: row[name] for name in _PLAIN if name in row}
    return Message(**{**plain, "mention": tuple(row.get("mention", ())), "blocks": from_json(row["blocks"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """Handed to a provider."""

    page: Page
    pager: str
    ref: str

    def text(self, *, late: bool) -> Text:
        """What the timeline says of it."""
        name = self.page.person.name
        said = Text(f"已通过 {self.pager} 呼叫 {name}", f"called {name} through {self.pager}")
        return said + Text("（确认时电话已拨出）", " (already dialled when the acknowledgement came)") if late else said

    def facts(self) -> dict[str, str]:
        """What the timeline's entry holds of it."""
        return {"state": "sent", "pager": self.pager, "ref": self.ref}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancelled:
    """Not sent: acknowledged or resolved before."""

    page: Page

    def text(self, *, late: bool) -> Text:
        """What the timeline says of it."""
        name = self.page.person.name
        return Text(
            f"不再呼叫 {name}：已有人确认或故障已恢复", f"{name} is not called: acknowledged or resolved before"
        )

    def facts(self) -> dict[str, str]:
        """What the timeline's entry holds of it."""
        return {"state": "cancelled"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """Not sent: nobody will take it."""

    page: Page
    reason: str

    def text(self, *, late: bool) -> Text:
        """What the timeline says of it."""
        name = self.page.person.name
        return Text(f"无法呼叫 {name}：{self.reason}", f"{name} cannot be called: {self.reason}")

    def facts(self) -> dict[str, str]:
        """What the timeline's entry holds of it."""
        return {"state": "failed", "error": self.reason}


@dataclass(frozen=True, kw_only=True, slots=True)
class Delayed:
    """Not sent for now: every provider wants more time than is decent. It stays queued, and the timeline waits."""

    page: Page
    reason: str


Result = Sent | Cancelled | Refused | Delayed
