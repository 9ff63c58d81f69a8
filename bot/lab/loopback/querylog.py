"""A resolver's query log in the format of CoreDNS' `log` plugin."""

from __future__ import annotations

from pathlib import Path

from bot.lab.loopback.dnsserver import Client, Via
from bot.lab.loopback.dnswire import RCODES, TYPES, Query

MAX_BYTES = 6_000_000
"""The file starts over beyond this; a crawler fills it in about 40 s."""


class QueryLog:
    """Lines gather in memory until `flush`, which is cheap enough to call ten times a second.

    `{remote}:{port} - {id} "{type} IN {name}. {proto} {size} false {bufsize}" {rcode} {rflags} {rsize} {duration}`
    A query that got no answer is logged as CoreDNS does: NOERROR, flags "-", size 0.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._lines: list[str] = []

    def add(self, client: Client, query: Query, via: Via, *, rcode: int = 0, size: int = 0, took_s: float = 0) -> None:
        """Note one query; `size` is the response's bytes, 0 for none."""
        kind = TYPES.get(query.type) or f"TYPE{query.type}"
        flags = "qr,rd,ra" if size else "-"
        self._lines.append(
            f'[INFO] {client[0]}:{client[1]} - {query.id} "{kind} IN {query.name}. {via} {query.size} false '
            f'{1232 if query.edns else 512}" {RCODES.get(rcode, rcode)} {flags} {size} {took_s:.6f}s\n'
        )

    def flush(self) -> None:
        """Write what has gathered."""
        if not self._lines:
            return
        text = "".join(self._lines)
        self._lines.clear()
        if self._file.tell() + len(text) > MAX_BYTES:
            self._file.truncate(0)
        self._file.write(text)
        self._file.flush()

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        self._file.close()
