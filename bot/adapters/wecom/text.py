"""Text as WeCom takes it: limits count bytes of UTF-8, and what people wrote must not become a mention or a link."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bot.domain.text import legible

ELLIPSIS = "…"
FENCE = "```"
"""A line of its own; what people wrote cannot be one, see `harmless`."""
_CLOSED = f"\n{FENCE}"
_TAG = re.compile(r"<(?=[@a-zA-Z/!?])")
_LINE_START = re.compile(r"(?m)^([ \t]*)([#>]+)")
_MARKS = {"#": "＃", ">": "＞"}
_USER = re.compile(r"(?!all\Z)[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}\Z", re.IGNORECASE)


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
    """The mark that notifies somebody; "" for what is no userid, or everybody."""
    return f"<@{user}>" if _USER.match(user) else ""


def cut(text: str, limit: int) -> str:
    """At most `limit` bytes, ending in an ellipsis where something is missing; a code block is closed."""
    if size(text) <= limit:
        return text
    head = _head(text, limit - size(ELLIPSIS) - size(_CLOSED)).rstrip()
    if _inside(head):
        return head + ELLIPSIS + _CLOSED
    return head.removesuffix(FENCE).rstrip("`") + ELLIPSIS if head.endswith("`") else head + ELLIPSIS


def short(text: str, most: int) -> str:
    """One line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + ELLIPSIS


def pieces(text: str, limit: int) -> Sequence[str]:
    """The text in parts of at most `limit` bytes, none of them blank; none for a blank text.

    Cut at line ends, a longer line at a space; a code block that is cut is closed and opened again.
    """
    out: list[str] = []
    current, inside = "", False
    for line in _lines(text, limit - 2 * size(_CLOSED)):
        joined = f"{current}\n{line}" if current else line
        stays = inside != (line == FENCE)
        if current and size(joined) + (size(_CLOSED) if stays else 0) > limit:
            out.append(_ended(current) if inside else current)
            if inside and line == FENCE:
                current, inside = "", False
                continue
            joined = f"{FENCE}\n{line}" if inside else line
        current, inside = joined, stays
    out.append(_ended(current) if inside else current)
    return [part for part in out if part.strip()]


def _ended(part: str) -> str:
    """With its code block closed, or without one in which nothing stands."""
    return part.removesuffix(FENCE).rstrip("\n") if part.endswith(FENCE) else part + _CLOSED


def _lines(text: str, limit: int) -> Iterator[str]:
    """Its lines; one of more than `limit` bytes as several."""
    for line in text.split("\n"):
        while size(line) > limit:
            head = _head(line, limit)
            # Neither a word nor a mention is cut where there is a space before it.
            space = head.rfind(" ") + 1
            head = head[:space] if space > len(head) // 2 else head
            yield head
            line = line[len(head) :]
        yield line


def _inside(text: str) -> bool:
    """Whether a code block is open at the end."""
    return text.split("\n").count(FENCE) % 2 == 1


def _head(text: str, limit: int) -> str:
    """As many whole characters as fit into `limit` bytes; at least one, so that cutting ends."""
    return text.encode()[: max(limit, 0)].decode(errors="ignore") or text[:1]
