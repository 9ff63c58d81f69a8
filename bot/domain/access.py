"""Who may do what: four levels, and one table of what needs which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from bot.domain.command import Command


class Level(IntEnum):
    """What somebody may do; each may do what those before it may."""

    VIEWER = 1
    """Look."""
    RESPONDER = 2
    """Ask probes, take incidents on, page people, acknowledge."""
    COMMANDER = 3
    """Decide for all: merge, close, write to another company, move shifts."""
    ADMIN = 4

    @property
    def word(self) -> str:
        """As it is written in files."""
        return self.name.lower()


LEVELS: Mapping[str, Level] = {level.word: level for level in Level}

NEEDS: Mapping[str, Level] = {
    "help": Level.VIEWER,
    "agents": Level.VIEWER,
    "playbooks": Level.VIEWER,
    "timeline": Level.VIEWER,
    "postmortem": Level.VIEWER,
    "similar": Level.VIEWER,
    "action list": Level.VIEWER,
    "oncall": Level.VIEWER,
    "oncall override": Level.COMMANDER,
    "incident": Level.VIEWER,
    "incident status": Level.VIEWER,
    "incident merge": Level.COMMANDER,
    "incident close": Level.COMMANDER,
    "vendor": Level.COMMANDER,
}
"""What a command needs, by its verb or its verb and first word; what is not here needs a responder."""
DEFAULT = Level.RESPONDER


def needed(command: Command) -> Level:
    """The level a command needs."""
    word = command.args[0].lower() if command.args else ""
    if command.verb == "incident" and word == "status" and len(command.args) > 1:
        return DEFAULT  # with words after it, it is a status update
    exact = NEEDS.get(f"{command.verb} {word}")
    if exact is not None:
        return exact
    return NEEDS.get(command.verb, DEFAULT) if command.verb != "incident" or not word else DEFAULT
