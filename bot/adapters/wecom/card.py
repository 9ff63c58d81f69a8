"""Template cards with buttons (`button_interaction`), and how one looks after somebody pressed.

A button's key is the command it stands for, so no table of keys is needed, by whichever bot the press arrives at.
Lengths: developer.work.weixin.qq.com/document/path/101032 (title 26 characters, its line 30, text 112, label 10,
6 buttons, key 1024 bytes, task_id 128 bytes of letters, digits and _-@).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.adapters.wecom.render import Style, markdown
from bot.adapters.wecom.text import short, size
from bot.app.plain import TONES
from bot.domain.message import Button, Buttons, Header, Message, Paragraph
from bot.domain.text import Lang, legible

TITLE, DESC, BODY, LABEL = 26, 30, 112, 10
MOST_BUTTONS = 6
KEY_BYTES = 1024
UNTITLED = "✓"
DONE = "done:"
"""Begins the key of a button that was used: pressing it again does nothing."""

Card = dict[str, Any]


def card_of(message: Message, lang: Lang, *, task_id: str) -> Card | None:
    """The message as a card; None for one without buttons that fit. What does not fit is cut, see `complete`."""
    buttons = _buttons(message, lang)
    if not buttons:
        return None
    title, desc, body = _texts(message, lang)
    return {
        "card_type": "button_interaction",
        "main_title": {"title": short(title, TITLE) or UNTITLED} | ({"desc": short(desc, DESC)} if desc else {}),
        **({"sub_title_text": _fit(body)} if body else {}),
        "button_list": buttons,
        "task_id": task_id,
    }


def on_card(message: Message) -> frozenset[str]:
    """The commands of the buttons that a card of this message has."""
    return frozenset(button.command for button in _fitting(message))


def complete(message: Message, lang: Lang) -> bool:
    """Whether the card says everything, so that no text is needed beside it."""
    title, desc, body = _texts(message, lang)
    plain = all(isinstance(b, Header | Paragraph | Buttons) for b in message.blocks)
    fits = len(title) <= TITLE and len(desc) <= DESC and len(body) <= BODY
    return plain and fits and not message.mention and len(_commands(message)) == len(on_card(message))


def pressed(card: Mapping[str, Any], key: str, who: str) -> Card:
    """The card after somebody pressed: who did what, and that button marked.

    It can be pressed again: the first one may not have been allowed to do it, and somebody else is.
    """
    buttons, label = [], key
    for button in card.get("button_list", ()):
        used = button["key"] == key
        if used:
            label = button["text"].removeprefix("✓")
            button = {**button, "text": short(f"✓{label}", LABEL), "style": 2}
        buttons.append(button)
    title = {**card["main_title"], "desc": short(f"✓ {who}: {label}", DESC)}
    return {**card, "main_title": title, "button_list": buttons}


def final_card(message: Message, lang: Lang, *, task_id: str) -> Card:
    """What a card becomes when its message has no buttons any more: this kind must have one, which does nothing."""
    title, desc, body = _texts(message, lang)
    used = {"text": "✓", "style": 2, "key": DONE}
    return {
        "card_type": "button_interaction",
        "main_title": {"title": short(title, TITLE) or UNTITLED} | ({"desc": short(desc, DESC)} if desc else {}),
        **({"sub_title_text": _fit(body)} if body else {}),
        "button_list": [used],
        "task_id": task_id,
    }


def unknown_card(key: str, task_id: str, who: str) -> Card:
    """What a card becomes of which we remember nothing."""
    used = {"text": short(f"✓{key.lstrip('/')}", LABEL), "style": 2, "key": key}
    title = {"title": short(key, TITLE) or UNTITLED, "desc": short(f"✓ {who}", DESC)}
    return {"card_type": "button_interaction", "main_title": title, "button_list": [used], "task_id": task_id}


def _texts(message: Message, lang: Lang) -> tuple[str, str, str]:
    header = next((b for b in message.blocks if isinstance(b, Header)), None)
    rest = tuple(b for b in message.blocks if b is not header and not isinstance(b, Buttons))
    body = _bare(Message(key=message.key, room=message.room, blocks=rest), lang)
    if header is None:
        first, _, body = body.partition("\n")
        return first, "", body
    sub = legible(header.sub.in_(lang)) if header.sub else ""
    return f"{TONES[header.tone]} {legible(header.text.in_(lang))}", sub, body


def _bare(message: Message, lang: Lang) -> str:
    """Cards show no markdown."""
    return markdown(message, Style(lang=lang)).replace("**", "").replace("`", "").strip()


def _fit(body: str) -> str:
    return body if len(body) <= BODY else body[: BODY - 1].rstrip() + "…"


def _commands(message: Message) -> Mapping[str, Button]:
    """Buttons by their command: a key may stand on a card once."""
    found: dict[str, Button] = {}
    for block in message.blocks:
        if isinstance(block, Buttons):
            found |= {b.command: b for b in block.buttons if b.command not in found}
    return found


def _fitting(message: Message) -> list[Button]:
    return [b for key, b in _commands(message).items() if 0 < size(key) <= KEY_BYTES][:MOST_BUTTONS]


def _buttons(message: Message, lang: Lang) -> list[dict[str, Any]]:
    return [
        {
            "text": short(legible(b.label.in_(lang)), LABEL) or short(b.command, LABEL) or "✓",
            "style": 1 if b.primary else 4,
            "key": b.command,
        }
        for b in _fitting(message)
    ]
