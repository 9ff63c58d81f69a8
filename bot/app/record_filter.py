"""What people type to see part of the timeline: `kind=note by=lin since=23:40 "COS down"`, wherever it is asked."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.app.times import read_past
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind
from bot.domain.record import Filter
from bot.domain.text import Text, join

KINDS: Mapping[EntryKind, Text] = {
    EntryKind.COMMAND: Text("命令", "command"),
    EntryKind.PROBES: Text("探测", "probes"),
    EntryKind.VERDICT: Text("结论", "verdict"),
    EntryKind.PAGE: Text("呼叫", "page"),
    EntryKind.CALL: Text("电话", "call"),
    EntryKind.ACK: Text("确认", "ack"),
    EntryKind.ESCALATION: Text("升级", "escalation"),
    EntryKind.NOTE: Text("备注", "note"),
    EntryKind.INCIDENT: Text("故障", "incident"),
    EntryKind.VENDOR: Text("厂商", "vendor"),
    EntryKind.ONCALL: Text("值班", "on-call"),
    EntryKind.NOTICE: Text("提醒", "notice"),
    EntryKind.WATCH: Text("盯守", "watch"),
    EntryKind.CHANGE: Text("变更", "change"),
    EntryKind.ALERT: Text("告警", "alert"),
    EntryKind.RECOVERY: Text("恢复", "recovery"),
    EntryKind.CORRECTION: Text("更正", "correction"),
}
"""What people call the kinds of entries."""
OPTIONS: Mapping[str, str] = {
    "kind": "kind",
    "类型": "kind",
    "by": "by",
    "谁": "by",
    "since": "since",
    "从": "since",
    "until": "until",
    "到": "until",
    "before": "before",
    "之前": "before",
    "after": "after",
    "之后": "after",
}
"""The options there are, by what is typed."""
MOST_WORDS = 10


def read_filter(options: Mapping[str, str], words: Sequence[str], *, now: datetime, zone: ZoneInfo) -> Filter:
    """The filter that was typed; times are the last such before `now`. Raises UserError for what cannot be read."""
    given = {_option(key): value for key, value in options.items() if value}
    since, until = (read_past(given[key], now=now, zone=zone) if key in given else None for key in ("since", "until"))
    if since and until and until <= since:
        raise UserError(
            "bad_time", Text("until 要晚于 since；请把两个时间对调", "until must be later than since; swap the two")
        )
    return Filter(
        kinds=frozenset(_kind(word) for word in given.get("kind", "").replace("，", ",").split(",") if word.strip()),
        actor=given.get("by", "").strip().removeprefix("@"),
        since=since,
        until=until,
        words=tuple(words)[:MOST_WORDS],
    )


def cursors(options: Mapping[str, str]) -> tuple[int, int]:
    """(before, after): numbers of entries, 0 for none. Raises UserError."""
    given = {_option(key): value for key, value in options.items() if value}
    before, after = (number(given[key]) if key in given else 0 for key in ("before", "after"))
    return before, after


def number(word: str) -> int:
    """The number of an entry as it is typed: "#17" or "17". Raises UserError."""
    digits = word.strip().lstrip("#＃")
    if not (digits.isascii() and digits.isdigit() and 0 < len(digits) < 16):
        raise UserError(
            "bad_number",
            Text(
                f"“{word}” 不是记录编号；时间线每行开头有编号，如 #17",
                f'"{word}" is no number of an entry; every line of the timeline begins with one, such as #17',
            ),
        )
    return int(digits)


def again(options: Mapping[str, str], words: Sequence[str], **cursor: str) -> str:
    """The same filter as it would be typed, at another place."""
    kept = {_option(key): value for key, value in options.items() if _option(key) not in ("before", "after")}
    typed = [shlex.quote(word) for word in words]
    typed += [shlex.quote(f"{key}={value}") if " " in value else f"{key}={value}" for key, value in kept.items()]
    return " ".join([*typed, *(f"{key}={value}" for key, value in cursor.items())])


def shown(wanted: Filter, options: Mapping[str, str]) -> Text:
    """The filter in words; empty where there is none."""
    parts = [join([KINDS[kind] for kind in EntryKind if kind in wanted.kinds])] if wanted.kinds else []
    if wanted.actor:
        parts.append(Text(f"由 {wanted.actor}", f"by {wanted.actor}"))
    given = {_option(key): value for key, value in options.items()}
    if wanted.since:
        parts.append(Text(f"从 {given['since']}", f"since {given['since']}"))
    if wanted.until:
        parts.append(Text(f"到 {given['until']}", f"until {given['until']}"))
    parts += [Text(f"“{word}”", f'"{word}"') for word in wanted.words]
    return join(parts, zh="，")


def _option(word: str) -> str:
    known = OPTIONS.get(word.lower())
    if known is None:
        names = list(dict.fromkeys(OPTIONS.values()))
        hint = Text(f"可用：{'、'.join(names)}", f"there are: {', '.join(names)}")
        raise unknown(Text("选项", "option"), word, names, hint)
    return known


def _kind(word: str) -> EntryKind:
    typed = word.strip().lower()
    for kind, title in KINDS.items():
        if typed in (kind.value, title.zh, title.en, f"{title.en}s"):
            return kind
    names = [kind.value for kind in EntryKind]
    hint = Text(f"可用：{'、'.join(names)}", f"there are: {', '.join(names)}")
    raise unknown(Text("类型", "kind"), typed, names, hint)
