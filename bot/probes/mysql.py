"""`mysql`: the greeting of MySQL or MariaDB, or the error that comes instead.

Whoever hangs up after the greeting is counted: after `max_connect_errors` (100 by default) in a row the server
blocks the host, and everything else on it, with error 1129. An answered handshake is not counted, even when it is
refused (`Host_errors::sum_connect_errors` in sql/hostname.cc; measured in tests/probes/test_mysql.py). So without
a login the handshake is completed as a user nobody has, and the refusal is the proof of health. It costs the
server one line "Access denied" in its log and one of Aborted_connects; hanging up would cost the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bot.domain.failure import Failure
from bot.domain.probe import Json
from bot.probes.base import Login, Probe
from bot.probes.classify import Classified
from bot.probes.database import db, mysql_session
from bot.probes.database import mysql_wire as wire
from bot.probes.database.db import Talk, Word
from bot.probes.database.db_line import Line
from bot.probes.params import Reader

NOBODY = "warroom_probe"
"""Never the login's own user: wrong passwords may lock an account (FAILED_LOGIN_ATTEMPTS, max_password_errors)."""
MAX_ROUNDS = 4


def prepare(params: Mapping[str, Json]) -> Probe:
    """Hear the greeting `tries` times; see `database.db.probe`. Each try is two connections without a login."""
    read = Reader(params)
    asked = db.server(read, "mysql", port=3306, tries=2, reserved=1, most_reserved=1)
    read.done()
    return partial(db.probe, asked, begin)


def begin(line: Line, login: Login | None) -> Talk:
    """With a login PyMySQL does the talking, for the sake of the authentication plugins."""
    return mysql_session.Session(line, login, judge) if login else _Stranger(line)


class _Stranger:
    """Greeting, [TLS,] a handshake response of nobody, and its refusal."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._sequence = 0
        self._greeting: wire.Greeting | None = None

    async def greet(self) -> Word:
        self._sequence, payload = await wire.receive(self._line)
        said = wire.first(payload)
        self._line.greeted()
        if isinstance(said, wire.Error):
            return Word(failure=judge(said.code), told=_error(said))
        self._greeting = said
        return Word(told={"version": said.version}, waits=True)

    async def part(self) -> Word:
        assert self._greeting is not None
        tls = self._line.wants_tls and self._greeting.tls
        if tls:
            await self._send(wire.ssl_request())
            await self._line.secure()
        await self._send(wire.response(NOBODY, self._greeting.plugin, tls=tls))
        refusal = await self._refusal()
        if self._line.wants_tls and not tls:
            raise Classified(Failure.TLS_FAILED, reason="the server offers no TLS")
        return refusal

    async def _refusal(self) -> Word:
        """What the server says to nobody; a healthy one denies access."""
        for _ in range(MAX_ROUNDS):
            self._sequence, payload = await wire.receive(self._line)
            if payload[0] == wire.OK:  # an anonymous account
                await wire.send(self._line, 0, wire.COM_QUIT)
                return Word()
            if payload[0] == wire.ERR:
                said = wire.error(payload)
                failure = judge(said.code)
                return Word(failure=None if failure is Failure.DB_AUTH else failure, told=_error(said))
            await self._send(b"")
        raise wire.Malformed("authentication without end")

    async def _send(self, payload: bytes) -> None:
        self._sequence += 1
        await wire.send(self._line, self._sequence, payload)


_FULL = {1040, 1203}
"""ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS."""
_UNAVAILABLE = {1053, 1079, 3032}
"""ER_SERVER_SHUTDOWN, ER_SHUTDOWN_COMPLETE, ER_SERVER_OFFLINE_MODE."""
_AUTH = {1044, 1045, 1129, 1130, 1251, 1275, 1524, 1698, 1862, 3118, 3159, 3955, 4151}
"""Access denied in its forms: database, user, blocked and forbidden hosts, plugins, expired and locked accounts."""


def judge(code: int) -> Failure:
    """What an error code of the connection phase amounts to (MySQL's and MariaDB's errmsg)."""
    if code in _FULL:
        return Failure.DB_TOO_MANY_CONNECTIONS
    if code in _UNAVAILABLE:
        return Failure.DB_UNAVAILABLE
    return Failure.DB_AUTH if code in _AUTH else Failure.DB_ERROR


def _error(said: wire.Error) -> dict[str, Json]:
    return {"code": str(said.code), "message": said.message}
