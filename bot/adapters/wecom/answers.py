"""Answers to what people said to the robot: each is one stream, edited in place while it lives."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bot.adapters.wecom.reading import Heard

STREAM_S = 330.0
"""WeCom ends a stream after six minutes; half a minute earlier it is ended with its latest text."""
UNANSWERED_S = 60.0
"""A message nothing is said to gets an end all the same: somebody may have three of them open, no more."""
MOST = 2000
RECEIVED = "⏳"
DONE = "✓"


@dataclass(kw_only=True)
class Answer:
    """The stream that answers one message. `key` is that of the message shown in it; times are monotonic seconds."""

    heard: Heard
    req_id: str
    began: float
    stream_id: str = field(default_factory=lambda: f"wr{secrets.token_hex(12)}")
    key: str = ""
    text: str = ""
    shown: str = ""
    """What WeCom has of it."""
    sent_at: float = float("-inf")
    unsure: bool = False
    """Its end was sent, and nobody knows whether that arrived."""
    placed: bool = False
    """Whether something of it stands in the room."""
    closed: bool = False


class Answers:
    """The latest answers, by message and by stream."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._by_message: OrderedDict[str, Answer] = OrderedDict()
        self._by_stream: dict[str, Answer] = {}

    def open(self, heard: Heard, req_id: str) -> Answer | None:
        """Begin one; None when the message is known already."""
        if heard.msgid in self._by_message:
            return None
        answer = Answer(heard=heard, req_id=req_id, began=self._now())
        self._by_message[heard.msgid] = answer
        self._by_stream[answer.stream_id] = answer
        while len(self._by_message) > MOST:
            _, old = self._by_message.popitem(last=False)
            del self._by_stream[old.stream_id]
        return answer

    def forget(self, msgid: str) -> None:
        """It could not be taken in: let it come again."""
        answer = self._by_message.pop(msgid, None)
        if answer is not None:
            del self._by_stream[answer.stream_id]

    def known(self, msgid: str) -> Answer | None:
        """The answer to a message."""
        return self._by_message.get(msgid)

    def stream(self, stream_id: str) -> Answer | None:
        """By the stream's id."""
        return self._by_stream.get(stream_id)

    def claim(self, msgid: str, key: str, room: str) -> Answer | None:
        """The living answer of a message for what is said under `key`; it belongs to the first that asks."""
        answer = self._by_message.get(msgid)
        if answer is None or answer.closed or answer.heard.room != room or self.over(answer):
            return None
        if not answer.key:
            answer.key = key
        return answer if answer.key == key else None

    def over(self, answer: Answer) -> bool:
        """Whether its time is up."""
        return self._now() - answer.began > STREAM_S

    def first(self, answer: Answer) -> bool:
        """Whether every earlier answer of its room has its place: what comes later must not stand before it."""
        mine = [a for a in self.living() if a.heard.room == answer.heard.room and a.req_id]
        return all(a.placed for a in mine[: mine.index(answer)]) if answer in mine else True

    def living(self) -> Iterator[Answer]:
        """Those that are not closed."""
        yield from [a for a in self._by_message.values() if not a.closed]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ref:
    """What was sent, so that an edit knows what stands there: kept as text with the message, by any bot.

    `kind` is "s" for a stream, "m" for a message that cannot be changed, "c" for a card of the application, whose
    `code` changes it once. `digest` tells whether the same is asked for again, `files` whether the same files are.
    """

    kind: str
    ident: str
    digest: str
    files: str = ""
    code: str = ""

    def __str__(self) -> str:
        return " ".join((self.kind, self.ident or "-", self.digest or "-", self.files or "-", self.code or "-"))

    @classmethod
    def read(cls, text: str) -> Ref:
        """The inverse; a text of another kind is one that fits nothing."""
        words = ["" if word == "-" else word for word in text.split(" ")]
        if len(words) != 5:
            return cls(kind="m", ident=text[:64].replace(" ", "_"), digest="")
        return cls(kind=words[0], ident=words[1], digest=words[2], files=words[3], code=words[4])


def digest(*parts: str | bytes) -> str:
    """Twelve characters that tell one content from another."""
    known = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        known.update(len(raw).to_bytes(8, "big") + raw)
    return known.hexdigest()[:12]
