"""Putting rows of the timeline into the table: one statement for an entry or a batch, with the heads it moves.

Not through SQLAlchemy's insert, which binds each value of each row by itself: that takes longer than the chain does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.adapters.store.tables import chains
from bot.domain.chain import ChainHead

COLUMNS = ("kind", "at", "recorded_at", "actor", "room", "incident", "run", "zh", "en", "data", "chain", "link", "hash")
_TYPES = {"at": "timestamptz", "recorded_at": "timestamptz", "link": "integer"}
_NAMES = ", ".join(COLUMNS)
_TYPED = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in COLUMNS)
_SQLITE = f"INSERT INTO timeline ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - our own names
_POSTGRESQL = (
    "WITH moved AS (UPDATE chains AS c SET length = h.length, head = h.head "  # noqa: S608 - our own names
    "FROM json_to_recordset(%(heads)s::json) AS h(name text, length integer, head text) WHERE c.name = h.name) "
    f"INSERT INTO timeline ({_NAMES}) SELECT {_NAMES} FROM "
    f"ROWS FROM (json_to_recordset(%(rows)s::json) AS ({_TYPED})) WITH ORDINALITY ORDER BY ordinality RETURNING seq"
)


async def put(
    connection: AsyncConnection, rows: Sequence[Mapping[str, Any]], heads: Sequence[ChainHead]
) -> Sequence[int]:
    """Insert the rows in their order and write the heads; the numbers of the rows, where the database tells them.

    PostgreSQL takes all of it as one statement. SQLite, in whose process we are, takes the rows and then the heads.
    """
    if connection.dialect.name != "sqlite":
        words = {"rows": _json([_dated(row) for row in rows]), "heads": _json([_head(head) for head in heads])}
        return (await connection.exec_driver_sql(_POSTGRESQL, words)).scalars().all()
    values = [_values(row) for row in rows]
    if len(values) == 1:
        seqs = (await connection.exec_driver_sql(f"{_SQLITE} RETURNING seq", values[0])).scalars().all()
    else:
        await connection.exec_driver_sql(_SQLITE, values)
        seqs = ()
    for head in heads:
        moved = chains.update().where(chains.c.name == head.name).values(length=head.length, head=head.hash)
        await connection.execute(moved)
    return seqs


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _head(head: ChainHead) -> dict[str, Any]:
    return {"name": head.name, "length": head.length, "head": head.hash}


def _dated(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "at": _utc(row["at"]).isoformat(), "recorded_at": _utc(row["recorded_at"]).isoformat()}


def _values(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """As `UtcTime` keeps moments on SQLite: UTC, without a zone, to the microsecond."""
    dated = {name: _utc(row[name]).isoformat(" ", "microseconds")[:26] for name in ("at", "recorded_at")}
    return tuple(dated[name] if name in dated else row[name] for name in COLUMNS)


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"a naive datetime must not reach the database: {at!r}")
    return at.astimezone(UTC)
