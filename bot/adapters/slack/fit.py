"""Packs drawn blocks into messages that Slack takes: the whole of a message has limits of its own. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.adapters.slack.draw import Drawn, SlackBlock, code_blocks, draw
from bot.adapters.slack.mrkdwn import cut, length, pieces, rich
from bot.app.plain import grid, plain
from bot.domain.message import Buttons, File, Message
from bot.domain.text import Lang, Text

BLOCKS = 50
CHARACTERS = 12_800
"""Of the serialised blocks of a message: Slack refuses beyond about 13,200 (`msg_blocks_too_long`), however small each
block is. Counted with every character beyond ASCII as six, as JSON is sent: the stricter way to count."""
PARTS = 4
"""Messages one card may take; what is longer goes into a file."""
MORE = Text("其余见文件", "the rest is in the file")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One message."""

    blocks: tuple[SlackBlock, ...]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """The message, and what goes under it."""

    parts: tuple[Part, ...]
    files: tuple[File, ...] = ()


def fit(message: Message, lang: Lang, *, tables: bool = True) -> Fitted:
    """The message in as many parts as it takes; the first one has the buttons if they can be in it."""
    drawn = draw(message, lang, tables=tables)
    main = list(packed(_buttons_early(drawn.main)))
    parts = [*main, *packed(drawn.details)]
    files = drawn.files
    if len(parts) > PARTS:
        whole = plain([b for b in message.blocks if not isinstance(b, (Buttons, File))], lang)
        title = Text("全文", "the whole message")
        files = (*files, File(name="message.txt", title=title, content=whole, media_type="text/plain"))
        parts = [*parts[: PARTS - 1], [_note(f"… {MORE.in_(lang)}: message.txt")]]
    texts = [drawn.text, *(_text_of(part) for part in parts[1:])]
    named = (_named(blocks, f"{message.key}.{n}") for n, blocks in enumerate(parts or [[_note("…")]]))
    return Fitted(
        parts=tuple(Part(blocks=b, text=t) for b, t in zip(named, texts, strict=True)),
        files=files,
    )


def packed(blocks: Sequence[SlackBlock]) -> Iterator[list[SlackBlock]]:
    """The blocks in groups that are messages within the limits, in their order."""
    group: list[SlackBlock] = []
    used = 2
    for block in (small for whole in blocks for small in _bearable(whole)):
        need = weight(block) + 2
        if group and (len(group) == BLOCKS or used + need > CHARACTERS):
            yield group
            group, used = [], 2
        group.append(block)
        used += need
    if group:
        yield group


def weight(block: SlackBlock) -> int:
    """Characters of a block as it is sent."""
    return len(json.dumps(block))


def _bearable(block: SlackBlock) -> Iterator[SlackBlock]:
    """The block, or smaller ones that say the same, where it alone would be too much for a message."""
    most = CHARACTERS - 400
    if weight(block) <= most:
        yield block
    elif block["type"] == "table":
        text = "\n".join(grid([[cell["text"] for cell in row] for row in block["rows"]]))
        yield from (small for code in code_blocks(text) for small in _bearable(code))
    elif block["type"] == "actions" and len(block["elements"]) > 1:
        half = len(block["elements"]) // 2
        for elements in (block["elements"][:half], block["elements"][half:]):
            yield from _bearable({**block, "elements": elements})
    elif block["type"] == "section":
        yield from _halves(block)
    else:
        yield _note("…")


def _halves(block: SlackBlock) -> Iterator[SlackBlock]:
    """A section as two or three smaller ones."""
    text = block["text"]["text"]
    code = text.startswith("```\n")
    inner = text[4:-4] if code else text
    for piece in pieces(inner, (length(inner) + 1) // 2):
        said = f"```\n{piece}\n```" if code else piece
        yield from _bearable({**block, "text": {**block["text"], "text": said}})


def _buttons_early(blocks: Sequence[SlackBlock]) -> list[SlackBlock]:
    """Of a message that takes several parts, buttons belong into the first: right after its text."""
    if len(blocks) <= BLOCKS and sum(weight(b) + 2 for b in blocks) + 2 <= CHARACTERS:
        return list(blocks)
    buttons = [b for b in blocks if b["type"] == "actions"][:3]
    others = [b for b in blocks if b not in buttons]
    first = next(packed(others), [])
    while first and (
        len(first) + len(buttons) > BLOCKS or sum(weight(b) + 2 for b in [*first, *buttons]) + 2 > CHARACTERS
    ):
        first = first[:-1]
    kept = len(first)
    return [*others[:kept], *buttons, *others[kept:]]


def _note(text: str) -> SlackBlock:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": rich(text), "verbatim": True}]}


def _text_of(blocks: Sequence[SlackBlock]) -> str:
    first = next((b for b in blocks if b["type"] in ("section", "header")), None)
    return cut(first["text"]["text"], 300) if first else "…"


def _named(blocks: Sequence[SlackBlock], name: str) -> tuple[SlackBlock, ...]:
    """The first block carries the message's key, so that a message whose sending was uncertain can be found again.

    After "~" comes what tells this edit from others: Slack wants a new id for each.
    """
    first, *rest = blocks
    edit = hashlib.sha256(json.dumps(blocks).encode()).hexdigest()[:8]
    return ({**first, "block_id": f"{name[-240:]}~{edit}"}, *rest)


__all__ = ["Drawn", "Fitted", "Part", "fit", "packed", "weight"]
