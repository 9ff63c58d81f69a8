"""Playbooks and hypotheses from YAML files, with file, line and column in every complaint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from bot.adapters.playbooks.hypothesis_model import HypothesisModel
from bot.adapters.playbooks.playbook_model import PlaybookModel
from bot.diagnosis.expressions import Expression, ExpressionError, check_names, path_problem
from bot.diagnosis.hypothesis import HEALTHY, Hypothesis
from bot.domain.errors import PlaybookError
from bot.domain.playbook import Playbook
from bot.domain.text import FIELD
from bot.yamlfile import read, text_of, where

Model = TypeVar("Model", PlaybookModel, HypothesisModel)


def read_playbook(text: str, *, name: str = "playbook") -> Playbook:
    """One playbook. Raises PlaybookError naming file, line, column and the mistake."""
    model, document = _read(text, name, PlaybookModel)
    try:
        return model.value()
    except ValueError as exc:
        raise PlaybookError(f"{name}:{where(document, ('targets',))}: {exc}") from exc


def read_hypothesis(text: str, *, name: str = "hypothesis") -> Hypothesis:
    """One hypothesis, its expressions compiled and their names checked. Raises PlaybookError."""
    model, document = _read(text, name, HypothesisModel)
    for path, source in _expressions(model):
        try:
            Expression(source)
            check_names(source)
        except ExpressionError as exc:
            raise PlaybookError(f"{name}:{where(document, path)}: {'.'.join(map(str, path))}: {exc}") from exc
    for path, template in _templates(model):
        for field in FIELD.findall(template):
            problem = path_problem(field)
            if problem:
                raise PlaybookError(f"{name}:{where(document, path)}: {{{field}}}: {problem}")
    if model.culprit is not None and "kind" not in model.culprit:
        raise PlaybookError(f"{name}:{where(document, ('culprit',))}: culprit needs a kind")
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
    return text_of(path, error=PlaybookError)


def _read(text: str, name: str, model: type[Model]) -> tuple[Model, Any]:
    return read(text, name, model, error=PlaybookError)


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
