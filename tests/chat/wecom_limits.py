"""What WeCom takes, written down from its documents and not from the bot: sizes, shapes, rates."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

TASK = re.compile(r"[0-9A-Za-z_\-@]{1,128}\Z")
CHAT = re.compile(r"[0-9A-Za-z]{1,32}\Z")


class Refused(Exception):
    """An error answer of WeCom."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{code} {words}")
        self.code, self.words = code, words


def text_of(body: dict[str, Any], kind: str, most: int) -> str:
    """The content of a text or markdown message, of at most so many bytes."""
    content = body.get(kind, {}).get("content") if isinstance(body.get(kind), dict) else None
    if not isinstance(content, str) or not content.strip():
        raise Refused(44004, "empty content")
    if len(content.encode()) > most:
        raise Refused(40058, f"{kind}.content exceed max length {most}. invalid Request Parameter")
    return content


def card_of(card: Any, tasks: set[str] | None, complaints: list[str]) -> dict[str, Any]:
    """A card with buttons; `tasks` are the ids used before, None for an update."""
    if not isinstance(card, dict) or card.get("card_type") != "button_interaction":
        raise Refused(42040, "card_type not allowed here")
    title = card.get("main_title", {}).get("title", "")
    if not title:
        raise Refused(42041, "main_title.title missing")
    buttons = card.get("button_list")
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= 6:
        raise Refused(42042, "button_list must have 1 to 6 items")
    keys = [b.get("key") for b in buttons]
    if any(not isinstance(k, str) or not 0 < len(k.encode()) <= 1024 for k in keys) or len(set(keys)) < len(keys):
        raise Refused(42043, "button key invalid or repeated")
    if any(not b.get("text") for b in buttons):
        raise Refused(42044, "button text missing")
    if tasks is not None:
        task = card.get("task_id", "")
        if not TASK.match(task) or task in tasks:
            raise Refused(42045, "task_id invalid or duplicated")
        tasks.add(task)
    advised = [(title, 26), (card["main_title"].get("desc", ""), 30), (card.get("sub_title_text", ""), 112)]
    advised += [(b["text"], 10) for b in buttons]
    complaints += [f"a card shows {len(text)} characters where {n} fit" for text, n in advised if len(text) > n]
    return card


def card_text(card: dict[str, Any]) -> str:
    """What a person reads on it, without the buttons."""
    title = card["main_title"]
    return "\n".join(filter(None, (title.get("title"), title.get("desc"), card.get("sub_title_text"))))


@dataclass
class Rates:
    """Sliding windows; what does not fit is told by `fits`, and counted where it is dropped in silence."""

    spent: dict[str, deque[float]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def fits(self, key: str, now: float, *limits: tuple[int, float]) -> bool:
        """Count one more, unless a window is full."""
        spent = self.spent.setdefault(key, deque(maxlen=20_000))
        for most, span in limits:
            if sum(1 for at in spent if now - at < span) >= most:
                self.dropped[key] += 1
                return False
        spent.append(now)
        return True


AT_ONCE = 3
"""Interactions of one user with one robot: a message whose answer has not ended is one."""
MEMBER = ((30, 60.0), (1000, 3600.0))
GROUP = ((200, 60.0), (10_000, 86_400.0))
"""What one member gets from all groups of the application."""
HOOK = ((20, 60.0),)
"""Webhook robots."""
NEW_GROUPS = ((1000, 86_400.0),)
