"""CEL expressions over facts, with three values: true, false, and unknown for what was not measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import cel

from bot.diagnosis import facts as vocabulary
from bot.diagnosis.history import CHANGE_FIELDS
from bot.domain.layers import BY_ID


class ExpressionError(ValueError):
    """An expression does not parse, or names something that is no fact."""


class Bound:
    """Facts made ready for CEL once, because converting them costs far more than an expression does."""

    __slots__ = ("context",)

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.context = cel.Context(variables=dict(facts))


class Expression:
    """One compiled CEL expression. Raises ExpressionError when it does not parse."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._program = _compile(source)

    def value(self, facts: Bound) -> Any:
        """Its value, or None when it rests on something that was not measured."""
        try:
            return self._program.execute(facts.context)
        except KeyError:
            return None
        except (RuntimeError, TypeError, ValueError) as exc:
            raise ExpressionError(f"{self.source}: {exc}") from exc

    def holds(self, facts: Bound) -> bool | None:
        """True, False, or None for unknown."""
        value = self.value(facts)
        return None if value is None else bool(value)


@lru_cache(maxsize=2048)
def _compile(source: str) -> cel.Program:
    try:
        return cel.compile(source)
    except ValueError as exc:
        raise ExpressionError(str(exc).splitlines()[0]) from exc


_PATH = re.compile(r"(?<![\w.\"'])([a-z_]\w*(?:\.[a-z_]\w*)+)(?!\w*\()")
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'")


def check_names(source: str) -> None:
    """Raise ExpressionError for a dotted name that is no fact: a typo would otherwise stay unknown for ever."""
    for path in paths(source):
        problem = path_problem(path)
        if problem:
            raise ExpressionError(f"{path}: {problem}")


def paths(source: str) -> list[str]:
    """The dotted names an expression reads, in order."""
    return [str(path) for path in _PATH.findall(_STRING.sub('""', source))]


def path_problem(path: str) -> str | None:
    """Why a dotted path names no fact, or None when it does."""
    root, *rest = path.split(".")
    if root in ("cell", "c"):
        return None
    if root == "missing":
        return None if not rest else "is a number"
    if root == "scope":
        return _one_of(rest, vocabulary.SCOPE_FIELDS, "scope")
    if root == "changes":
        return _one_of(rest, CHANGE_FIELDS, "changes")
    if root not in vocabulary.GROUPS:
        return f"unknown name; groups are {', '.join(vocabulary.GROUPS)}"
    if not rest:
        return None
    if rest[0] in vocabulary.SUB_GROUPS:
        return _one_of(rest[1:], vocabulary.SUB_GROUPS[rest[0]], rest[0]) if rest[1:] else None
    if rest[0] in BY_ID:
        return _one_of(rest[1:], vocabulary.LAYER_FIELDS, rest[0]) if rest[1:] else None
    return _one_of(rest, vocabulary.GROUP_FIELDS, root, also=BY_ID)


def _one_of(rest: list[str], known: Mapping[str, Any], where: str, also: Mapping[str, Any] | None = None) -> str | None:
    if len(rest) == 1 and rest[0] in known:
        return None
    names = ", ".join([*known, *(also or ())])
    return f"unknown field of {where}; there are: {names}"
