"""`redis`: PING, and INFO where it is allowed. RESP2 by hand: a password and two commands need no library.

What the server's error words mean: https://redis.io/docs/latest/develop/reference/protocol-spec/ and Redis'
server.c and networking.c. A client beyond `maxclients` gets its error at once and is hung up on, before it spoke.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import partial

from bot.domain.failure import Failure
from bot.domain.probe import Json
from bot.probes.base import Login, Probe
from bot.probes.classify import Classified
from bot.probes.database import db
from bot.probes.database.db import Word
from bot.probes.database.db_line import Line
from bot.probes.params import Reader

MAX_LINE = 4096
MAX_INFO = 256 * 1024
_UNAVAILABLE = {"LOADING", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "MISCONF", "TRYAGAIN"}
_NEEDS_LOGIN = {"NOAUTH", "NOPERM"}


class _Refused(Exception):
    """An error reply; its text begins with a word for its kind."""


def prepare(params: Mapping[str, Json]) -> Probe:
    """PING `tries` times; see `bot.probes.database.db.probe`."""
    read = Reader(params)
    asked = db.server(read, "redis", port=6379)
    read.done()
    return partial(db.probe, asked, _Talk)


class _Talk:
    """[AUTH,] PING, [INFO,] QUIT."""

    def __init__(self, line: Line, login: Login | None) -> None:
        self._line, self._login = line, login
        self._open = False

    async def greet(self) -> Word:
        if self._line.wants_tls:
            await self._line.secure()
        if self._login is not None:
            refused = await self._authenticate(self._login)
            if refused is not None:
                return refused
        try:
            pong = await self._ask("PING")
        except _Refused as exc:
            return Word(failure=judge(str(exc), login=self._login is not None), told=_error(exc))
        if pong != "PONG":
            raise Classified(Failure.DB_PROTOCOL, reason=f"{pong[:40]!r} in answer to PING")
        self._open = True
        return Word()

    async def _authenticate(self, login: Login) -> Word | None:
        """None when it worked. The error's text is not shown: some servers repeat the command in it."""
        try:
            await self._ask("AUTH", *([login.user] if login.user else []), login.secret)
        except _Refused as exc:
            failure = judge(str(exc), login=True)
            code = str(exc).partition(" ")[0]
            return Word(failure=Failure.DB_AUTH if failure is Failure.DB_ERROR else failure, told={"code": code})
        return None

    async def part(self) -> Word:
        told: dict[str, Json] = {}
        if self._open:
            # What a user may not ask it is not told; that is no fault of the server.
            with contextlib.suppress(_Refused):
                texts = [await self._ask("INFO", section) for section in ("server", "clients", "replication")]
                told = _told("\n".join(texts))
        with contextlib.suppress(OSError):
            await self._line.send(_command("QUIT"))
        return Word(told=told)

    async def _ask(self, *words: str) -> str:
        # A server that has turned us away does not read: what it said before it hung up is what counts.
        with contextlib.suppress(OSError):
            await self._line.send(_command(*words))
        head = (await self._line.upto(b"\r\n", MAX_LINE)).decode("utf-8", "replace")
        self._line.greeted()
        if head.startswith("-"):
            raise _Refused(head[1:])
        if head.startswith("+"):
            return head[1:]
        size = db.number(head[1:])
        if not head.startswith("$") or size is None or size > MAX_INFO:
            raise Classified(Failure.DB_PROTOCOL, reason="the answer is not Redis'")
        return (await self._line.exactly(size + 2))[:-2].decode("utf-8", "replace")


def _command(*words: str) -> bytes:
    """An array of bulk strings."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def judge(error: str, *, login: bool) -> Failure | None:
    """What an error reply amounts to; None where it shows a healthy server that only wants a login."""
    code = error.partition(" ")[0]
    if "max number of clients" in error:
        return Failure.DB_TOO_MANY_CONNECTIONS
    if code in _UNAVAILABLE:
        return Failure.DB_UNAVAILABLE
    if code in _NEEDS_LOGIN:
        return Failure.DB_AUTH if login else None
    return Failure.DB_AUTH if code in ("DENIED", "WRONGPASS") else Failure.DB_ERROR


def _error(exc: _Refused) -> dict[str, Json]:
    code, _, message = str(exc).partition(" ")
    return {"code": code, "message": message}


def _told(info: str) -> dict[str, Json]:
    """The fields of INFO that say how full the server is and what it is for."""
    fields = dict(line.strip().split(":", 1) for line in info.splitlines() if ":" in line)
    connections, limit = db.number(fields.get("connected_clients")), db.number(fields.get("maxclients"))
    role = {"master": "primary", "slave": "replica"}.get(fields.get("role", ""))
    return {
        "version": fields.get("redis_version"),
        "connections": connections,
        "limit": limit,
        "used_share": db.share(connections, limit),
        "role": role,
        "read_only": None if role is None else role == "replica" and fields.get("slave_read_only") == "1",
    }
