"""Database servers as far as a client without an account gets: greeting, refusal, or no connection left.

The packets are those of MySQL 8 (protocol 10), Redis 7 and PostgreSQL 16; the sources are named in `bot.probes`.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable, Mapping

from bot.lab.netns.sites import Settings

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bool], Awaitable[None]]
IDLE_S = 20.0


class Database:
    """Serves up to `limit` clients at once; one more, or any while `settings.full`, is told that there are too many."""

    def __init__(self, kind: str, limit: int) -> None:
        self.settings = Settings()
        self._serve = SERVERS[kind]
        self._limit = limit
        self._clients = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            async with asyncio.timeout(IDLE_S):
                await self._serve(reader, writer, self.settings.full or self._clients > self._limit)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._clients -= 1
            writer.close()


async def mysql(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, full: bool) -> None:
    """The greeting, and ERR 1045 for whoever answers it; ERR 1040 instead of a greeting."""
    if full:
        writer.write(_packet(0, b"\xff" + struct.pack("<H", 1040) + b"Too many connections"))
        return
    salt = bytes(byte % 93 + 33 for byte in os.urandom(20))
    capabilities = 0x8000 | 0x80000 | 0x200 | 0x1
    greeting = (
        b"\x0a8.0.36\0"
        + struct.pack("<I", 42)
        + salt[:8]
        + b"\0"
        + struct.pack("<HBHHB10x", capabilities & 0xFFFF, 45, 2, capabilities >> 16, 21)
        + salt[8:]
        + b"\0mysql_native_password\0"
    )
    writer.write(_packet(0, greeting))
    head = await reader.readexactly(4)
    await reader.readexactly(int.from_bytes(head[:3], "little"))
    refused = b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied for user 'warroom_probe'"
    writer.write(_packet(head[3] + 1, refused))


async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, full: bool) -> None:
    """Redis without a password: PING, INFO, QUIT. A client too many is told so before it speaks."""
    if full:
        writer.write(b"-ERR max number of clients reached\r\n")
        return
    info = b"# Server\r\nredis_version:7.2.4\r\n# Clients\r\nconnected_clients:3\r\nmaxclients:10000\r\n"
    while words := await _command(reader):
        match words[0].upper():
            case b"PING":
                writer.write(b"+PONG\r\n")
            case b"INFO":
                writer.write(b"$%d\r\n%s\r\n" % (len(info), info))
            case b"QUIT":
                writer.write(b"+OK\r\n")
                return
            case _:
                writer.write(b"-ERR unknown command\r\n")


async def postgres(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, full: bool) -> None:
    """A request for SCRAM authentication, or FATAL 53300."""
    while True:
        size, code = struct.unpack("!II", await reader.readexactly(8))
        await reader.readexactly(size - 8)
        if code != 80877103:  # SSLRequest: not offered
            break
        writer.write(b"N")
    if full:
        fields = b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0"
        writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
        return
    body = struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"
    writer.write(b"R" + struct.pack("!I", len(body) + 4) + body)
    await reader.read(1024)


async def _command(reader: asyncio.StreamReader) -> list[bytes]:
    """One RESP command; [] at the end."""
    head = await reader.readline()
    if not head.startswith(b"*"):
        return []
    words = []
    for _ in range(int(head[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


def _packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence & 0xFF]) + payload


SERVERS: Mapping[str, Serve] = {"mysql": mysql, "redis": redis, "postgres": postgres}
