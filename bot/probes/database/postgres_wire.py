"""PostgreSQL's protocol 3.0, as far as a probe speaks it: startup, authentication, one simple query.

https://www.postgresql.org/docs/current/protocol-flow.html and protocol-message-formats.html. Not libpq, for when a
connection is refused it knows no SQLSTATE but only a sentence, in the server's language; and the SQLSTATE is what
a probe is after.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import struct
from collections.abc import Mapping

from bot.domain.failure import Failure
from bot.probes.base import Login
from bot.probes.classify import Classified
from bot.probes.database.db_line import Line
from bot.probes.database.scram import MECHANISM, Scram, ScramError

PROTOCOL = 196608
SSL_REQUEST = struct.pack("!II", 8, 80877103)
TERMINATE = b"X\0\0\0\x04"
MAX_MESSAGE = 64 * 1024
OK, CLEARTEXT, MD5, SASL, SASL_CONTINUE, SASL_FINAL = 0, 3, 5, 10, 11, 12
_ASIDE = (b"N", b"v")
"""NoticeResponse and NegotiateProtocolVersion: not what anybody waits for."""


class Refused(Exception):
    """An ErrorResponse: its SQLSTATE and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code, self.message = code, message


class Malformed(Classified):
    """What came is not PostgreSQL's protocol."""

    def __init__(self, reason: str) -> None:
        super().__init__(Failure.DB_PROTOCOL, reason=reason)


class Unsafe(Exception):
    """The server wants the password in a form it is not given in."""


def startup(user: str, database: str) -> bytes:
    """The startup message."""
    words = ("user", user, "database", database, "application_name", "warroom-probe")
    body = struct.pack("!I", PROTOCOL) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


async def receive(line: Line) -> tuple[bytes, bytes]:
    """The next message: (type, body). Raises Refused for an ErrorResponse, Malformed, Closed."""
    while True:
        kind, size = struct.unpack("!cI", await line.exactly(5))
        if not 4 <= size <= MAX_MESSAGE:
            if kind == b"E":  # before protocol 3 is spoken: a postmaster that could not fork
                raise Refused("", "the server could not start a process for the connection")
            raise Malformed("a message of impossible length: this is not PostgreSQL")
        if kind not in b"RSKZTDCEINv":
            raise Malformed(f"message type {kind!r}: this is not PostgreSQL")
        body = await line.exactly(size - 4)
        if kind == b"E":
            raise _refused(body)
        if kind not in _ASIDE:
            return kind, body


def _refused(body: bytes) -> Refused:
    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
    return Refused(fields.get(b"C", ""), fields.get(b"M", ""))


def request(body: bytes) -> int:
    """Which authentication a message of type R asks for."""
    if len(body) < 4:
        raise Malformed("an authentication request cut short")
    return int(struct.unpack_from("!I", body)[0])


async def authenticate(line: Line, login: Login, body: bytes) -> None:
    """Answer authentication requests until the server is content. Raises Unsafe, ScramError, Refused, Malformed."""
    for _ in range(3):
        asked = request(body)
        if asked == OK:
            return
        if asked == CLEARTEXT and line.wants_tls:
            await _password(line, login.secret.encode())
        elif asked == MD5 and len(body) == 8:
            await _password(line, _md5(login, body[4:]))
        elif asked == SASL and MECHANISM.encode() in body[4:].split(b"\0"):
            await _scram(line, login)
        else:
            raise Unsafe(f"authentication request {asked}")
        body = await _authentication(line)
    raise Malformed("authentication without end")


async def _authentication(line: Line) -> bytes:
    kind, body = await receive(line)
    if kind != b"R":
        raise Malformed(f"message type {kind!r} during authentication")
    return body


async def _password(line: Line, data: bytes) -> None:
    await _send(line, b"p", data + b"\0")


async def _send(line: Line, kind: bytes, body: bytes) -> None:
    await line.send(kind + struct.pack("!I", len(body) + 4) + body)


def _md5(login: Login, salt: bytes) -> bytes:
    def digest(data: bytes) -> bytes:
        return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()

    return b"md5" + digest(digest((login.secret + login.user).encode()) + salt)


async def _scram(line: Line, login: Login) -> None:
    exchange = Scram(login.secret, secrets.token_urlsafe(18))
    first = exchange.first()
    await _send(line, b"p", MECHANISM.encode() + b"\0" + struct.pack("!I", len(first)) + first)
    body = await _authentication(line)
    if request(body) != SASL_CONTINUE:
        raise ScramError("the exchange does not go on")
    await _send(line, b"p", await asyncio.to_thread(exchange.final, body[4:]))
    body = await _authentication(line)
    if request(body) != SASL_FINAL:
        raise ScramError("the exchange does not end")
    exchange.verify(body[4:])


async def ready(line: Line) -> Mapping[str, str]:
    """The server's parameters, read until it waits for a query. Raises Refused, Malformed."""
    parameters: dict[str, str] = {}
    while True:
        kind, body = await receive(line)
        if kind == b"Z":
            return parameters
        if kind == b"S":
            name, _, value = body.rstrip(b"\0").partition(b"\0")
            parameters[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")


async def row(line: Line, sql: str) -> list[str | None]:
    """The one row of a query, as text. Raises Refused, Malformed."""
    await _send(line, b"Q", sql.encode() + b"\0")
    found: list[str | None] = []
    while True:
        kind, body = await receive(line)
        if kind == b"Z":
            return found
        if kind == b"D":
            found = _columns(body)


def _columns(body: bytes) -> list[str | None]:
    values: list[str | None] = []
    at = 2
    while at + 4 <= len(body):
        (size,) = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if size < 0 else body[at : at + size].decode("utf-8", "replace"))
        at += max(0, size)
    return values
