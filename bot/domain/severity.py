"""The order of severities: "sev1" is the gravest, and what a team adds goes by its name among them."""

from __future__ import annotations

from collections.abc import Iterable


def graver(one: str, other: str) -> bool:
    """Whether a severity is graver than another."""
    return one < other


def gravest(severities: Iterable[str]) -> str:
    """The gravest of some; at least one is given."""
    return min(severities)
