"""Templates in a sandbox: what is on record is data and never markup, and a template reaches nothing but the report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
)
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context

from bot.app.plain import SYMBOLS
from bot.app.postmortem.model import Report
from bot.app.words import duration
from bot.domain.errors import ConfigError, UserError
from bot.domain.message import CellState, Matrix, MatrixCell
from bot.domain.text import Lang, Text, percent

NAMES = ("postmortem.md", "postmortem.html")
STATES: Mapping[CellState, Text] = {
    "up": Text("正常", "works"),
    "down": Text("不通", "fails"),
    "lossy": Text("部分成功", "partly"),
    "slow": Text("慢", "slow"),
    "none": Text("未测", "not asked"),
    "missing": Text("没有数据", "no data"),
    "denied": Text("策略不许", "denied"),
    "pending": Text("进行中", "asking"),
}
"""The word beside each colour."""


class Templates:
    """The shipped templates, or those of the team's folder in their place. Raises ConfigError."""

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"paths.templates: {folder} is no folder")
        shipped: BaseLoader = PackageLoader("bot.adapters.postmortem")
        own = [FileSystemLoader(folder)] if folder else []
        # A team's template may include the one it stands in front of.
        loader = ChoiceLoader([*own, shipped, PrefixLoader({"shipped": shipped})])
        self._plain, self._html = _environment(loader, markup=False), _environment(loader, markup=True)
        for name in NAMES:
            try:
                self._of(name).get_template(f"{name}.j2")
            except TemplateError as exc:
                raise ConfigError(f"paths.templates: {name}.j2: {_where(exc)}") from exc

    def render(self, name: str, report: Report, lang: Lang) -> str:
        """The report in one language. Raises UserError that names the template and its mistake."""
        try:
            text = self._of(name).get_template(f"{name}.j2").render(report=report, lang=lang)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as exc:
            why = f"{name}.j2: {_where(exc)}"
            raise UserError(
                "bad_template",
                Text(
                    f"复盘模板有误：{why}；改 [paths] templates 里的文件，或删掉它用自带的",
                    f"the postmortem template has a mistake: {why}; mend the file in [paths] templates, or take it "
                    "away to use the shipped one",
                ),
            ) from exc
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

    def _of(self, name: str) -> ImmutableSandboxedEnvironment:
        return self._html if name.endswith(".html") else self._plain


def _environment(loader: BaseLoader, *, markup: bool) -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        loader=loader, autoescape=markup, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    env.filters |= {"say": _say, "percent": percent, "clock": _clock, "day": _day, "lasting": _lasting}
    env.filters |= {"md": _md, "cell": _cell, "state": _state, "columns": _columns}
    env.globals |= {"t": _t}
    return env


def _where(exc: Exception) -> str:
    line = getattr(exc, "lineno", None)
    return f"line {line}: {exc}" if line else str(exc)


@pass_context
def _say(context: Context, text: Text | None) -> str:
    return "" if text is None else text.in_(context["lang"])


@pass_context
def _t(context: Context, zh: str, en: str) -> str:
    return zh if context["lang"] == "zh" else en


@pass_context
def _state(context: Context, cell: MatrixCell) -> str:
    return STATES[cell.state].in_(context["lang"])


@pass_context
def _columns(context: Context, matrix: Matrix) -> list[str]:
    """Each vantage point with the region over it."""
    lang = context["lang"]
    regions = [title.in_(lang) for title, count in matrix.groups for _ in range(count)]
    names = [column.in_(lang) for column in matrix.columns]
    regions = regions or [""] * len(names)
    return [f"{region} {name}".strip() for region, name in zip(regions, names, strict=True)]


@pass_context
def _lasting(context: Context, seconds: float) -> str:
    return duration(seconds).in_(context["lang"])


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}"


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


_MARKS = re.compile(r"([\\`*_{}\[\]<|~])")
_BEGINS = re.compile(r"^(?:([-+>#])|(\d+)([.)])(?=\s))")


def _md(text: Any) -> str:
    """What somebody typed, as Markdown that shows it as it is: on one line, no links, no tables, no headings."""
    line = " ".join(str(text).split())
    return _BEGINS.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", _MARKS.sub(r"\\\1", line))


def _cell(cell: MatrixCell) -> str:
    return f"{SYMBOLS[cell.state]} {cell.text}".strip() if cell.text not in ("", "?") else SYMBOLS[cell.state]
