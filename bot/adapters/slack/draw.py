"""Neutral blocks as Slack blocks: each within Slack's limits, in one language. No I/O.

What must be seen comes first and is the message; what one may want to look up ("details one tap away") goes into its
thread. `fit` packs both so that no message breaks a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bot.adapters.slack.matrix import matrix_rows, table_rows
from bot.adapters.slack.mrkdwn import bold, cut, length, mention, pieces, rich, verbatim
from bot.app.plain import COLON, TONES, grid, plain
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
    Share,
    Table,
)
from bot.domain.text import Lang, Text, percent

SlackBlock = dict[str, Any]

SECTION, HEADER, LABEL, VALUE, PER_ROW = 2900, 150, 75, 2000, 25
"""Characters of a section (3000 less the marks of code), a header, a button and its value; buttons in a row."""
SHORT_ITEMS, SHORT_CHARACTERS = 3, 300
"""A folded list up to this size is small print in place; a longer one goes into the thread."""
BAR = 12
DETAILS = Text("全部证据", "All the evidence")


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """`main` is the message, `details` what goes under it; `files` go with it. `text` is what notifications show."""

    main: tuple[SlackBlock, ...]
    details: tuple[SlackBlock, ...] = ()
    files: tuple[File, ...] = ()
    text: str


def draw(message: Message, lang: Lang, *, tables: bool = True) -> Drawn:
    """The message in one language. `tables`: whether table blocks may be used; one for each message."""
    pen = _Pen(lang, tables)
    for block in message.blocks:
        pen.add(block)
    called = " ".join(filter(None, map(mention, message.mention)))
    if called:
        pen.main.insert(0, _section(called))
    text = cut(f"{called} {rich_fallback(message.blocks, lang)}".strip(), 1000)
    files = tuple(b for b in message.blocks if isinstance(b, File))
    return Drawn(main=tuple(pen.main), details=tuple(pen.details), files=files, text=text)


def rich_fallback(blocks: Sequence[Block], lang: Lang) -> str:
    """What a notification or a screen reader gets: the message without its buttons and tables."""
    said = [b for b in blocks if not isinstance(b, (Buttons, Matrix, Table, Ranking))]
    text = plain(said, lang).strip() or plain(blocks, lang).strip()
    return rich(text) or "…"


class _Pen:
    """Draws block after block; neighbouring lines of text share a section."""

    def __init__(self, lang: Lang, tables: bool) -> None:
        self.lang = lang
        self.main: list[SlackBlock] = []
        self.details: list[SlackBlock] = []
        self._tables = tables
        self._buttons = 0

    def add(self, block: Block) -> None:  # noqa: C901 - one case for each kind of block
        lang = self.lang
        match block:
            case Header():
                self.main += _header(block, lang)
            case Paragraph(text=text, label=label):
                self._say(_labelled(label, lang) + rich(text.in_(lang)))
            case Bullets(folded=True) if not _short(block, lang):
                self.details += _sections(_bullets(block, lang))
            case Bullets(folded=True):
                self.main += _small(_bullets(block, lang))
            case Bullets():
                self._say(_bullets(block, lang))
            case Ranking(shares=shares) if shares:
                self._say("\n".join(_share(share, lang) for share in shares))
                self.details += _evidence(shares, lang)
            case Progress(done=done, total=total, text=text):
                self.main += _small(f"{_bar(done, total)} {done}/{total} · {rich(text.in_(lang))}")
            case Matrix():
                self._grid(matrix_rows(block, lang, marks=True), matrix_rows(block, lang, marks=False))
            case Table():
                rows = table_rows(block, lang)
                self._grid(rows, rows)
            case Buttons():
                self._press(block)
            case Code(text=text):
                self.main += code_blocks(text)
            case File(name=name, title=title):
                self.main += _small(f"📎 {rich(title.in_(lang))} ({rich(name)})")

    def _say(self, text: str) -> None:
        """Text, in the section before it where there is room."""
        last = self.main[-1] if self.main else {}
        if last.get("type") == "section" and not last["text"]["text"].startswith("```"):
            joined = f"{last['text']['text']}\n{text}"
            if length(joined) <= SECTION:
                last["text"]["text"] = joined
                return
        self.main += _sections(text)

    def _grid(self, rows: Sequence[Sequence[str]], plain_rows: Sequence[Sequence[str]]) -> None:
        if not rows:
            return
        if self._tables and len(rows) <= 100 and len(rows[0]) <= 20:
            self._tables = False
            self.main.append(_table(rows))
        else:
            self.main += code_blocks("\n".join(grid(plain_rows)))

    def _press(self, block: Buttons) -> None:
        """Buttons; a command too long for one is shown to be copied."""
        fit = [b for b in block.buttons if 1 <= length(b.command) <= VALUE]
        elements: list[dict[str, Any]] = []
        for button in fit:
            self._buttons += 1
            label = cut(button.label.in_(self.lang).strip() or button.command, LABEL)
            element = {
                "type": "button",
                "action_id": f"do.{self._buttons}",
                "text": {"type": "plain_text", "text": label, "emoji": True},
                "value": button.command,
            }
            elements.append({**element, "style": "primary"} if button.primary else element)
        for start in range(0, len(elements), PER_ROW):
            self.main.append({"type": "actions", "elements": elements[start : start + PER_ROW]})
        for button in block.buttons:
            if length(button.command) > VALUE:
                self.main += code_blocks(button.command)


def _section(text: str) -> SlackBlock:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _sections(text: str) -> list[SlackBlock]:
    return [_section(piece) for piece in pieces(text, SECTION)]


def _small(text: str) -> list[SlackBlock]:
    return [
        {"type": "context", "elements": [{"type": "mrkdwn", "text": piece, "verbatim": True}]}
        for piece in pieces(text, SECTION)
    ]


def code_blocks(text: str) -> list[SlackBlock]:
    """Verbatim text, in as many sections as it takes."""
    return [_section(f"```\n{piece}\n```") for piece in pieces(verbatim(text.expandtabs(4)), SECTION - 10)]


def _header(block: Header, lang: Lang) -> list[SlackBlock]:
    text = f"{TONES[block.tone]} {block.text.in_(lang)}".replace("\n", " ").strip()
    if length(text) <= HEADER:
        head: list[SlackBlock] = [{"type": "header", "text": {"type": "plain_text", "text": text, "emoji": True}}]
    else:
        head = [_section(f"*{piece}*") for piece in pieces(rich(text.replace("*", "∗")), SECTION)]
    return [*head, *(_small(rich(block.sub.in_(lang))) if block.sub else [])]


def _labelled(label: Text | None, lang: Lang) -> str:
    return bold(label.in_(lang) + COLON.in_(lang).strip()) + " " if label else ""


def _bullets(block: Bullets, lang: Lang) -> str:
    head = [bold(block.label.in_(lang))] if block.label else []
    return "\n".join([*head, *(f"• {rich(item.in_(lang))}" for item in block.items)])


def _short(block: Bullets, lang: Lang) -> bool:
    return len(block.items) <= SHORT_ITEMS and length(_bullets(block, lang)) <= SHORT_CHARACTERS


def _share(share: Share, lang: Lang) -> str:
    return f"`{percent(share.share):>4}` {rich(share.title.in_(lang))}"


def _evidence(shares: Sequence[Share], lang: Lang) -> list[SlackBlock]:
    weighed = [share for share in shares if share.evidence]
    if not weighed:
        return []
    lines = [bold(DETAILS.in_(lang))]
    for share in weighed:
        lines.append(f"{_share(share, lang)} ({rich(share.id)})")
        lines += [f"• `{weight:+.1f}` {rich(text.in_(lang))}" for text, weight in share.evidence]
    return _sections("\n".join(lines))


def _bar(done: int, total: int) -> str:
    full = round(BAR * min(1.0, max(0.0, done / total))) if total > 0 else 0
    return "▓" * full + "░" * (BAR - full)


def _table(rows: Sequence[Sequence[str]]) -> SlackBlock:
    cells = [[{"type": "raw_text", "text": cell or " "} for cell in row] for row in rows]
    settings = [{"align": "left"}, *({"align": "center"} for _ in rows[0][1:])]
    return {"type": "table", "rows": cells, "column_settings": settings}


def words_of(blocks: Sequence[SlackBlock]) -> Iterator[str]:
    """The visible text of drawn blocks, for tests and notes."""
    for block in blocks:
        if block["type"] in ("section", "header"):
            yield block["text"]["text"]
        elif block["type"] == "context":
            yield from (e["text"] for e in block["elements"])
