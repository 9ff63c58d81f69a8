"""RSS 2.0 and Atom (RFC 4287), read safely: a document that brings a DOCTYPE is refused.

Every trick of XML (entities that grow without bound, entities that name files or addresses) is declared in a
DOCTYPE, and no feed needs one. Expat on its own fetches nothing, so no further library is needed for that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from xml.parsers import expat

MAX_ITEMS = 200
MAX_TEXT = 4000
_DEEPEST = 32
_FIELDS: Mapping[str, str] = {
    "title": "title",
    "link": "link",
    "pubDate": "at",
    "published": "at",
    "updated": "updated",
    "date": "at",
    "description": "text",
    "summary": "text",
    "content": "text",
}
"""Local names of RSS, Atom and Dublin Core, and which part of an item each one is."""
_TAG = re.compile(r"<[^<>]{0,1000}>")


class NoFeed(Exception):
    """The document is not a feed; the message says what is wrong with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One entry; `at` is when it was first published, else when it was last changed."""

    title: str
    url: str
    at: datetime | None
    text: str


@dataclass(slots=True)
class _Reading:
    """The state of reading one document."""

    path: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    item: dict[str, str] | None = None
    feed: bool = False

    def begin(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        name = _local(name)
        if not self.path:
            self.feed = name in ("rss", "feed", "RDF")
        self.path.append(name)
        if len(self.path) > _DEEPEST:
            raise NoFeed("elements are nested too deep")
        if name in ("item", "entry"):
            self.item = {}
        elif name == "link" and self.item is not None and attributes.get("rel", "alternate") == "alternate":
            self.item["link"] = attributes.get("href", "")[:MAX_TEXT]

    def text(self, data: str) -> None:
        """Text within the innermost element; only the direct children of an item count."""
        if self.item is None or len(self.path) < 2 or self.path[-2] not in ("item", "entry"):
            return
        part = _FIELDS.get(self.path[-1])
        if part is not None:
            self.item[part] = (self.item.get(part, "") + data)[:MAX_TEXT]

    def end(self, name: str) -> None:
        """An element ends."""
        self.path.pop()
        if _local(name) in ("item", "entry") and self.item is not None:
            if len(self.items) < MAX_ITEMS:
                self.items.append(_item(self.item))
            self.item = None


def read(document: bytes) -> list[Item]:
    """The entries in the order of the document, at most 200. Raises NoFeed."""
    parser = expat.ParserCreate(namespace_separator=" ")
    seen = _Reading()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.StartElementHandler = seen.begin
    parser.CharacterDataHandler = seen.text
    parser.EndElementHandler = seen.end
    try:
        parser.Parse(document, True)
    except expat.ExpatError as exc:
        raise NoFeed(f"not well-formed XML: {expat.ErrorString(exc.code)}") from exc
    except (ValueError, LookupError) as exc:
        raise NoFeed("in an encoding nobody knows") from exc
    if not seen.feed:
        raise NoFeed("neither RSS nor Atom")
    return seen.items


def plain(text: str) -> str:
    """Text out of HTML, for reading a word or two; not for showing it as HTML again."""
    return " ".join(_TAG.sub(" ", text).split())


def _refuse(*_: object) -> None:
    raise NoFeed("it declares a DOCTYPE, which a feed has no need of")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _item(parts: Mapping[str, str]) -> Item:
    return Item(
        title=plain(parts.get("title", ""))[:200],
        url=parts.get("link", "").strip()[:500],
        at=moment(parts.get("at", "")) or moment(parts.get("updated", "")),
        text=plain(parts.get("text", "")),
    )


def moment(text: str) -> datetime | None:
    """RFC 3339 or RFC 822; None for neither. Without an offset it is taken for UTC."""
    text = text.strip()[:64]
    for reader in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = reader(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return None
