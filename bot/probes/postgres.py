"""`postgres`: how the server answers a startup message.

Any request for authentication proves a server that takes connections, and there the probe hangs up, which
PostgreSQL does not log. Where the server trusts us without a password (or forbids us) it goes on to say that
nobody's role does not exist; that is proof as well, and costs one FATAL line in its log.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bot.domain.failure import Failure
from bot.domain.probe import Json
from bot.probes.base import Login, Probe
from bot.probes.classify import Classified
from bot.probes.database import db
from bot.probes.database import postgres_wire as wire
from bot.probes.database.db import Word
from bot.probes.database.db_line import Line
from bot.probes.database.scram import ScramError
from bot.probes.params import Reader

NOBODY = "warroom_probe"
RESERVED = 3
"""Default of superuser_reserved_connections."""
_FULLNESS = """SELECT current_setting('server_version'), current_setting('max_connections'),
 current_setting('superuser_reserved_connections')::int
 + coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0),
 (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
 OR (backend_type IS NULL AND usesysid IS NOT NULL AND datid IS NOT NULL)),
 pg_is_in_recovery(), current_setting('transaction_read_only')"""
"""Somebody without pg_read_all_stats sees that other sessions exist, but not of which type they are."""


def prepare(params: Mapping[str, Json]) -> Probe:
    """Send a startup message `tries` times; see `database.db.probe`. Each try is 1 + reserved connections."""
    read = Reader(params)
    database = read.text("database", "postgres", limit=63)
    asked = db.server(read, "postgres", port=5432, tries=2, reserved=RESERVED, most_reserved=20)
    read.done()
    return partial(db.probe, asked, partial(_Talk, database))


class _Talk:
    """[TLS,] startup, authentication, with a login one query."""

    def __init__(self, database: str, line: Line, login: Login | None) -> None:
        self._database, self._line, self._login = database, line, login
        self._request = b""

    async def greet(self) -> Word:
        if self._line.wants_tls:
            await self._secure()
        await self._line.send(wire.startup(self._login.user if self._login else NOBODY, self._database))
        try:
            kind, self._request = await wire.receive(self._line)
        except wire.Refused as exc:
            self._line.greeted()
            return self._refused(exc)
        if kind != b"R":
            raise wire.Malformed(f"message type {kind!r} in answer to a startup message")
        self._line.greeted()
        return Word(waits=wire.request(self._request) != wire.OK)

    async def _secure(self) -> None:
        await self._line.send(wire.SSL_REQUEST)
        answer = await self._line.exactly(1)
        if answer == b"N":
            raise Classified(Failure.TLS_FAILED, reason="the server offers no TLS")
        if answer != b"S":
            raise wire.Malformed(f"{answer!r} in answer to an SSL request")
        await self._line.secure()

    async def part(self) -> Word:
        try:
            return await (self._session(self._login) if self._login else self._stranger())
        except wire.Refused as exc:
            return self._refused(exc)
        except ScramError as exc:
            return Word(failure=Failure.DB_PROTOCOL, told={"reason": str(exc)})
        except wire.Unsafe:
            reason = "the server asks for the password in a way that is not supported, or in the clear without TLS"
            return Word(failure=Failure.DB_AUTH, told={"reason": reason})

    async def _stranger(self) -> Word:
        if not self._request or wire.request(self._request) != wire.OK:
            return Word()
        parameters = await wire.ready(self._line)
        await self._line.send(wire.TERMINATE)
        return Word(told={"version": parameters.get("server_version")})

    async def _session(self, login: Login) -> Word:
        if not self._request:
            return Word()
        await wire.authenticate(self._line, login, self._request)
        await wire.ready(self._line)
        found = await wire.row(self._line, _FULLNESS)
        await self._line.send(wire.TERMINATE)
        return Word(told=_told(found))

    def _refused(self, exc: wire.Refused) -> Word:
        failure = judge(exc.code, exc.message, login=self._login is not None)
        return Word(failure=failure, told={"code": exc.code, "message": exc.message})


def judge(code: str, message: str, *, login: bool) -> Failure | None:
    """What an SQLSTATE amounts to (PostgreSQL, appendix A); None where it shows a server that works."""
    if code == "53300" or "max_client_conn" in message:  # PgBouncer says so in words only
        return Failure.DB_TOO_MANY_CONNECTIONS
    if code in ("57P01", "57P02", "57P03", "") or code.startswith("53"):
        return Failure.DB_UNAVAILABLE
    if code.startswith("28") or code == "3D000":
        wrong = Failure.DB_AUTH if code.startswith("28") else Failure.DB_ERROR
        return wrong if login else None
    return Failure.DB_ERROR


def _told(found: list[str | None]) -> dict[str, Json]:
    version, most, reserved, used, recovering, read_only = (found + [None] * 6)[:6]
    limit, kept, connections = db.number(most), db.number(reserved), db.number(used)
    return {
        "version": version,
        "connections": connections,
        "limit": limit,
        "used_share": db.share(connections, limit - (kept or 0) if limit else None),
        "role": {"t": "replica", "f": "primary"}.get(recovering or ""),
        "read_only": None if read_only is None else recovering == "t" or read_only == "on",
    }
