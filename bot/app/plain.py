"""Messages as plain text, for terminals, files and platforms without layout."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from bot.domain.message import (
    Block,
    Bullets,
    Buttons,
    Code,
    File,
    Header,
    Matrix,
    MatrixCell,
    Paragraph,
    Progress,
    Ranking,
    Table,
)
from bot.domain.text import Lang, Text, percent

TONES = {"bad": "🔴", "good": "🟢", "warn": "🟡", "info": "🔵", "busy": "⏳"}
COLON = Text("：", ": ")
SYMBOLS = {
    "up": "✓",
    "down": "✗",
    "lossy": "◐",
    "slow": "◔",
    "none": "·",
    "missing": "?",
    "pending": "…",
    "denied": "⊘",
}


def plain(blocks: Sequence[Block], lang: Lang) -> str:
    """The message as lines of text; buttons appear as the commands they stand for."""
    return "\n".join(line for block in blocks for line in _lines(block, lang))


def width(text: str) -> int:
    """Columns a terminal uses: wide East Asian characters take two (Unicode TR 11)."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _lines(block: Block, lang: Lang) -> Iterator[str]:  # noqa: C901 - one case for each kind of block
    match block:
        case Header(text=text, tone=tone, sub=sub):
            yield f"{TONES[tone]} {text.in_(lang)}"
            if sub:
                yield f"   {sub.in_(lang)}"
        case Paragraph(text=text, label=label):
            yield (label.in_(lang) + COLON.in_(lang) if label else "") + text.in_(lang)
        case Bullets(items=items, label=label):
            if label:
                yield label.in_(lang)
            yield from (f" · {item.in_(lang)}" for item in items)
        case Ranking(shares=shares):
            for share in shares:
                yield f"{percent(share.share):>5}  {share.title.in_(lang)}  ({share.id})"
                yield from (f"         {weight:+.1f}  {text.in_(lang)}" for text, weight in share.evidence)
        case Matrix():
            yield from _matrix(block, lang)
        case Progress(done=done, total=total, text=text):
            yield f"{done}/{total} · {text.in_(lang)}"
        case Table(columns=columns, rows=rows):
            yield from grid([[c.in_(lang) for c in columns], *[list(r) for r in rows]])
        case Buttons(buttons=buttons):
            yield "  ".join(f"[{b.label.in_(lang)}: {b.command}]" for b in buttons)
        case File(name=name, title=title):
            yield f"📎 {title.in_(lang)} ({name})"
        case Code(text=text):
            yield from text.splitlines()


def _matrix(block: Matrix, lang: Lang) -> Iterator[str]:
    above = [""]
    for title, count in block.groups:
        above += [title.in_(lang), *[""] * (count - 1)]
    head = ["", *(c.in_(lang) for c in block.columns)]
    rows = [[title.in_(lang), *(_cell(c) for c in cells)] for title, cells in block.rows]
    yield from grid([above, head, *rows] if block.groups else [head, *rows])


def _cell(cell: MatrixCell) -> str:
    return cell.text or SYMBOLS[cell.state]


def grid(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of equal length as aligned lines."""
    widths = [max(width(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell + " " * (w - width(cell)) for cell, w in zip(row, widths, strict=True)).rstrip()
