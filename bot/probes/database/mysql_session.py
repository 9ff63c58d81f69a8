"""A session with a login, by PyMySQL over our own socket: it knows the authentication plugins.

PyMySQL blocks, so it runs in a thread with a duplicate of the socket; when time is up the connection is shut down,
which ends the thread. Without TLS the password itself is never sent: plugins that would do so are refused, and so
is `caching_sha2_password` where the server does not know us yet and would hand out a key of its own to encrypt it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from bot.domain.failure import Failure, Phase
from bot.domain.probe import Json
from bot.probes.base import Login
from bot.probes.classify import classify
from bot.probes.database import db
from bot.probes.database.db import Word
from bot.probes.database.db_line import Line
from bot.probes.net import ready
from bot.probes.net.ready import Socket

IN_THE_CLEAR = ("mysql_clear_password", "dialog", "sha256_password")
_CLIENT_ERRORS = range(2000, 3000)
"""Codes the client library made up itself: a connection lost or a packet it does not understand (errmsg.h)."""
_VARIABLES = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('max_connections', 'version', 'read_only')"
_STATUS = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Slave_running')"


class _NotSent(Exception):
    """The server wants the password itself, and there is no TLS to send it through."""

    def __init__(self, _: Any = None) -> None:
        super().__init__()

    def authenticate(self, _: Any) -> Any:
        """What PyMySQL calls on a plugin."""
        raise self


_NO_KEY = object()
"""In the place of a server's public key: PyMySQL asks the server for none, and encrypting with this is a TypeError."""


class Session:
    """Greeting, login, how full the server is, COM_QUIT."""

    def __init__(self, line: Line, login: Login, judge: Callable[[int], Failure]) -> None:
        self._line, self._login, self._judge = line, login, judge

    async def greet(self) -> Word:
        """The greeting is read by PyMySQL: here only its arrival counts, for its time."""
        await _readable(self._line.sock)
        self._line.greeted()
        return Word()

    async def part(self) -> Word:
        """The session itself."""
        context = self._line.trusted() if self._line.wants_tls else None
        theirs = self._line.sock.dup()
        try:
            return await asyncio.to_thread(self._session, theirs, context)
        finally:
            with contextlib.suppress(OSError):
                self._line.sock.shutdown(socket.SHUT_RDWR)

    def _session(self, sock: socket.socket, context: ssl.SSLContext | None) -> Word:
        try:
            from pymysql.err import MySQLError  # type: ignore[import-untyped]
        except ImportError:
            sock.close()
            return Word(failure=Failure.UNSUPPORTED, told={"reason": "a login needs PyMySQL: warroom-bot[agent]"})
        try:
            return Word(told=_told(*self._asked(sock, context)))
        except MySQLError as exc:
            return self._refused(exc)
        except (_NotSent, TypeError):
            reason = "the server wants the password itself; without TLS it is not sent"
            return Word(failure=Failure.DB_AUTH, told={"reason": reason})
        except Exception as exc:  # noqa: BLE001 - a hostile answer may break PyMySQL anywhere; its name is enough
            return Word(failure=Failure.DB_PROTOCOL, told={"reason": type(exc).__name__})
        finally:
            sock.close()

    def _asked(
        self, sock: socket.socket, context: ssl.SSLContext | None
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        import pymysql  # type: ignore[import-untyped]

        connection = pymysql.connect(
            host=self._line.name,  # for SNI and the certificate; the socket is ours
            user=self._login.user,
            password=self._login.secret,
            ssl=context,
            ssl_disabled=context is None,
            auth_plugin_map={} if context else dict.fromkeys(IN_THE_CLEAR, _NotSent),
            server_public_key=_NO_KEY,
            read_timeout=30,
            write_timeout=30,
            autocommit=None,
            defer_connect=True,
        )
        connection.connect(sock)
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(_VARIABLES)
            variables = dict(cursor.fetchall())
            cursor.execute(_STATUS)
            return variables, dict(cursor.fetchall())

    def _refused(self, exc: Exception) -> Word:
        original = getattr(exc, "original_exception", None)
        if isinstance(original, OSError):
            why = classify(original, Phase.TLS if isinstance(original, ssl.SSLError) else Phase.DB)
            return Word(failure=why.failure, fault=why.fault, told={"reason": why.reason})
        code, message = (*exc.args, 0, "")[:2] if len(exc.args) > 1 else (0, "")
        if not isinstance(code, int) or code in _CLIENT_ERRORS or not code:
            return Word(failure=Failure.DB_PROTOCOL, told={"reason": f"PyMySQL: {type(exc).__name__} {code}"})
        return Word(failure=self._judge(code), told={"code": str(code), "message": str(message)})


def _told(variables: Mapping[str, str], status: Mapping[str, str]) -> dict[str, Json]:
    connections, limit = db.number(status.get("Threads_connected")), db.number(variables.get("max_connections"))
    # MySQL 8 does not say whether it replicates to a user without rights; MariaDB does.
    role = {"ON": "replica", "OFF": "primary"}.get(status.get("Slave_running", ""))
    return {
        "version": variables.get("version"),
        "connections": connections,
        "limit": limit,
        "used_share": db.share(connections, limit),
        "role": role,
        "read_only": variables["read_only"] not in ("OFF", "0") if "read_only" in variables else None,
    }


async def _readable(sock: Socket) -> None:
    """Wait until the peer has said something, or hung up. Raises OSError."""
    while True:
        try:
            sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            await ready.change(sock)
        else:
            return
