"""What Slack delivers, read strictly: a command, a message to keep, nothing for us, or not readable. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.adapters.slack.mrkdwn import first_mention, typed
from bot.domain.chat import Account, Inbound
from bot.domain.text import legible

NAME = "slack"
"""The platform's, as rooms and accounts carry it."""
DECLARE = "declare"
"""The callback id of the modal that declares an incident."""
ROOM_WORDS = ("open", "bind")
PLAIN_SUBTYPES = (None, "file_share", "thread_broadcast")
"""Subtypes of messages that somebody typed."""
_ID = re.compile(r"[\w.-]{1,100}")
_TS = re.compile(r"\d{1,12}\.\d{1,9}")


class Unreadable(Exception):
    """What was delivered is nothing Slack sends; the message says what is wrong with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Somebody typed or pressed something. `trigger` opens a modal; `respond` is the address for a private answer.

    `again`: whether Slack delivers it again when it is not acknowledged.
    """

    inbound: Inbound
    trigger: str = ""
    respond: str = ""
    again: bool = False
    typed: bool = False
    """A slash command: Slack shows it to nobody unless it is told to."""

    @property
    def channel(self) -> str:
        """The channel's id."""
        return self.inbound.room.partition(":")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Keep:
    """A message somebody wants in the timeline. `message` is what was delivered of it, perhaps nothing."""

    channel: str
    ts: str
    by: Account
    message: Mapping[str, Any]
    respond: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Nothing:
    """Well-formed, and of no interest."""


def read(body: Mapping[str, Any], *, bot: str = "", reaction: str = "memo") -> Line | Keep | Nothing:
    """Read one delivery: a slash command's form, an event, or an interaction. Raises Unreadable.

    `bot` is the bot's own account where it is known already.
    """
    if "command" in body:
        return _slash(body)
    match body.get("type"):
        case "event_callback":
            return _event(_map(body, "event"), _bot_of(body) or bot, reaction)
        case "block_actions":
            return _pressed(body)
        case "view_submission":
            return _submitted(body)
        case "message_action":
            return _shortcut(body)
        case "url_verification":
            _str(body, "challenge")
            return Nothing()
        case "app_rate_limited" | "shortcut" | "view_closed" | "block_suggestion" | "interactive_message":
            return Nothing()
        case other:
            raise Unreadable(f"unknown type {str(other)[:40]!r}")


def _slash(body: Mapping[str, Any]) -> Line:
    user, channel = _id(body, "user_id"), _id(body, "channel_id")
    command, text = _str(body, "command"), legible(_str(body, "text", ""))
    if not command.startswith("/") or len(command) > 100:
        raise Unreadable("the command does not begin with a slash")
    trigger, respond = _str(body, "trigger_id", ""), _str(body, "response_url", "")
    # Slack has no id for a command; a trigger is made for each, and a delivery that comes again has the same one.
    mark = _short_hash(command, text, trigger or respond)
    return Line(
        inbound=Inbound(
            text=command_of(command, typed(text)),
            who=Account(platform=NAME, id=user, name=_name(body, "user_name")),
            room=f"{NAME}:{channel}",
            message_id=f"{user}/{channel}/c.{mark}",
            room_title=_title(_name(body, "channel_name")),
        ),
        trigger=trigger,
        respond=respond,
        typed=True,
    )


def command_of(command: str, text: str) -> str:
    """`/warroom diag sms` is `/diag sms`; alone, with "open" or "bind" it is the room. Others stand for themselves."""
    verb = legible(command).lstrip("/").lower()
    if verb != "warroom":
        return f"/{verb} {text}".strip()
    first = text.split(maxsplit=1)[0].lower() if text.split() else ""
    if not first or first in ROOM_WORDS:
        return f"/warroom {text}".strip()
    return "/" + text.lstrip("/／")


def _event(event: Mapping[str, Any], bot: str, reaction: str) -> Line | Keep | Nothing:
    match _str(event, "type"):
        case "app_mention":
            return _message(event, bot)
        case "message" if event.get("channel_type") == "im" or str(event.get("channel", "")).startswith("D"):
            return _message(event, bot)
        case "reaction_added":
            return _reaction(event, bot, reaction)
        case "pin_added":
            return _pin(event, bot)
        case _:
            return Nothing()


def _message(event: Mapping[str, Any], bot: str) -> Line | Nothing:
    subtype = event.get("subtype")
    if subtype not in PLAIN_SUBTYPES or event.get("bot_id") or event.get("hidden"):
        return Nothing()
    user, channel, ts = _id(event, "user"), _id(event, "channel"), _ts(event, "ts")
    if user == bot:
        return Nothing()
    text = legible(_str(event, "text", ""))
    thread = _ts(event, "thread_ts") if event.get("thread_ts") else ""
    mine = bot or (first_mention(text) if event["type"] == "app_mention" else "")
    under = f"/{thread}" if thread and thread != ts else ""
    return Line(
        inbound=Inbound(
            text=typed(text, bot=mine) or "/help",
            who=Account(platform=NAME, id=user),
            room=f"{NAME}:{channel}",
            message_id=f"{user}/{channel}/{ts}{under}",
        ),
        again=True,
    )


def _reaction(event: Mapping[str, Any], bot: str, reaction: str) -> Keep | Nothing:
    item, user = _map(event, "item"), _id(event, "user")
    # A skin tone is part of the name.
    if _str(event, "reaction").partition("::")[0] != reaction or item.get("type") != "message" or user == bot:
        return Nothing()
    return Keep(channel=_id(item, "channel"), ts=_ts(item, "ts"), by=Account(platform=NAME, id=user), message={})


def _pin(event: Mapping[str, Any], bot: str) -> Keep | Nothing:
    item, user = _map(event, "item"), _id(event, "user")
    if user == bot or item.get("type") != "message":
        return Nothing()
    message = _map(item, "message")
    channel = _id(event if "channel_id" in event else item, "channel_id" if "channel_id" in event else "channel")
    return Keep(channel=channel, ts=_ts(message, "ts"), by=Account(platform=NAME, id=user), message=message)


def _pressed(body: Mapping[str, Any]) -> Line | Nothing:
    actions = body.get("actions")
    if not isinstance(actions, list) or not actions or not isinstance(actions[0], Mapping):
        raise Unreadable("block_actions without actions")
    action, who = actions[0], _account(_map(body, "user"))
    value = action.get("value")
    if action.get("type") != "button" or not isinstance(value, str) or not value.startswith("/"):
        return Nothing()
    container = body.get("container") if isinstance(body.get("container"), Mapping) else {}
    place = _map(body, "channel") if "channel" in body else {}
    channel = _id(place, "id") if place else _id(container, "channel_id")  # type: ignore[arg-type]
    at = _str(action, "action_ts", "") or _str(body, "trigger_id", "")
    where = _str(container, "message_ts", "")  # type: ignore[arg-type]
    mark = _short_hash(where, _str(action, "action_id", ""), value, at)
    return Line(
        inbound=Inbound(
            text=legible(value),
            who=who,
            room=f"{NAME}:{channel}",
            message_id=f"{who.id}/{channel}/b.{mark}",
            room_title=_title(_name(place, "name")),
        ),
        trigger=_str(body, "trigger_id", ""),
        respond=_str(body, "response_url", ""),
    )


def _submitted(body: Mapping[str, Any]) -> Line | Nothing:
    view, who = _map(body, "view"), _account(_map(body, "user"))
    if view.get("callback_id") != DECLARE:
        return Nothing()
    try:
        about = json.loads(_str(view, "private_metadata"))
    except ValueError as exc:
        raise Unreadable("private_metadata is not ours") from exc
    if not isinstance(about, dict):
        raise Unreadable("private_metadata is not ours")
    values = _map(_map(view, "state"), "values")
    channel = _id(about, "channel")
    return Line(
        inbound=Inbound(
            text=declaration(values),
            who=who,
            room=f"{NAME}:{channel}",
            message_id=f"{who.id}/{channel}/v.{_id(view, 'id')}",
            room_title=_title(_name(about, "title")),
        ),
    )


def declaration(values: Mapping[str, Any]) -> str:
    """The command of a filled-in modal. The title goes in quotes: "sev1" at its end would be taken for a severity."""
    title = " ".join(legible(_entered(values, "title")).split())
    severity, env = _entered(values, "severity"), ",".join(re.split(r"[\s,，、]+", _entered(values, "env").strip()))
    words = [f'"{title}"' if title else "", severity if _ID.fullmatch(severity) else "", f"env={env}" if env else ""]
    return " ".join(filter(None, ("/incident declare", *words)))


def _entered(values: Mapping[str, Any], block: str) -> str:
    """What was entered in a block of a modal; each has one element."""
    for element in (values.get(block) or {}).values() if isinstance(values.get(block), Mapping) else ():
        if not isinstance(element, Mapping):
            raise Unreadable(f"the field {block} is not readable")
        chosen = element.get("selected_option")
        value = chosen.get("value") if isinstance(chosen, Mapping) else element.get("value")
        return value if isinstance(value, str) else ""
    return ""


def _shortcut(body: Mapping[str, Any]) -> Keep:
    message = _map(body, "message")
    return Keep(
        channel=_id(_map(body, "channel"), "id"),
        ts=_ts(message if "ts" in message else {"ts": body.get("message_ts")}, "ts"),
        by=_account(_map(body, "user")),
        message=message,
        respond=_str(body, "response_url", ""),
    )


def moment(ts: str) -> datetime:
    """When a message was written."""
    try:
        return datetime.fromtimestamp(float(ts), UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise Unreadable(f"no time: {ts!r}") from exc


def _bot_of(body: Mapping[str, Any]) -> str:
    rows = body.get("authorizations")
    first = rows[0] if isinstance(rows, list) and rows else None
    if isinstance(first, Mapping) and first.get("is_bot") and isinstance(first.get("user_id"), str):
        return str(first["user_id"])
    return ""


def _account(user: Mapping[str, Any]) -> Account:
    return Account(platform=NAME, id=_id(user, "id"), name=_name(user, "username") or _name(user, "name"))


def _title(name: str) -> str:
    """The channel's name; Slack has none to tell for private ones and direct messages."""
    return "" if name in ("privategroup", "directmessage") else name


def _name(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key, "")
    return legible(value)[:200] if isinstance(value, str) else ""


def _str(body: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = body.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Unreadable(f"{key} is {'missing' if value is None else 'not text'}")
    return value


def _id(body: Mapping[str, Any], key: str) -> str:
    value = _str(body, key)
    if not _ID.fullmatch(value):
        raise Unreadable(f"{key} is no id")
    return value


def _ts(body: Mapping[str, Any], key: str) -> str:
    value = _str(body, key)
    if not _TS.fullmatch(value):
        raise Unreadable(f"{key} is no message's time")
    return value


def _map(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    if not isinstance(value, Mapping):
        raise Unreadable(f"{key} is {'missing' if value is None else 'not an object'}")
    return value


def _short_hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()[:20]
