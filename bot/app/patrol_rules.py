"""`[patrol]` and `[[vpcs]]` of the configuration, read into `PatrolRules`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bot.domain.errors import ConfigError
from bot.domain.patrol import PatrolRules

Value = Callable[[str, str, str], str]
"""(section, key, default) -> what the file or the environment says."""
DEFAULT = PatrolRules()
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)?")
_UNITS = {"s": 1, "m": 60, "h": 3600}


def read_rules(value: Value, vpcs: Sequence[Mapping[str, Any]]) -> PatrolRules:
    """The rules from `[patrol]` and `[[vpcs]]`. Raises ConfigError naming the key and what it must be."""

    def number(key: str, low: float, high: float) -> float:
        return _number(key, value("patrol", key, str(getattr(DEFAULT, key))), low, high)

    rules = PatrolRules(
        every=_every(value("patrol", "every", "60s")),
        playbooks=_names(value("patrol", "playbooks", "")),
        room=value("patrol", "room", DEFAULT.room),
        open_incidents=_switch("patrol.open_incidents", value("patrol", "open_incidents", "false")),
        rounds=int(number("rounds", 1, 60)),
        of=int(number("of", 1, 60)),
        vantage_points=int(number("vantage_points", 1, 1000)),
        certificate_days=int(number("certificate_days", 0, 365)),
        connections_share=number("connections_share", 0.01, 1),
        dns_share=number("dns_share", 0.01, 1),
        dns_limits=dict(_dns_limit(row) for row in vpcs),
    )
    if rules.rounds > rules.of:
        raise ConfigError(f"patrol.rounds is {rules.rounds}, which can never be reached in patrol.of = {rules.of}")
    return rules


def _every(word: str) -> timedelta:
    """Zero for "off"."""
    if word.strip().lower() in ("off", "false", "0"):
        return timedelta()
    match = _DURATION.fullmatch(word.strip())
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    if not 10 <= seconds <= 86_400:
        raise ConfigError(f'patrol.every is {word!r}; it must read "60s", "5m" (10 s to 24 h) or "off"')
    return timedelta(seconds=seconds)


def _names(word: str) -> tuple[str, ...]:
    """A list, as TOML has it or with commas as the environment has it."""
    return tuple(re.findall(r"[A-Za-z0-9_-]+", word))


def _switch(key: str, word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise ConfigError(f"{key} is {word!r}; it must be true or false")
    return word.lower() == "true"


def _number(key: str, given: str, low: float, high: float) -> float:
    try:
        found = float(given)
    except ValueError:
        found = math.nan
    if not low <= found <= high:
        raise ConfigError(f"patrol.{key} is {given!r}; it must be a number from {low:g} to {high:g}")
    return found


def _dns_limit(row: Mapping[str, Any]) -> tuple[str, float]:
    name, given = str(row.get("name", "")).strip(), row.get("dns_limit")
    if not name:
        raise ConfigError("[[vpcs]]: name is missing")
    if isinstance(given, bool) or not isinstance(given, (int, float)) or given <= 0:
        raise ConfigError(f"[[vpcs]] {name}: dns_limit is {given!r}; it must be the queries/s one client may send")
    return name, float(given)
