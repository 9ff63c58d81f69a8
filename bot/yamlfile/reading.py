"""Reading one file: bounded, without aliases, strict, and every mistake with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.tokens import AliasToken, AnchorToken

from bot.domain.errors import WarroomError

MAX_FILE = 256 * 1024
"""Bytes; a larger file is refused unread."""

Model = TypeVar("Model", bound=BaseModel)


def text_of(path: Path, *, error: type[WarroomError], most: int = MAX_FILE, encoding: str = "utf-8") -> str:
    """What is in a file of up to `most` bytes; `encoding` is one of UTF-8's. Raises `error`."""
    try:
        if path.stat().st_size > most:
            raise error(f"{path}: larger than {most // 1024} KiB")
        return path.read_text(encoding=encoding)
    except OSError as exc:
        raise error(f"{path}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise error(f"{path}: is not UTF-8 text") from exc


def read(text: str, name: str, model: type[Model], *, error: type[WarroomError]) -> tuple[Model, Any]:
    """The model, and the document that `where` takes. Raises `error` with "name:line:column: key: what is wrong"."""
    if len(text) > MAX_FILE:
        raise error(f"{name}: larger than {MAX_FILE // 1024} KiB")
    if ("&" in text or "*" in text) and _has_alias(text):
        raise error(f"{name}:1:1: anchors and aliases are not read here; write the value out")
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise error(f"{name}:{place}: {exc.problem or exc.context}") from exc
    except (YAMLError, ValueError, RecursionError) as exc:
        raise error(f"{name}:1:1: cannot be read as YAML: {type(exc).__name__}") from exc
    if not isinstance(document, CommentedMap):
        raise error(f"{name}:1:1: must be a mapping that starts with `{next(iter(model.model_fields))}: NAME`")
    try:
        return model.model_validate(_plain(document)), document
    except ValidationError as exc:
        raise error(_explain(exc, name, document)) from exc
    except UnicodeEncodeError as exc:
        raise error(f"{name}:1:1: holds half a character ({exc.object[exc.start]!r}); write it whole") from exc


def where(document: Any, path: tuple[int | str, ...]) -> str:
    """`line:column` of the deepest part of the path that is in the file."""
    line, column, node = 1, 1, document
    for part in path:
        try:
            if isinstance(node, CommentedMap):
                at = node.lc.key(part)
            elif isinstance(node, CommentedSeq):
                at = node.lc.item(part)
            else:
                break
            line, column, node = at[0] + 1, at[1] + 1, node[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return f"{line}:{column}"


def _has_alias(text: str) -> bool:
    """Aliases let a small file grow without bound ("billion laughs"); nothing here needs them."""
    try:
        return any(isinstance(t, (AliasToken, AnchorToken)) for t in YAML(typ="rt").scan(text))
    except YAMLError:
        return False


def _plain(value: Any) -> Any:
    if isinstance(value, CommentedMap):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, CommentedSeq):
        return [_plain(v) for v in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        value.encode()  # "\ud800" is half a character: nothing can print or keep it
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _explain(problems: ValidationError, name: str, document: Any) -> str:
    lines = []
    for problem in problems.errors()[:5]:
        path = tuple(p for p in problem["loc"] if not (isinstance(p, str) and p.startswith("function-")))
        what = {"extra_forbidden": "unknown key", "missing": "is missing"}.get(problem["type"], problem["msg"])
        key = ".".join(str(p) for p in path)
        lines.append(f"{name}:{where(document, path)}: {key + ': ' if key else ''}{what.removeprefix('Value error, ')}")
    return "\n".join(lines)
