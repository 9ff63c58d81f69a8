"""What comes in from a chat platform, and what one is asked for, in words that are no platform's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.domain.text import Lang


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Somebody as a chat platform knows them: its name ("slack", "wecom") and its id for them ("U024BE7LH", a userid).

    `name` is what the platform shows, "" where it did not say.
    """

    platform: str
    id: str
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What a platform tells of an account: ways to find the person behind it, and the groups it is in."""

    name: str = ""
    email: str = ""
    mobile: str = ""
    lang: Lang | None = None
    groups: tuple[str, ...] = ()
    """Ids of Slack user groups, of WeCom departments and tags."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inbound:
    """One line somebody typed, or the command of a button somebody pressed.

    `message_id` tells a delivery that comes again from a second command: the platform's id of the message, or who,
    where and when (Slack has delivered one message under 11 event ids). The same one again does nothing.
    """

    text: str
    who: Account
    room: str
    """Key of the room, "platform:id"."""
    message_id: str
    room_title: str = ""
    lang: Lang | None = None
    """The language of a room that is new to us; None: the configuration's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Captured:
    """A message somebody wants in the timeline: pinned, marked with a reaction, chosen from its menu, quoted.

    `at` is when it was written and `author` by whom; `by` is who wants it kept. `message_id` as in `Inbound`.
    """

    text: str
    author: Account
    by: Account
    room: str
    at: datetime
    message_id: str
    link: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRoom:
    """A room that is wanted for an incident. A platform cuts and cleans `title` to its own rules.

    `members` are ids of accounts of the platform that is asked; `topic` and `link` go where it shows them.
    """

    incident: str
    title: str
    lang: Lang = "zh"
    members: tuple[str, ...] = ()
    topic: str = ""
    link: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A room that was made. `left_out` are members the platform would not take, `note` what people should know."""

    key: str
    left_out: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of `warroom doctor`: fine, or what must be mended and how."""

    good: bool
    text: str
