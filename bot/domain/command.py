"""Chat commands as typed values: `/diag sms region=shanghai` and its kin."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bot.domain.errors import UserError
from bot.domain.text import Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What somebody typed: `verb` without its slash, words in order, `key=value` pairs, and the raw text.

    `message_id` is the platform's id of the message, for telling a redelivery from a second command.
    """

    verb: str
    args: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    raw: str = ""
    user: str
    room: str
    message_id: str | None = None

    @property
    def rest(self) -> str:
        """Everything after the verb, as it was typed."""
        return self.raw.partition(" ")[2].strip()


MAX_LENGTH = 4000
"""Longer messages are refused; no command needs them (Slack allows 4,000 in a slash command)."""


def parse(text: str, *, user: str, room: str, message_id: str | None = None) -> Command:
    """Read one line of chat. A leading slash is optional; full-width slash and spaces are understood.

    Raises UserError for an empty or over-long line or an unclosed quote.
    """
    line = text.replace("\u3000", " ").strip()
    if line.startswith(("/", "／")):
        line = line[1:]
    line = line.strip()
    if not line:
        raise UserError("empty_command", Text("没有命令；/help 列出全部命令", "no command given; /help lists them all"))
    if len(line) > MAX_LENGTH:
        raise UserError(
            "too_long",
            Text(
                f"命令太长（{len(line)} 字，最多 {MAX_LENGTH}）",
                f"that command is {len(line)} characters long; at most {MAX_LENGTH} are read",
            ),
        )
    # Chat clients put tabs, line ends and no-break spaces where people typed a space.
    verb, *tail = line.split(maxsplit=1)
    verb, rest = verb.lower(), "".join(tail)
    words = rest.split() if verb in FREE_TEXT else _words(rest)
    args = tuple(w for w in words if not is_option(w))
    options = dict(w.split("=", 1) for w in words if is_option(w))
    return Command(
        verb=verb,
        args=args,
        options=options,
        raw=f"{verb} {rest}".strip(),
        user=user,
        room=room,
        message_id=message_id,
    )


FREE_TEXT = frozenset({"action", "incident", "note", "vendor"})
"""Verbs whose text is prose: quotes in it are only quotes."""


def is_option(word: str) -> bool:
    """Whether a word is `key=value` and not, say, an address with a query in it."""
    key, eq, _ = word.partition("=")
    return bool(eq) and key.replace("_", "").replace("-", "").isalnum() and key[:1].isalpha()


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError as exc:
        raise UserError(
            "bad_quotes",
            Text(f"引号没有配对：{rest}", f"a quote is not closed in: {rest}"),
        ) from exc


def unknown(what: Text, word: str, known: Iterable[str], hint: Text) -> UserError:
    """The error for a name that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    zh = f"没有找到{what.zh} “{word}”" + (f"；是不是 “{near[0]}”？" if near else "；") + hint.zh
    en = f'{what.en} "{word}" not found; ' + (f'did you mean "{near[0]}"? ' if near else "") + hint.en
    return UserError(f"unknown_{what.en.replace(' ', '_')}", Text(zh, en))
