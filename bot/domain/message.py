"""Neutral messages: what is said, without how a platform draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bot.domain.text import Text

Tone = Literal["bad", "good", "warn", "info", "busy"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """The first line: the answer. `sub` is the small print beside it."""

    text: Text
    tone: Tone = "info"
    sub: Text | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph:
    """A sentence or two; `label` is set in bold before it."""

    text: Text
    label: Text | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bullets:
    """A list under an optional label. `folded` may be hidden behind one tap."""

    items: tuple[Text, ...]
    label: Text | None = None
    folded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One ranked hypothesis: its share 0..1 and the evidence behind it, with weights in log-odds."""

    id: str
    title: Text
    share: float
    evidence: tuple[tuple[Text, float], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """The hypotheses in order."""

    shares: tuple[Share, ...]


CellState = Literal["up", "lossy", "down", "slow", "none", "missing", "pending", "denied"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixCell:
    """One cell: `text` is what fits ("11%"), `hint` what a reader may want to know of it.

    "none" is not asked here, "missing" is asked and not answered, "denied" refused by the agent's policy.
    """

    state: CellState
    text: str = ""
    hint: Text | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """Rows are layers, columns vantage points; every row has one cell for each column."""

    columns: tuple[Text, ...]
    rows: tuple[tuple[Text, tuple[MatrixCell, ...]], ...]
    groups: tuple[tuple[Text, int], ...] = ()
    """Headings over the columns with how many each spans."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far long work has come."""

    done: int
    total: int
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A compact table of text."""

    columns: tuple[Text, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Button:
    """Does what its command does."""

    label: Text
    command: str
    primary: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Buttons:
    """A row of buttons."""

    buttons: tuple[Button, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """Verbatim text."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file to take away. `content` is text, or base64 where `encoded`."""

    name: str
    title: Text
    content: str
    media_type: str = "text/markdown"
    encoded: bool = False


Block = Header | Paragraph | Bullets | Ranking | Matrix | Progress | Table | Buttons | Code | File


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """Something said in a room. Saying it again under the same `key` edits it in place.

    `answers` is the platform's id of the message it answers, `thread` the key of an earlier message it belongs under;
    a platform that has neither says it in the room. `pinned` is kept in sight. `mention` are ids of accounts of the
    room's platform that must notice it.
    """

    key: str
    room: str
    blocks: tuple[Block, ...]
    author: str = "warroom"
    answers: str = ""
    thread: str = ""
    pinned: bool = False
    mention: tuple[str, ...] = ()


def to_json(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Blocks as JSON, each with its "type"; texts as {"zh", "en"}."""
    return [{"type": type(b).__name__.lower(), **{k: _dump(getattr(b, k)) for k in b.__slots__}} for b in blocks]


def from_json(rows: Sequence[Mapping[str, Any]]) -> tuple[Block, ...]:
    """The inverse of `to_json`. Raises KeyError or TypeError on rows that are no blocks."""
    return tuple(_LOADERS[row["type"]]({k: v for k, v in row.items() if k != "type"}) for row in rows)


def _dump(value: Any) -> Any:
    if isinstance(value, Text):
        return value.to_json()
    if isinstance(value, (list, tuple)):
        return [_dump(v) for v in value]
    if hasattr(value, "__slots__"):
        return {k: _dump(getattr(value, k)) for k in value.__slots__}
    return value


def _text(value: Any) -> Text:
    return Text(zh=value["zh"], en=value["en"])


def _maybe(value: Any) -> Text | None:
    return _text(value) if value else None


def _cell(value: Mapping[str, Any]) -> MatrixCell:
    return MatrixCell(state=value["state"], text=value["text"], hint=_maybe(value["hint"]))


def _share(value: Mapping[str, Any]) -> Share:
    evidence = tuple((_text(t), float(w)) for t, w in value["evidence"])
    return Share(id=value["id"], title=_text(value["title"]), share=value["share"], evidence=evidence)


_LOADERS: dict[str, Any] = {
    "header": lambda v: Header(text=_text(v["text"]), tone=v["tone"], sub=_maybe(v["sub"])),
    "paragraph": lambda v: Paragraph(text=_text(v["text"]), label=_maybe(v["label"])),
    "bullets": lambda v: Bullets(
        items=tuple(_text(i) for i in v["items"]), label=_maybe(v["label"]), folded=v["folded"]
    ),
    "ranking": lambda v: Ranking(shares=tuple(_share(s) for s in v["shares"])),
    "matrix": lambda v: Matrix(
        columns=tuple(_text(c) for c in v["columns"]),
        rows=tuple((_text(t), tuple(_cell(c) for c in cells)) for t, cells in v["rows"]),
        groups=tuple((_text(t), int(n)) for t, n in v["groups"]),
    ),
    "progress": lambda v: Progress(done=v["done"], total=v["total"], text=_text(v["text"])),
    "table": lambda v: Table(columns=tuple(_text(c) for c in v["columns"]), rows=tuple(tuple(r) for r in v["rows"])),
    "buttons": lambda v: Buttons(
        buttons=tuple(Button(label=_text(b["label"]), command=b["command"], primary=b["primary"]) for b in v["buttons"])
    ),
    "code": lambda v: Code(text=v["text"]),
    "file": lambda v: File(**{**v, "title": _text(v["title"])}),
}
