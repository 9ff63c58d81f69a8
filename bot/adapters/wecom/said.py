"""What is to be shown, made ready for a kind of room: its text, its card, its files, and what tells it apart."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from bot.adapters.wecom.answers import digest
from bot.adapters.wecom.card import Card, card_of, complete
from bot.adapters.wecom.render import Style, markdown, moving
from bot.domain.errors import SendFailed
from bot.domain.message import File, Message

LEAST_FILE, MOST_FILE = 6, 20 * 1024 * 1024
"""Bytes: WeCom takes files of more than 5 bytes and at most 20 MB."""


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
    files: tuple[tuple[str, bytes], ...] = ()
    files_digest: str = ""


def prepare(message: Message, style: Style, *, cards: bool) -> Said:
    """The message for a room; with `cards`, its buttons are on one. Raises SendFailed for a file nobody can read."""
    files = tuple(_content(block) for block in message.blocks if isinstance(block, File))
    files = tuple(f for f in files if LEAST_FILE <= len(f[1]) <= MOST_FILE)
    card = card_of(message, style.lang, task_id="") if cards else None
    text = markdown(message, style)
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


def _content(block: File) -> tuple[str, bytes]:
    if not block.encoded:
        return block.name, block.content.encode()
    try:
        return block.name, base64.b64decode(block.content, validate=True)
    except binascii.Error as exc:
        raise SendFailed(f"{block.name} is not base64", permanent=True) from exc
