"""Text that exists in Chinese and English."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Lang = Literal["zh", "en"]
LANGS: tuple[Lang, ...] = ("zh", "en")


@dataclass(frozen=True, slots=True)
class Text:
    """One thing said in both languages."""

    zh: str
    en: str

    def in_(self, lang: Lang) -> str:
        """The wording in one language."""
        return self.zh if lang == "zh" else self.en

    def fill(self, facts: Mapping[str, Any]) -> Text:
        """Fill `{dotted.path}` fields from nested mappings.

        Brackets in which a value is missing or empty are left out; outside brackets a missing value becomes "?".
        Formats: `{x:pct}` share 0..1 as a percentage, `{x:ms}` milliseconds, `{x:span}` milliseconds without their
        sign in the unit a reader would choose, `{x:n}` a number with separators, `{x:list}` a joined list. Only
        mappings are walked, never attributes of objects.
        """
        return Text(zh=_filled(self.zh, facts), en=_filled(self.en, facts))

    def __add__(self, other: Text) -> Text:
        return Text(zh=self.zh + other.zh, en=self.en + other.en)

    def to_json(self) -> dict[str, str]:
        """{"zh": ..., "en": ...}"""
        return {"zh": self.zh, "en": self.en}


def same(word: str) -> Text:
    """A word that is the same in both languages: a name, a number, an address."""
    return Text(zh=word, en=word)


def join(parts: Sequence[Text], *, zh: str = "、", en: str = ", ") -> Text:
    """Join texts with each language's own separator."""
    return Text(zh=zh.join(p.zh for p in parts), en=en.join(p.en for p in parts))


def lang_of(word: str, default: Lang = "zh") -> Lang:
    """The language a configuration word names; `default` for anything else."""
    if word == "zh" or word.startswith("zh-"):
        return "zh"
    if word == "en" or word.startswith("en-"):
        return "en"
    return default


class _Filler(string.Formatter):
    """`str.format` over nested mappings only: no attribute access, no positional fields, never an error."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        value: Any = kwargs
        for part in field_name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value, field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None:
            return "?"
        if format_spec == "pct":
            return percent(float(value))
        if format_spec == "ms":
            return f"{float(value):.0f} ms"
        if format_spec == "span":
            return span(abs(float(value)))
        if format_spec == "n":
            return f"{float(value):,.0f}"
        if format_spec == "list":
            return ", ".join(str(v) for v in value)
        return str(value)

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        return value


_FILL = _Filler()
_BETWEEN = re.compile(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])")
_BRACKETS = re.compile(r" ?\([^()]*\)|（[^（）]*）")


def _filled(template: str, facts: Mapping[str, Any]) -> str:
    if "{" not in template:
        return template
    return tight(_FILL.vformat(_BRACKETS.sub(lambda found: _known(found[0], facts), template), (), facts))


def tight(text: str) -> str:
    """Without the space that a template has around a name, where the name turned out to be Chinese."""
    return _BETWEEN.sub("", text)


def _known(aside: str, facts: Mapping[str, Any]) -> str:
    """What stands in brackets, or nothing where there is nothing to say."""
    values = (_FILL.get_field(path, (), facts)[0] for path in FIELD.findall(aside))
    return "" if any(value is None or value in ("", [], ()) for value in values) else aside


def span(ms: float) -> str:
    """A length of time in ms, s or min."""
    if ms < 10_000:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.0f} s" if ms < 120_000 else f"{ms / 60_000:.0f} min"


def percent(share: float) -> str:
    """A share as people read it: never "100 %" for something that failed once, nor "0 %" for one that worked once."""
    if 0.995 <= share < 1:
        return ">99%"
    if 0 < share <= 0.005:
        return "<1%"
    return f"{share * 100:.0f}%"


_ILLEGIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, overrides of the writing direction, and lone surrogates."""


def legible(text: str) -> str:
    """The text as it may be shown and kept anywhere: nothing in it moves a cursor, reorders a line or breaks UTF-8."""
    return _ILLEGIBLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


FIELD = re.compile(r"{([a-z_][a-z0-9_.]*)(?::[a-z]+)?}")
"""Matches the fields of a template, for checks of playbooks."""
