"""The record as JSON lines: put together from the rows as they are kept, which is faster than by way of values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, String, cast, func, select

from bot.adapters.store.session import Session, load
from bot.adapters.store.tables import timeline

_PLAIN = ("actor", "room", "incident", "run", "zh", "en", "chain", "hash")
_quoted = json.encoder.encode_basestring


async def lines_of(session: Session, fits: Sequence[ColumnElement[bool]]) -> Sequence[str]:
    """The entries that fit, by `at`, then `seq`, one JSON document each.

    `data` is the very text that is kept, so that whoever has the lines can make every hash anew. What has become known
    as a secret since it was recorded is masked all the same: such a line says "redacted", and its hash does not fit.
    """
    c = timeline.c
    moments = [_moment(session, column) for column in (c.at, c.recorded_at)]
    wanted = select(c.seq, c.kind, *moments, *(c[name] for name in _PLAIN), c.link, c.data)
    rows = await session.connection.execute(wanted.where(*fits).order_by(c.at, c.seq))
    lines = [_line(row) for row in rows]
    if session.redactor.knows("\n".join(lines)):
        lines = [_masked(session, line) if session.redactor.knows(line) else line for line in lines]
    return lines


def _moment(session: Session, column: ColumnElement[Any]) -> ColumnElement[str]:
    """UTC to the microsecond, as text."""
    if session.connection.dialect.name == "sqlite":
        return cast(column, String)
    return func.to_char(func.timezone("UTC", column), "YYYY-MM-DD HH24:MI:SS.US")


def _line(row: Row[Any]) -> str:
    seq, kind, at, recorded_at, *plain, link, data = tuple(row)
    words = [f'"{name}": {"null" if word is None else _quoted(word)}' for name, word in zip(_PLAIN, plain, strict=True)]
    when = f'"at": "{at[:10]}T{at[11:]}+00:00", "recorded_at": "{recorded_at[:10]}T{recorded_at[11:]}+00:00"'
    place = "null" if link is None else link
    return f'{{"seq": {seq}, "kind": "{kind}", {when}, {", ".join(words)}, "link": {place}, "data": {data}}}'


def _masked(session: Session, line: str) -> str:
    return json.dumps(session.redactor.value({**load(line), "redacted": True}), ensure_ascii=False)
