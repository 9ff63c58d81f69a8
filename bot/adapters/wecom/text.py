"""Text as WeCom takes it: limits count bytes of UTF-8, and what people wrote must not become a mention or a link."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.domain.text import legible

ELLIPSIS = "…"
_TAG = re.compile(r"<(?=[@a-zA-Z/!?])")
_LINE_START = re.compile(r"(?m)^([ \t]*)([#>]+)")
_MARKS = {"#": "＃", ">": "＞"}
_USER = re.compile(r"[A-Za-z0-9_.@-]{1,64}\Z")


def size(text: str) -> int:
    """Bytes of UTF-8, which is what WeCom counts."""
    return len(text.encode())


def harmless(text: str) -> str:
    """Somebody else's words inside our markdown: no mention, tag, link, picture, heading, quote or code begins there.

    WeCom's application messages know no backslash escapes, so marks are replaced by signs that look like them.
    """
    text = _TAG.sub("＜", legible(text)).replace("](", "] (").replace("][", "] [").replace("]:", "] :")
    text = text.replace("`", "'").replace("*", "∗").replace("~~", "～～").replace("__", "_ _")
    return _LINE_START.sub(lambda found: found[1] + "".join(_MARKS[c] for c in found[2]), text)


def mention(user: str) -> str:
    """The mark that notifies somebody; "" for what is no userid."""
    return f"<@{user}>" if _USER.match(user) else ""


def cut(text: str, limit: int) -> str:
    """At most `limit` bytes, ending in an ellipsis where something is missing."""
    if size(text) <= limit:
        return text
    return _head(text, limit - size(ELLIPSIS)).rstrip() + ELLIPSIS


def short(text: str, most: int) -> str:
    """One line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + ELLIPSIS


def pieces(text: str, limit: int) -> Sequence[str]:
    """The text in parts of at most `limit` bytes, cut at line ends where lines are not longer than that."""
    out, current = [], ""
    for line in text.split("\n"):
        joined = f"{current}\n{line}" if current else line
        if size(joined) <= limit:
            current = joined
            continue
        if current:
            out.append(current)
        while size(line) > limit:
            head = _head(line, limit)
            out.append(head)
            line = line[len(head) :]
        current = line
    if current.strip() or not out:
        out.append(current)
    return out


def _head(text: str, limit: int) -> str:
    """As many whole characters as fit into `limit` bytes; at least one, so that cutting ends."""
    return text.encode()[: max(limit, 0)].decode(errors="ignore") or text[:1]
