"""Playbooks and hypotheses from YAML files, with file, line and column in every complaint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.tokens import AliasToken, AnchorToken

from bot.adapters.playbooks.hypothesis_model import HypothesisModel
from bot.adapters.playbooks.playbook_model import PlaybookModel
from bot.diagnosis.expressions import Expression, ExpressionError, check_names, path_problem
from bot.diagnosis.hypothesis import HEALTHY, Hypothesis
from bot.domain.errors import PlaybookError
from bot.domain.playbook import Playbook
from bot.domain.text import FIELD

MAX_FILE = 256 * 1024
"""Bytes; a larger playbook is refused unread."""

Model = TypeVar("Model", PlaybookModel, HypothesisModel)


def read_playbook(text: str, *, name: str = "playbook") -> Playbook:
    """One playbook. Raises PlaybookError naming file, line, column and the mistake."""
    model, document = _read(text, name, PlaybookModel)
    try:
        return model.value()
    except ValueError as exc:
        raise PlaybookError(f"{name}:{_where(document, ('targets',))}: {exc}") from exc


def read_hypothesis(text: str, *, name: str = "hypothesis") -> Hypothesis:
    """One hypothesis, its expressions compiled and their names checked. Raises PlaybookError."""
    model, document = _read(text, name, HypothesisModel)
    for path, source in _expressions(model):
        try:
            Expression(source)
            check_names(source)
        except ExpressionError as exc:
            raise PlaybookError(f"{name}:{_where(document, path)}: {'.'.join(map(str, path))}: {exc}") from exc
    for path, template in _templates(model):
        for field in FIELD.findall(template):
            problem = path_problem(field)
            if problem:
                raise PlaybookError(f"{name}:{_where(document, path)}: {{{field}}}: {problem}")
    if model.culprit is not None and "kind" not in model.culprit:
        raise PlaybookError(f"{name}:{_where(document, ('culprit',))}: culprit needs a kind")
    return model.value()


def load_playbooks(folder: Path) -> dict[str, Playbook]:
    """Every `*.yaml` of a folder by playbook name. Raises PlaybookError."""
    found: dict[str, Playbook] = {}
    for path in sorted(folder.glob("*.yaml")):
        playbook = read_playbook(_file(path), name=str(path))
        if playbook.name in found:
            raise PlaybookError(f"{path}:1:1: playbook {playbook.name!r} is defined twice")
        found[playbook.name] = playbook
    return found


def load_hypotheses(folder: Path) -> tuple[Hypothesis, ...]:
    """Every `hypotheses/*.yaml` of a playbooks folder, by id. Raises PlaybookError; `healthy` must be there."""
    found = {
        h.id: h for h in (read_hypothesis(_file(p), name=str(p)) for p in sorted(folder.glob("hypotheses/*.yaml")))
    }
    if HEALTHY not in found:
        raise PlaybookError(f"{folder}: hypotheses/{HEALTHY}.yaml is missing; nothing could ever be called healthy")
    return tuple(found[key] for key in sorted(found))


def check_file(path: Path) -> str:
    """Check a playbook or a hypothesis; returns what it is ("playbook sms"). Raises PlaybookError."""
    text = _file(path)
    if re.search(r"^hypothesis\s*:", text, re.MULTILINE):
        return f"hypothesis {read_hypothesis(text, name=str(path)).id}"
    return f"playbook {read_playbook(text, name=str(path)).name}"


def schema(what: str = "playbook") -> dict[str, Any]:
    """The JSON Schema for editors."""
    model = HypothesisModel if what == "hypothesis" else PlaybookModel
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True),
        "title": f"Warroom {what}",
    }


def _file(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE:
            raise PlaybookError(f"{path}: larger than {MAX_FILE // 1024} KiB")
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise PlaybookError(f"{path}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise PlaybookError(f"{path}: is not UTF-8 text") from exc


def _read(text: str, name: str, model: type[Model]) -> tuple[Model, Any]:
    if len(text) > MAX_FILE:
        raise PlaybookError(f"{name}: larger than {MAX_FILE // 1024} KiB")
    if ("&" in text or "*" in text) and _has_alias(text):
        raise PlaybookError(f"{name}:1:1: anchors and aliases are not read here; write the value out")
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise PlaybookError(f"{name}:{where}: {exc.problem or exc.context}") from exc
    except (YAMLError, ValueError, RecursionError) as exc:
        raise PlaybookError(f"{name}:1:1: cannot be read as YAML: {type(exc).__name__}") from exc
    if not isinstance(document, CommentedMap):
        raise PlaybookError(f"{name}:1:1: must be a mapping that starts with `{next(iter(model.model_fields))}: NAME`")
    try:
        return model.model_validate(_plain(document)), document
    except ValidationError as exc:
        raise PlaybookError(_explain(exc, name, document)) from exc


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
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _explain(error: ValidationError, name: str, document: Any) -> str:
    lines = []
    for problem in error.errors()[:5]:
        path = tuple(p for p in problem["loc"] if not (isinstance(p, str) and p.startswith("function-")))
        what = {"extra_forbidden": "unknown key", "missing": "is missing"}.get(problem["type"], problem["msg"])
        key = ".".join(str(p) for p in path)
        lines.append(
            f"{name}:{_where(document, path)}: {key + ': ' if key else ''}{what.removeprefix('Value error, ')}"
        )
    return "\n".join(lines)


def _where(document: Any, path: tuple[int | str, ...]) -> str:
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


def _expressions(model: HypothesisModel) -> Iterator[tuple[tuple[int | str, ...], str]]:
    yield ("explains",), model.explains
    for i, evidence in enumerate(model.evidence):
        yield ("evidence", i, "when"), evidence.when
    for key, source in (model.culprit or {}).items():
        if key != "kind":
            yield ("culprit", key), source


def _templates(model: HypothesisModel) -> Iterator[tuple[tuple[int | str, ...], str]]:
    for key, said in (("title", model.title), ("remedy", model.remedy), ("remedy_unnamed", model.remedy_unnamed)):
        if said is not None:
            yield (key,), said.zh
            yield (key,), said.en
    for i, evidence in enumerate(model.evidence):
        for key, both in (("text", evidence.text), ("otherwise", evidence.otherwise)):
            if both is not None:
                yield ("evidence", i, key), both.zh
                yield ("evidence", i, key), both.en
