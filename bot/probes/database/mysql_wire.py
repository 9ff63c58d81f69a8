"""The packets of MySQL's connection phase, as far as they need no password.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html and, for MariaDB,
https://mariadb.com/kb/en/connection/.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bot.domain.failure import Failure
from bot.probes.classify import Classified
from bot.probes.database.db_line import Line

MAX_PACKET = 64 * 1024
OK, MORE_DATA, AUTH_SWITCH, ERR, PROTOCOL_10 = 0x00, 0x01, 0xFE, 0xFF, 0x0A
COM_QUIT = b"\x01"
CLIENT_SSL = 0x800
_CAPABILITIES = 0x1 | 0x200 | 0x8000 | 0x80000
"""CLIENT_LONG_PASSWORD, CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION, CLIENT_PLUGIN_AUTH."""
_UTF8MB4 = 45


class Malformed(Classified):
    """What came is not MySQL's protocol."""

    def __init__(self, reason: str) -> None:
        super().__init__(Failure.DB_PROTOCOL, reason=reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Greeting:
    """The initial handshake packet, protocol 10."""

    version: str
    plugin: str
    tls: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Error:
    """An ERR packet."""

    code: int
    message: str


async def receive(line: Line) -> tuple[int, bytes]:
    """One packet: (sequence number, payload of at least one byte). Raises Malformed and Closed."""
    head = await line.exactly(4)
    size = int.from_bytes(head[:3], "little")
    if not 0 < size <= MAX_PACKET:
        raise Malformed("a packet of impossible length: this is not MySQL")
    return head[3], await line.exactly(size)


async def send(line: Line, sequence: int, payload: bytes) -> None:
    """One packet."""
    await line.send(len(payload).to_bytes(3, "little") + bytes([sequence & 0xFF]) + payload)


def first(payload: bytes) -> Greeting | Error:
    """The server's first packet. Raises Malformed."""
    if payload[0] == ERR:
        return error(payload)
    if payload[0] != PROTOCOL_10:
        raise Malformed(f"protocol version {payload[0]}: this is not MySQL")
    version, end, rest = payload[1:].partition(b"\0")
    if not end or len(rest) < 15:
        raise Malformed("the greeting is cut short")
    # thread id 4, salt 8, filler 1, capabilities 2, then charset 1, status 2, capabilities 2, salt length 1, 10
    low, high = struct.unpack_from("<H", rest, 13)[0], 0
    if len(rest) >= 20:
        high = struct.unpack_from("<H", rest, 18)[0]
    plugin = b""
    if high & 0x8 and len(rest) > 31:
        salt = max(13, rest[20] - 8)
        plugin = rest[31 + salt :].partition(b"\0")[0]
    # MariaDB from 10.0 on calls itself 5.5.5-10.x, lest old replicas take it for MySQL 4.
    shown = version.decode("utf-8", "replace").removeprefix("5.5.5-")
    return Greeting(version=shown, plugin=plugin.decode("utf-8", "replace"), tls=bool(low & CLIENT_SSL))


def error(payload: bytes) -> Error:
    """An ERR packet, with or without an SQLSTATE. Raises Malformed."""
    if len(payload) < 3 or payload[0] != ERR:
        raise Malformed("neither OK nor an error")
    text = payload[3:]
    if text.startswith(b"#"):
        text = text[6:]
    return Error(code=struct.unpack_from("<H", payload, 1)[0], message=text.decode("utf-8", "replace"))


def ssl_request() -> bytes:
    """Asks for TLS instead of a handshake response."""
    return struct.pack("<IIB23x", _CAPABILITIES | CLIENT_SSL, MAX_PACKET, _UTF8MB4)


def response(user: str, plugin: str, *, tls: bool) -> bytes:
    """A handshake response of `user` with an empty password."""
    head = struct.pack("<IIB23x", _CAPABILITIES | (CLIENT_SSL if tls else 0), MAX_PACKET, _UTF8MB4)
    return head + user.encode() + b"\0\0" + plugin.encode() + b"\0"
