"""`key=value` as typed parameters: whole numbers, true and false, durations, and short names for common ones."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

from bot.domain.errors import UserError
from bot.domain.probe import Json
from bot.domain.text import Text

ALIASES: Mapping[str, str] = {"count": "tries", "to": "address"}
"""What people say -> the parameter, for kinds that have none of that name themselves."""
TEXTS = frozenset({"name", "host", "address", "server", "url", "sni", "query", "expect_body", "login", "version"})
"""Parameters that are text even when they look like a number."""
LISTS = frozenset({"pods", "parts", "namespaces", "sources", "match"})
"""Parameters that are lists of words, told apart by commas."""
DURATIONS = frozenset({"timeout", "spacing"})
"""Said with a unit; the parameter is in milliseconds and called `..._ms`."""
_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|min|h)")
_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_WHOLE = re.compile(r"-?\d{1,15}")
_WHOLES = re.compile(r"\d{1,9}(,\d{1,9})+")


def typed(options: Mapping[str, Json], known: Collection[str]) -> dict[str, Json]:
    """The parameters that were given. `known` are those of the kind, empty where nobody can tell. Raises UserError."""
    out: dict[str, Json] = {}
    for key, raw in options.items():
        name, value = _typed(_called(key.lower().replace("-", "_"), known), raw, known)
        if name in out:
            raise UserError("bad_parameter", Text(f"{key} 给了两次", f"{key} is given twice"))
        out[name] = value
    return out


def said(name: str, known: Collection[str]) -> str:
    """The inverse for people: "tries" is said "count", "timeout_ms" is said "timeout"."""
    for short, long in ALIASES.items():
        if name == long and short not in known:
            return short
    return name.removesuffix("_ms") if name.removesuffix("_ms") in DURATIONS else name


def _called(key: str, known: Collection[str]) -> str:
    return key if key in known else ALIASES.get(key, key)


def _typed(name: str, raw: Json, known: Collection[str]) -> tuple[str, Json]:
    duration = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
    if name in DURATIONS and name not in known and not duration:
        shown = str(raw)[:40]
        raise UserError(
            "bad_parameter",
            Text(f"{name}={shown} 不是时长；例如 {name}=2s", f"{name}={shown} is no duration; write {name}=2s"),
        )
    if not isinstance(raw, str) or name in TEXTS:
        return name, raw
    if name in LISTS:
        return name, raw.split(",")
    if duration:
        return _duration(name, float(duration[1]) * _MS[duration[2]], raw, known)
    return name, _value(raw)


def _duration(name: str, ms: float, raw: str, known: Collection[str]) -> tuple[str, Json]:
    """In the unit that the parameter has; text where it has none."""
    if name.endswith("_ms"):
        return name, round(ms)
    if f"{name}_ms" in known or (name in DURATIONS and name not in known):
        return f"{name}_ms", round(ms)
    for suffix, unit in (("s", 1000), ("seconds", 1000), ("minutes", 60_000), ("hours", 3_600_000)):
        if name == suffix or name.endswith(f"_{suffix}"):
            return name, round(ms / unit)
        if f"{name}_{suffix}" in known:
            return f"{name}_{suffix}", round(ms / unit)
    return name, raw


def _value(raw: str) -> Json:
    if raw.lower() in ("true", "false"):
        return raw.lower() == "true"
    if _WHOLE.fullmatch(raw):
        return int(raw)
    if _WHOLES.fullmatch(raw):
        return [int(number) for number in raw.split(",")]
    if raw.startswith("{"):
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            return raw
    return raw
