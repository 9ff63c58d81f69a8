"""Matrix and tables as rows of short strings: good is quiet, bad is loud, and nothing is ever blank."""

from __future__ import annotations

from bot.app.plain import SYMBOLS
from bot.domain.message import CellState, Matrix, MatrixCell, Table
from bot.domain.text import Lang

MARKS: dict[CellState, str] = {"down": "🔴", "lossy": "🟠", "slow": "🟡", "missing": "❔", "denied": "⛔"}
"""Before what is not well; colour is never the only sign, since the text stands beside it."""


def matrix_rows(matrix: Matrix, lang: Lang, *, marks: bool) -> list[list[str]]:
    """The heading and one row for each layer, all of one length. `marks` puts a coloured sign before what is wrong."""
    places: list[str] = []
    for title, count in matrix.groups:
        places += [title.in_(lang)] * count
    places += [""] * (len(matrix.columns) - len(places))
    head = [f"{place} {column.in_(lang)}".strip() for place, column in zip(places, matrix.columns, strict=False)]
    rows = [[title.in_(lang), *(_cell(cell, marks) for cell in cells)] for title, cells in matrix.rows]
    return [["·", *head], *rows] if matrix.columns else []


def _cell(cell: MatrixCell, marks: bool) -> str:
    text = cell.text.strip() or SYMBOLS[cell.state]
    return f"{MARKS[cell.state]} {text}" if marks and cell.state in MARKS else text


def table_rows(table: Table, lang: Lang) -> list[list[str]]:
    """Heading and rows; a short row is filled up, so that all are of one length."""
    head = [column.in_(lang) for column in table.columns]
    wide = max([len(head), *(len(row) for row in table.rows)])
    return [[*row, *[""] * (wide - len(row))] for row in [head, *(list(r) for r in table.rows)]] if wide else []
