"""What is to be shown, made ready for a kind of room: its text, its card, its files, and what tells it apart."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.adapters.wecom.answers import digest
from bot.adapters.wecom.card import Card, card_of, complete, on_card
from bot.adapters.wecom.render import Style, markdown, moving
from bot.adapters.wecom.text import harmless, pieces
from bot.domain.errors import SendFailed
from bot.domain.message import File, Message
from bot.domain.text import Text

LEAST_FILE, MOST_FILE = 6, 20 * 1024 * 1024
"""Bytes: WeCom takes files of more than 5 bytes and at most 20 MB."""
WHOLE = "message.md"
NOT_TAKEN = Text(
    "（{name} 有 {n} 字节，企业微信收不了；请在控制台下载）",
    "({name} has {n} bytes, which WeCom does not take; the console has it)",
)
Content = tuple[str, bytes]
"""A file's name and its bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A message ready to be sent. `whole_card`: the card says all, no text is needed beside it."""

    key: str
    room: str
    text: str
    digest: str
    moving: bool
    card: Card | None = None
    whole_card: bool = False
    files: tuple[Content, ...] = ()
    files_digest: str = ""

    def parts(self, limit: int, most: int) -> tuple[Sequence[str], Sequence[Content]]:
        """Its text in parts of at most `limit` bytes, and its files.

        A text of more than `most` parts is its beginning, and a file that has all of it.
        """
        texts = pieces(self.text, limit)
        if len(texts) <= most:
            return texts, self.files
        return texts[:1], ((WHOLE, self.text.encode()), *self.files)


def prepare(message: Message, style: Style, *, cards: bool, beside: bool = True) -> Said:
    """The message for a room. With `cards`, its buttons are on one; `beside` it the text leaves those out.

    Raises SendFailed for a file nobody can read.
    """
    files = tuple(_content(block) for block in message.blocks if isinstance(block, File))
    too_large = [f for f in files if not LEAST_FILE <= len(f[1]) <= MOST_FILE]
    files = tuple(f for f in files if f not in too_large)
    card = card_of(message, style.lang, task_id="") if cards else None
    text = markdown(message, replace(style, carded=on_card(message)) if card and beside else style)
    for name, content in too_large:
        text += "\n" + NOT_TAKEN.in_(style.lang).format(name=harmless(name), n=len(content))
    known = digest(text, json.dumps(card, sort_keys=True) if card else "")
    if card is not None:
        # The same card again is the same task, so that WeCom can tell a second try from a second card.
        card = {**card, "task_id": f"wr-{digest(message.key, message.room)}-{known}"}
    return Said(
        key=message.key,
        room=message.room,
        text=text,
        digest=known,
        moving=moving(message),
        card=card,
        whole_card=card is not None and not files and complete(message, style.lang),
        files=files,
        files_digest=digest(*(part for file in files for part in file)) if files else "",
    )


def _content(block: File) -> Content:
    if not block.encoded:
        return block.name, block.content.encode().ljust(LEAST_FILE, b"\n")
    try:
        return block.name, base64.b64decode(block.content, validate=True)
    except binascii.Error as exc:
        raise SendFailed(f"{block.name} is not base64", permanent=True) from exc
