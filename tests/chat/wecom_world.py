"""A company on WeCom: its people, its groups, and what people see in each of them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chat.wecom_limits import AT_ONCE, Rates


@dataclass
class Shown:
    """One message on people's screens."""

    text: str
    kind: str = "markdown"
    buttons: dict[str, str] = field(default_factory=dict)
    """Label to key."""
    task: str = ""
    stream: str = ""
    live: bool = False
    """A stream that may still change."""
    file: tuple[str, bytes] | None = None
    response_code: str = ""

    @property
    def line(self) -> str:
        buttons = " ".join(f"[{label}]" for label in self.buttons)
        return "\n".join(filter(None, (self.text, buttons)))


def card_shown(card: dict[str, Any], text: str) -> Shown:
    buttons = {b["text"]: b["key"] for b in card["button_list"]}
    return Shown(text=text, kind="card", buttons=buttons, task=card.get("task_id", ""))


@dataclass
class World:
    """`rooms` by key without "wecom:"; `complaints` is everything a good bot would not have done."""

    now: Callable[[], float] = time.monotonic
    rooms: dict[str, list[Shown]] = field(default_factory=dict)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[int, tuple[str, list[str]]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Groups the application made, by chatid."""
    complaints: list[str] = field(default_factory=list)
    rates: Rates = field(default_factory=Rates)
    met: set[str] = field(default_factory=set)
    """Rooms in which somebody has talked to the robot: only there it may begin to talk."""
    media: dict[str, tuple[str, bytes, float]] = field(default_factory=dict)
    tasks: set[str] = field(default_factory=set)
    talks: list[tuple[str, Callable[[], bool]]] = field(default_factory=list)
    """Who has said something to the robot, and whether its answer still goes on."""
    counter: Any = field(default_factory=lambda: itertools.count(1))

    def show(self, room: str, shown: Shown) -> Shown:
        self.rooms.setdefault(room, []).append(shown)
        return shown

    async def begin(self, user: str, goes_on: Callable[[], bool]) -> None:
        """Somebody says something to the robot: it waits while three of theirs are not answered to the end."""
        while True:
            self.talks = [talk for talk in self.talks if talk[1]()]
            if sum(1 for who, _ in self.talks if who == user) < AT_ONCE:
                break
            await asyncio.sleep(0.02)
        self.talks.append((user, goes_on))

    def add_user(self, user: str, **fields: Any) -> None:
        self.users[user] = {"userid": user, "name": user.title(), "department": [2], "status": 1} | fields

    def ident(self, prefix: str) -> str:
        return f"{prefix}{next(self.counter)}"
