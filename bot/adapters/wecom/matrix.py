"""The matrix as lines of text that survive a proportional font: one line for a layer, what is not green by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.adapters.wecom.text import harmless
from bot.domain.message import CellState, Matrix, MatrixCell
from bot.domain.text import Lang, Text, join, same

NAMED: tuple[tuple[CellState, str], ...] = (
    ("down", "✗"),
    ("lossy", "◐"),
    ("slow", "◔"),
    ("missing", "?"),
    ("denied", "⊘"),
)
"""Cells that are named one by one, the worst first."""
WHAT = {
    "missing": Text("没有应答", "no answer"),
    "denied": Text("策略拒绝", "refused by policy"),
}
NOT_ASKED = Text("未测", "not asked")
PENDING = Text("待测", "pending")
ALL = Text("全部", "all")


def matrix_lines(matrix: Matrix, lang: Lang) -> Iterator[str]:
    """The vantage points, then one line for each layer; a cell without data is never silent."""
    names = _names(matrix)
    yield "> " + _where(matrix, lang)
    for title, cells in matrix.rows:
        yield f"{_light(cells)} {harmless(title.in_(lang))}: {_row(cells, names, lang)}"


def _names(matrix: Matrix) -> Sequence[Text]:
    """Each column with its group's name before it."""
    groups = [title for title, count in matrix.groups for _ in range(count)]
    groups += [same("")] * (len(matrix.columns) - len(groups))
    return [g + same(" ") + c if g.en else c for g, c in zip(groups, matrix.columns, strict=False)]


def _where(matrix: Matrix, lang: Lang) -> str:
    out, at = [], 0
    for title, count in matrix.groups or ((same(""), len(matrix.columns)),):
        columns = "/".join(c.in_(lang) for c in matrix.columns[at : at + count])
        out.append(f"{title.in_(lang)} {columns}".strip())
        at += count
    return harmless(" · ".join(out))


def _light(cells: Sequence[MatrixCell]) -> str:
    states = {cell.state for cell in cells}
    if "down" in states:
        return "🔴"
    if states & {"lossy", "slow"}:
        return "🟡"
    return "🟢" if states & {"up"} and not states & {"missing", "pending", "denied"} else "⚪"


def _row(cells: Sequence[MatrixCell], names: Sequence[Text], lang: Lang) -> str:
    parts = []
    for state, sign in NAMED:
        said = [
            _named(name, cell.text, WHAT.get(state), lang)
            for name, cell in zip(names, cells, strict=False)
            if cell.state == state
        ]
        if said:
            parts.append(f"{sign} {join([same(s) for s in said]).in_(lang)}")
    asked = [cell for cell in cells if cell.state != "none"]
    up = sum(1 for cell in cells if cell.state == "up")
    if up:
        parts.append(f"✓ {ALL.in_(lang)} {up}" if up == len(asked) else f"✓ {up}/{len(asked)}")
    for state, word in (("pending", PENDING), ("none", NOT_ASKED)):
        count = sum(1 for cell in cells if cell.state == state)
        if count:
            parts.append(f"{word.in_(lang)} {count}")
    return " · ".join(parts)


def _named(name: Text, value: str, what: Text | None, lang: Lang) -> str:
    value = value if value not in ("", "?") else (what.in_(lang) if what else "")
    return harmless(f"{name.in_(lang)} {value}".strip())
