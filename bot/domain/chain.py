"""The record as a chain: each entry's hash is over the one before it and its own content (docs/design/010).

An edit, a removed row and a forged one show when the chain is read again. A cut tail shows against the head that is
kept beside the chain, and against the one that an export has printed, which nobody can take back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from bot.domain.text import Text

BEGINNING = "0" * 64
"""What the first entry of every chain follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What is hashed of an entry. `data` is the JSON text as it is kept; moments are aware."""

    kind: str
    at: datetime
    recorded_at: datetime
    actor: str
    room: str
    incident: str | None
    run: str | None
    zh: str
    en: str
    data: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """An entry as it is found: its place, its hash and its content."""

    seq: int
    chain: str
    link: int
    hash: str
    content: Content


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainHead:
    """The end of a chain. `name` is the incident, or "run:ID" for what a run recorded while it had none."""

    name: str
    length: int
    hash: str


class Break(StrEnum):
    """How a chain can be broken."""

    EDITED = "edited"
    REMOVED = "removed"
    CUT = "cut"
    ADDED = "added"
    LOST = "lost"
    """A head that an export has printed is not there any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that is wrong with a chain; `seq` is the entry's number where it is there."""

    chain: str
    kind: Break
    link: int
    seq: int | None = None

    @property
    def text(self) -> Text:
        """In words."""
        where = f"{self.chain} #{self.link}" if self.link else self.chain
        entry = f" (seq {self.seq})" if self.seq is not None else ""
        said = {
            Break.EDITED: Text("内容或次序被改过", "was edited, or does not follow the one before it"),
            Break.REMOVED: Text("被删掉了", "was removed"),
            Break.CUT: Text("之后的记录被截掉了", "is the last, and the chain was longer: its tail was cut"),
            Break.LOST: Text(
                "曾经导出过，现在链上没有：记录被改写或截短了", "was printed, and no entry has this hash now"
            ),
            Break.ADDED: Text("不在链上，是后来加进去的", "stands outside the chain: it was put there by other means"),
        }[self.kind]
        return Text(f"{where}{entry} {said.zh}", f"{where}{entry} {said.en}")


def hash_of(previous: str, chain: str, link: int, content: Content) -> str:
    """SHA-256 over the hash before, the place and the content, as 64 hex digits.

    The content is a JSON array, so that no two contents read the same; moments are UTC to the microsecond.
    """
    c = content
    words = (c.kind, _moment(c.at), _moment(c.recorded_at), c.actor, c.room, c.incident, c.run, c.zh, c.en, c.data)
    said = ",".join(["null" if word is None else _quoted(word) for word in words])
    return hashlib.sha256(f"[{_quoted(previous)},{_quoted(chain)},{link},{said}]".encode()).hexdigest()


_quoted = json.encoder.encode_basestring_ascii
"""A JSON string in ASCII: the array is put together by hand, which is half the time of hashing an entry."""


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def check(head: ChainHead, kept: Sequence[Kept]) -> list[Fault]:
    """What is wrong with a chain, given its entries by `link`. Goes on after a fault, so that each is named."""
    faults: list[Fault] = []
    previous, expected = BEGINNING, 1
    for one in kept:
        for link in range(expected, one.link):
            faults.append(Fault(chain=head.name, kind=Break.REMOVED, link=link))
            previous = ""  # what stood here is gone, so nothing can be said of the one after it
        if previous and hash_of(previous, head.name, one.link, one.content) != one.hash:
            faults.append(Fault(chain=head.name, kind=Break.EDITED, link=one.link, seq=one.seq))
        previous, expected = one.hash, one.link + 1
    last = expected - 1
    if last < head.length:
        faults.append(Fault(chain=head.name, kind=Break.CUT, link=last))
    elif last > head.length or (previous or head.hash) != head.hash:
        faults.append(Fault(chain=head.name, kind=Break.EDITED, link=last))
    return faults
