"""What comes in from WeCom, read strictly: the robot's JSON and the application's XML become one `Heard`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from bot.adapters.wecom.card import DONE
from bot.domain.chat import Account, Captured, Inbound
from bot.domain.errors import WarroomError
from bot.domain.text import Lang, legible

PLATFORM = "wecom"
_IDENT = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}\Z")
_NOTE = re.compile(
    r"/?\s*(?:(?:note|timeline\s+add|add\s+to\s+timeline)\b|记一下|记录|记下|存档|加入时间线)\s*", re.IGNORECASE
)
_SPACES = dict.fromkeys((0x2005, 0x00A0, 0x3000), " ")
HELP = "/help"


class Unreadable(WarroomError):
    """What came is no message of WeCom's; the message says what is wrong with it, and repeats none of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """One message or press. `text` is a command line, "" for what carries none (a picture, an event of no interest).

    `msgid` tells a delivery that comes again. `quoted` is what the message quotes. `task` and `key` are set for a
    press of a button, `response` is what the card may be changed with: a response_code for the application.
    """

    msgid: str
    user: str
    room: str
    text: str = ""
    quoted: str = ""
    response_url: str = ""
    task: str = ""
    key: str = ""
    response: str = ""
    event: str = ""

    def inbound(self, lang: Lang | None = None) -> Inbound:
        """For the door."""
        who = Account(platform=PLATFORM, id=self.user)
        return Inbound(text=self.text, who=who, room=self.room, message_id=self.msgid, lang=lang)

    def captured(self, now: datetime) -> Captured | None:
        """What is to be kept of a quote: WeCom tells neither who wrote it nor when."""
        found = _NOTE.match(self.text) if self.quoted else None
        if found is None:
            return None
        by = Account(platform=PLATFORM, id=self.user)
        return Captured(text=self.quoted, author=by, by=by, room=self.room, at=now, message_id=self.msgid)

    def note(self) -> str:
        """What was written beside a quote that is kept."""
        found = _NOTE.match(self.text)
        return self.text[found.end() :].strip() if found else ""


def robot_message(body: object, name: str) -> Heard:
    """A message or event of the robot, from either mode; `name` is how people @-mention it. Raises Unreadable."""
    row = _table(body, "the body")
    event = row.get("event")
    kind = _word(row, "msgtype", 40)
    sender = row.get("from")
    user = _ident(_table(sender, "from"), "userid") if sender is not None else ""
    group = row.get("chattype") == "group"
    room = f"{PLATFORM}:bot/{_ident(row, 'chatid')}" if group else f"{PLATFORM}:one/{user}"
    common: dict[str, Any] = {
        "msgid": _ident(row, "msgid"),
        "user": user,
        "room": room,
        "response_url": _optional(row, "response_url", 2048),
    }
    if kind == "event":
        return _event(_table(event, "event"), common)
    if not user:
        raise Unreadable("from is missing")
    text = _text_of(row, kind)
    quoted = _quote(row.get("quote"))
    return Heard(**common, text=unmentioned(text, name) if text.strip() else "", quoted=quoted)


def _event(event: Mapping[str, Any], common: dict[str, Any]) -> Heard:
    kind = _word(event, "eventtype", 64)
    if kind != "template_card_event":
        return Heard(**common, event=kind)
    card = _table(event.get("template_card_event"), "template_card_event")
    key = _word(card, "event_key", 1100)
    return Heard(**common, event=kind, task=_optional(card, "task_id", 200), key=key, text=command_of(key))


def command_of(key: str) -> str:
    """The command a button's key stands for; "" for a button that was used up, or one that is not ours."""
    return key if key.startswith("/") and not key.startswith(DONE) else ""


def app_message(row: object, *, corp: str, agent: int) -> Heard:
    """A message or event of the application, as its decrypted XML reads. Raises Unreadable."""
    found = _table(row, "xml")
    if _optional(found, "ToUserName", 128) not in ("", corp):
        raise Unreadable("ToUserName is another company")
    if _optional(found, "AgentID", 20) not in ("", str(agent)):
        raise Unreadable("AgentID is another application")
    user, created = _ident(found, "FromUserName"), _optional(found, "CreateTime", 20)
    kind = _word(found, "MsgType", 40).lower()
    room = f"{PLATFORM}:app/{user}"
    if kind == "event":
        return _app_event(found, user=user, created=created, room=room)
    msgid = _optional(found, "MsgId", 64) or f"{user}@{created}"
    text = _optional(found, "Content", 20_000) if kind == "text" else ""
    return Heard(msgid=msgid, user=user, room=room, text=unmentioned(text, "") if text else "")


def _app_event(found: Mapping[str, Any], *, user: str, created: str, room: str) -> Heard:
    event, key = _word(found, "Event", 64).lower(), _optional(found, "EventKey", 1100)
    task = _optional(found, "TaskId", 200)
    text = command_of(key) if event in ("template_card_event", "click") else ""
    # Two buttons may be pressed within a second: who and when alone would take the second for the first again.
    return Heard(
        msgid=f"{user}@{created}:{task}:{key}"[:200],
        user=user,
        room=room,
        text=text,
        task=task,
        key=key if event == "template_card_event" else "",
        response=_optional(found, "ResponseCode", 512),
        event=event,
    )


def unmentioned(text: str, name: str) -> str:
    """The command in what was typed: without the @-mention, whose name may have spaces; `HELP` for a mention alone."""
    line = text.translate(_SPACES).strip()
    if name:
        called = re.compile(
            rf"[@＠]{re.escape(name.translate(_SPACES))}(?=\s|/|／|:|：|,|，|$)[\s:：,，]*", re.IGNORECASE
        )
        line = called.sub("", line, count=1).strip()
    if line[:1] in ("@", "＠"):
        # A name we were not told, or that has changed: the command begins at the slash, else after the first word.
        at = min((i for i in (line.find(" /"), line.find(" ／")) if i >= 0), default=-1)
        line = line[at:].strip() if at >= 0 else line.partition(" ")[2].strip()
    return line or HELP


def moment(now_s: float, zone: tzinfo) -> datetime:
    """Epoch seconds as an aware moment."""
    return datetime.fromtimestamp(now_s, zone)


def _text_of(row: Mapping[str, Any], kind: str) -> str:
    """What a message says in words; "" for pictures and files, which we cannot read."""
    if kind in ("text", "voice"):
        return _word(_table(row.get(kind), kind), "content", 20_000, empty=True)
    if kind == "mixed":
        items = _table(row.get("mixed"), "mixed").get("msg_item")
        if not isinstance(items, list):
            raise Unreadable("mixed.msg_item is no list")
        texts = [_text_of(i, "text") for i in items[:50] if isinstance(i, Mapping) and i.get("msgtype") == "text"]
        return " ".join(texts)
    return ""


def _quote(quote: object) -> str:
    if not isinstance(quote, Mapping):
        return ""
    kind = quote.get("msgtype")
    return _text_of(quote, kind).strip() if isinstance(kind, str) else ""


def _table(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Unreadable(f"{name} is missing or no table")
    return value


def _word(row: Mapping[str, Any], name: str, most: int, *, empty: bool = False) -> str:
    value = row.get(name)
    if not isinstance(value, str) or len(value) > most or not (value or empty):
        raise Unreadable(f"{name} is missing, no text or too long")
    return legible(value)


def _optional(row: Mapping[str, Any], name: str, most: int) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)[:most]
    if not isinstance(value, str) or len(value) > most:
        raise Unreadable(f"{name} is no text or too long")
    return legible(value)


def _ident(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not _IDENT.match(value) or legible(value) != value:
        raise Unreadable(f"{name} is missing or no id")
    return value
