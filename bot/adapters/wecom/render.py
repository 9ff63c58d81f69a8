"""A neutral message as WeCom's markdown. Pure: what is sent where, and in how many parts, is decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.adapters.wecom.matrix import matrix_lines
from bot.adapters.wecom.text import FENCE, harmless, mention
from bot.app.plain import COLON, TONES
from bot.domain.message import (
    Block,
    Bullets,
    Buttons,
    Code,
    File,
    Header,
    Matrix,
    Message,
    Paragraph,
    Progress,
    Ranking,
    Table,
)
from bot.domain.text import Lang, Text, percent

MOST_FOLDED = 3
MOST_ROWS = 200
"""Of a table; what is long is cut into parts or goes as a file, see `Said.parts`."""
MOST_SHARES = 4
MORE = Text("另有 {n} 项，见控制台或 /timeline", "{n} more, in the console or /timeline")


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How a kind of room wants its text.

    `typed` is what stands before a command people type instead of pressing a button ("@Warroom "); None leaves
    buttons out, and so are those whose commands are `carded`. `fences`: code may stand in a code block.
    """

    lang: Lang
    typed: str | None = None
    carded: frozenset[str] = frozenset()
    fences: bool = False


def markdown(message: Message, style: Style) -> str:
    """The whole message as text, mentions first."""
    lines = [line for block in message.blocks for line in _lines(block, style)]
    called = " ".join(filter(None, map(mention, message.mention)))
    return "\n".join([called, *lines] if called else lines)


def moving(message: Message) -> bool:
    """Whether this is a picture of something that goes on: it is worth an edit, never a message of its own."""
    return any(isinstance(b, Progress) or (isinstance(b, Header) and b.tone == "busy") for b in message.blocks)


def _lines(block: Block, style: Style) -> Iterator[str]:
    lang = style.lang
    match block:
        case Header(text=text, tone=tone, sub=sub):
            yield f"{TONES[tone]} **{_one(text, lang)}**"
            if sub:
                yield f"> {_one(sub, lang)}"
        case Paragraph(text=text, label=label):
            yield (f"**{_one(label, lang)}**{COLON.in_(lang)}" if label else "") + harmless(text.in_(lang))
        case Bullets():
            yield from _bullets(block, lang)
        case Ranking(shares=shares):
            ranked = [f"{percent(s.share)} {_one(s.title, lang)}" for s in shares[:MOST_SHARES]]
            yield "> " + " · ".join(ranked)
        case Matrix():
            yield from matrix_lines(block, lang)
        case Progress(done=done, total=total, text=text):
            yield f"{done}/{total} · {_one(text, lang)}"
        case Table():
            yield from _table(block, lang)
        case Buttons(buttons=buttons) if style.typed is not None:
            left = [b for b in buttons if b.command not in style.carded]
            yield from (f"{_one(b.label, lang)}{COLON.in_(lang)}{_command(style.typed + b.command)}" for b in left)
        case File(name=name, title=title):
            yield f"📎 {_one(title, lang)} ({harmless(name)})"
        case Code(text=text):
            yield from _code(text, style)


def _one(text: Text, lang: Lang) -> str:
    """On one line: what stands inside bold or a quote must not end it."""
    return " ".join(harmless(text.in_(lang)).split())


def _bullets(block: Bullets, lang: Lang) -> Iterator[str]:
    if block.label:
        yield f"**{_one(block.label, lang)}**"
    items = block.items[:MOST_FOLDED] if block.folded else block.items
    yield from (f" · {harmless(item.in_(lang))}" for item in items)
    if len(items) < len(block.items):
        yield f" · {MORE.in_(lang).format(n=len(block.items) - len(items))}"


def _table(block: Table, lang: Lang) -> Iterator[str]:
    """Rows as lines: WeCom's application messages have no tables, and columns do not align in their font."""
    yield "**" + " · ".join(_one(c, lang) for c in block.columns) + "**"
    for row in block.rows[:MOST_ROWS]:
        yield " · ".join(" ".join(harmless(cell).split()) or "–" for cell in row)
    if len(block.rows) > MOST_ROWS:
        yield MORE.in_(lang).format(n=len(block.rows) - MOST_ROWS)


def _command(line: str) -> str:
    return f"`{harmless(line)}`"


def _code(text: str, style: Style) -> Iterator[str]:
    lines: Sequence[str] = harmless(text).splitlines()
    if style.fences:
        yield from (FENCE, *lines, FENCE)
    else:
        yield from (f"> {line}" for line in lines)
