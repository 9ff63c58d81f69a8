"""What is read before it is understood: the files, and what warroom.toml says beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.adapters.oncall.model import FileModel
from bot.domain.errors import ConfigError
from bot.domain.page import Person
from bot.domain.text import Lang
from bot.yamlfile import read, where


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """What warroom.toml says: its people, its vendors' rooms, and the zone and language that go without saying."""

    people: Sequence[Person] = ()
    rooms: Mapping[str, str] = field(default_factory=dict)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    lang: Lang = "zh"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One file that was read."""

    name: str
    model: FileModel
    document: Any

    @property
    def folder(self) -> Path:
        """Where its calendars lie."""
        return Path(self.name).parent

    def at(self, *path: int | str) -> str:
        """The place and the key, for a complaint: "file:line:column: key"."""
        return f"{self.name}:{where(self.document, path)}: {'.'.join(map(str, path))}"

    @classmethod
    def of(cls, name: str, text: str) -> Source:
        """Raises ConfigError naming line, column and key."""
        model, document = read(text, name, FileModel, error=ConfigError)
        return cls(name=name, model=model, document=document)


def refuse(problems: Iterable[str], *, most: int = 8) -> None:
    """Raise ConfigError when there are problems, with the first few of them."""
    found = list(problems)
    if found:
        rest = [f"... and {len(found) - most} more"] if len(found) > most else []
        raise ConfigError("\n".join([*found[:most], *rest]))
