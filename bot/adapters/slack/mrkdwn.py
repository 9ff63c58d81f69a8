"""Slack's markup: text of ours made safe for it, and what people typed read back from it."""

from __future__ import annotations

import re
from collections.abc import Iterator

ZERO_WIDTH = "\u200b"


def length(text: str) -> int:
    """Characters as Slack counts them: UTF-16 units, so that an emoji may be two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def escape(text: str) -> str:
    """Text in which nothing is a mention, a link or a broadcast (docs.slack.dev: formatting, escaping)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_URL = re.compile(r"https?://[^\s<>\"'|，。；、）)】\]]+")


def rich(text: str) -> str:
    """Escaped text whose web addresses can be tapped."""
    parts: list[str] = []
    end = 0
    for found in _URL.finditer(text):
        parts += [escape(text[end : found.start()]), f"<{escape(found[0])}>"]
        end = found.end()
    return "".join([*parts, escape(text[end:])])


def verbatim(text: str) -> str:
    """Escaped text for a code block: no run of backticks in it can end the block."""
    return re.sub("`(?=``)", f"`{ZERO_WIDTH}", escape(text))


def bold(text: str) -> str:
    """Bold, where there is something to be bold; asterisks inside would end it."""
    inner = escape(text.replace("*", "∗").replace("\n", " ").strip())
    return f"*{inner}*" if inner else ""


def cut(text: str, most: int) -> str:
    """The beginning of a text with an ellipsis, at most so many characters as Slack counts."""
    if length(text) <= most:
        return text
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * (most - 1)].decode("utf-16-le", "ignore")
    # Half an entity or half an address would be read as text.
    return re.sub(r"(&[a-z]{0,4}|<[^>]*)$", "", kept).rstrip() + "…"


def pieces(text: str, most: int) -> Iterator[str]:
    """The text in pieces of at most so many characters, cut at line ends where that is possible. Nothing is lost."""
    piece = ""
    for line in text.split("\n"):
        if piece and length(piece) + 1 + length(line) > most:
            yield piece
            piece = ""
        elif piece:
            piece += "\n"
        while length(line) > most:
            head = _head(line, most)
            yield head
            line = line[len(head) :]
        piece += line
    if piece.strip():
        yield piece


def _head(line: str, most: int) -> str:
    head = line.encode("utf-16-le", "surrogatepass")[: 2 * most].decode("utf-16-le", "ignore")
    # Neither an entity nor an address may be cut in two, nor a word where there is a space to cut at.
    for mark in (re.search(r"&[a-z]{0,4}$", head), re.search(r"<[^>]*$", head)):
        if mark and mark.start() > 0:
            head = head[: mark.start()]
    space = head.rfind(" ")
    return head[: space + 1] if space > most // 2 else head


_MARK = re.compile(r"<([^<>]*)>")


def typed(text: str, *, bot: str = "") -> str:
    """What somebody typed, read back from the markup Slack wraps it in; mentions of `bot` are left out.

    A person becomes "@U024BE7LH", a channel "#name", an address what was typed of it.
    """
    plain = _MARK.sub(lambda found: _meant(found[1], bot), text)
    plain = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()
    # A command in code marks is still a command.
    return plain.strip("`").strip() if plain.startswith("`") and plain.endswith("`") else plain


def _meant(mark: str, bot: str) -> str:
    target, _, label = mark.partition("|")
    if target.startswith("@"):
        return "" if bot and target[1:] == bot else target
    if target.startswith("#"):
        return f"#{label}" if label else target
    if target.startswith("!"):
        kind, _, ident = target[1:].partition("^")
        return label if label.startswith("@") else f"@{label or ident or kind}"
    # "example.com" typed by hand comes as <http://example.com|example.com>.
    bare = target.removeprefix("mailto:").removeprefix("tel:")
    return label if label and bare.rstrip("/").endswith(label.rstrip("/")) else bare


_ACCOUNT = re.compile(r"[UW][A-Z0-9]{2,}")
_GROUP = re.compile(r"S[A-Z0-9]{2,}")


def mention(account: str) -> str:
    """A mention of an account or a user group; "" for what is neither."""
    if _ACCOUNT.fullmatch(account):
        return f"<@{account}>"
    return f"<!subteam^{account}>" if _GROUP.fullmatch(account) else ""


def first_mention(text: str) -> str:
    """The account the text begins with a mention of; "" when it begins with something else."""
    found = re.match(r"\s*<@([A-Z0-9]+)(?:\|[^>]*)?>", text)
    return found[1] if found else ""
