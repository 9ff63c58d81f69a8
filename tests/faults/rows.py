"""What the auditor of the harness reads in the bot's tables; nothing else knows them, and nobody writes them."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

READ = {
    "incidents": "SELECT id, origin_room AS room, state, epoch, acked_by FROM incidents",
    "escalations": "SELECT incident, phase, step, due_at FROM escalations",
    "calls": "SELECT key, incident, step, person, ways, epoch, state FROM calls",
    "outbox": "SELECT key, incident, state, epoch, attempts, generation, error FROM outbox WHERE kind = 'page'",
    "timeline": "SELECT seq, kind, incident, actor, data FROM timeline WHERE incident IS NOT NULL ORDER BY seq",
}
_FREE = "kind = 'page' AND state = 'pending' AND due_at <= {now} AND (lease_until IS NULL OR lease_until <= {now})"
_DUE = (
    f"SELECT key || '#' || generation AS name FROM outbox WHERE {_FREE} "
    "UNION ALL SELECT incident || ' step ' || step FROM escalations WHERE due_at <= {now}"
)
_PENDING = "SELECT key AS name FROM outbox WHERE kind = 'page' AND state = 'pending'"
_LOST = (
    "SELECT i.id AS name FROM incidents i JOIN escalations e ON e.incident = i.id "
    "WHERE i.acked_at IS NULL AND i.state NOT IN ('resolved', 'closed') AND (e.phase <> 'paging' OR e.due_at IS NULL)"
)
_NOBODYS = "SELECT id AS name FROM incidents WHERE acked_at IS NULL AND state NOT IN ('resolved', 'closed')"
Rows = list[dict[str, Any]]


class Reader:
    """Reads a database that a bot is using. Every call is a connection of its own: the server may crash meanwhile."""

    def __init__(self, url: str) -> None:
        self._url = url

    def tables(self) -> dict[str, Rows]:
        found = {name: self._ask(sql) for name, sql in READ.items()}
        for entry in found["timeline"]:
            entry["data"] = json.loads(entry["data"])
        return found

    def overdue(self) -> set[str]:
        """Pages and timers that somebody should be at, and nobody is."""
        return self._names(_DUE)

    def pending(self) -> set[str]:
        return self._names(_PENDING)

    def without_timer(self) -> set[str]:
        """Incidents that nobody has and for which nothing is going to happen."""
        return self._names(_LOST)

    def nobodys(self) -> set[str]:
        return self._names(_NOBODYS)

    def _names(self, sql: str) -> set[str]:
        return {str(row["name"]) for row in self._ask(sql)}

    def _ask(self, sql: str) -> Rows:
        if not self._url.startswith("sqlite"):
            with psycopg.connect(self._url, connect_timeout=2, row_factory=dict_row) as connection:
                return connection.execute(sql.replace("{now}", "clock_timestamp()")).fetchall()
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        connection = sqlite3.connect(self._url.removeprefix("sqlite:///"), timeout=5)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql.replace("{now}", f"'{now}'"))]
        finally:
            connection.close()
