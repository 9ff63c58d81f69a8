"""Somebody changed something: a deploy, a permission, a setting. What `/hooks/changes` takes and kind changes finds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.domain.errors import WarroomError
from bot.domain.text import legible

MOST = 100
"""Changes in one list."""
_AHEAD = timedelta(hours=1)
"""How far a sender's clock may be ahead."""


class BadChange(WarroomError):
    """What was posted is no change; the message names the field."""


class ChangeKind(StrEnum):
    """What was changed."""

    DEPLOY = "deploy"
    PERMISSION = "permission"
    CONFIG = "config"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One change. `at` is aware; `source` is who told of it: the hook's name, "kubernetes" or "cloudaudit"."""

    at: datetime
    kind: ChangeKind
    title: str
    who: str = ""
    env: str = ""
    service: str = ""
    url: str = ""
    source: str = ""

    @property
    def key(self) -> str:
        """The same for the same change told twice, word for word."""
        words = json.dumps(list(self.to_json().values()), ensure_ascii=True)
        return hashlib.sha256(words.encode()).hexdigest()[:40]

    def to_json(self) -> dict[str, Any]:
        """A row of a list of changes."""
        return {
            "at": self.at.astimezone(UTC).isoformat(timespec="seconds"),
            "kind": self.kind.value,
            "title": self.title,
            "who": self.who,
            "env": self.env,
            "service": self.service,
            "url": self.url,
            "source": self.source,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Posted:
    """One delivery to `/hooks/changes/NAME`. `delivery` is the sender's own id of it, "" for none."""

    source: str
    delivery: str
    changes: tuple[Change, ...]


def from_json(row: Mapping[str, Any], *, source: str, now: datetime) -> Change:
    """Read what somebody posted. Raises BadChange."""
    kind = row.get("kind", "other")
    if kind not in list(ChangeKind):
        raise BadChange(f"kind must be one of {', '.join(ChangeKind)}")
    title = _text(row, "title", 300)
    if not title.strip():
        raise BadChange("title is missing")
    url = _text(row, "url", 1000)
    if url and not url.startswith(("https://", "http://")):
        raise BadChange("url must begin with https:// or http://")
    return Change(
        at=_moment(row.get("at"), now),
        kind=ChangeKind(kind),
        title=title.strip(),
        who=_text(row, "who", 100),
        env=_text(row, "env", 60),
        service=_text(row, "service", 100),
        url=url,
        source=source,
    )


def newest(changes: Sequence[Change]) -> list[Change]:
    """The newest first, at most `MOST`."""
    return sorted(changes, key=lambda c: (c.at, c.title), reverse=True)[:MOST]


def _text(row: Mapping[str, Any], name: str, limit: int) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadChange(f"{name} must be text")
    return legible(value)[:limit]


def _moment(value: Any, now: datetime) -> datetime:
    """ISO 8601 with an offset, or epoch seconds; now where nothing is given."""
    if value is None:
        return now
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
        else:
            moment = datetime.fromtimestamp(value, UTC)
    except (TypeError, ValueError, OverflowError, OSError) as exc:
        raise BadChange("at must be ISO 8601 with an offset, or epoch seconds") from exc
    if moment.tzinfo is None:
        raise BadChange("at must say its offset from UTC")
    if moment > now + _AHEAD:
        raise BadChange("at is in the future")
    return moment.astimezone(UTC)
