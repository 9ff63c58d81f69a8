"""A target may answer what it likes: a probe ends in time, stays small, leaves nothing open, and blames nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import resource
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from bot.lab.pki import Authority
from bot.probes.net.stream import trusting, unverified
from bot.probes.resolving import dns_message
from bot.probes.table import run
from bot.wire.details import believable
from bot.wire.frames import MAX_FRAME
from tests.probes.conftest import MakeContext
from tests.probes.servers import HOST, tls_of
from tests.security.shapes import shapes
from tests.security.watching import watched

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
LIMIT_S = 1.0
SLACK_S = 6.0
SET = 1
"""The epoll set in which the sockets of a loop are waited for; it is made once."""


@contextlib.asynccontextmanager
async def serving(talk: Talk, **more: Any) -> AsyncIterator[int]:
    """A TCP server that talks so with everybody; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.transport.abort()

    async with await asyncio.start_server(serve, HOST, 0, **more) as server:
        yield server.sockets[0].getsockname()[1]


def endless(begin: bytes, piece: bytes, pause_s: float = 0.0) -> Talk:
    """Say `begin`, then `piece` again and again."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begin)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return talk


def once(reply: bytes) -> Talk:
    """Say this and close."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    return talk


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def asked(context: MakeContext, talk: Talk, **params: Any) -> Outcome:
    """An `http` probe at this server, watched: in time, small, nothing left open, others get their turn."""
    lags: list[float] = []
    busy: list[float] = []

    async def beat() -> None:
        while True:
            before, cpu_before = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.01)
            lags.append(time.monotonic() - before - 0.01)
            busy.append(time.thread_time() - cpu_before)

    async with serving(talk) as port:
        files, beating, began = open_files(), asyncio.create_task(beat()), time.monotonic()
        given = {"url": f"http://api.test:{port}/", "address": HOST, "timeout_ms": int(LIMIT_S * 1000), **params}
        seen = await run("http", given, context(), 10)
        took_s = time.monotonic() - began
        beating.cancel()
        assert took_s < LIMIT_S + SLACK_S
        assert len(json.dumps(seen.detail)) < MAX_FRAME / 4
        assert seen.fault_of in (None, FaultOf.TARGET)
        assert max(busy, default=0) < 0.5
        assert max(lags, default=0) < 3, "nor does it stand still for something"
        for _ in range(500):
            if open_files() <= files + SET:
                break
            await asyncio.sleep(0.02)
        assert open_files() <= files + SET
    return seen


SLOW_OR_ENDLESS: dict[str, tuple[Talk, Failure | None]] = {
    "a head that comes letter by letter": (endless(b"", b"H", 0.05), Failure.HTTP_TIMEOUT),
    "a head without end": (endless(HEAD, b"X-Filler: " + b"a" * 500 + b"\r\n"), Failure.HTTP_PROTOCOL),
    "one header line without end": (endless(HEAD + b"X: ", b"a" * 5000), Failure.HTTP_PROTOCOL),
    "a head of a megabyte": (once(HEAD + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n"), Failure.HTTP_PROTOCOL),
    "ten thousand headers": (once(HEAD + b"A: b\r\n" * 10_000 + b"\r\n"), None),
    "a status line without end": (endless(b"HTTP/1.1 200 ", b"a" * 5000), Failure.HTTP_PROTOCOL),
    "interim replies without end": (
        endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"),
        Failure.HTTP_PROTOCOL,
    ),
    "a body without end": (endless(HEAD + b"\r\n", b"a" * 100_000), None),
    "a body of four exabytes": (endless(HEAD + b"Content-Length: 4611686018427387904\r\n\r\n", b"a" * 9000), None),
    "a body that comes letter by letter": (endless(HEAD + b"\r\n", b"a", 0.05), Failure.HTTP_TIMEOUT),
    "chunks of one letter without end": (
        endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 1000),
        None,
    ),
    "a chunk with an extension without end": (
        endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;", b"a" * 5000),
        Failure.HTTP_PROTOCOL,
    ),
    "a chunk of 16 exabytes": (
        endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n", b"a" * 9000),
        None,
    ),
    "trailers without end": (
        endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + b"a" * 500 + b"\r\n"),
        Failure.HTTP_PROTOCOL,
    ),
    "two lengths": (once(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), Failure.HTTP_PROTOCOL),
    "a negative length": (once(HEAD + b"Content-Length: -5\r\n\r\nhello"), Failure.HTTP_PROTOCOL),
    "bytes that are no HTTP": (once(bytes(range(256)) * 40), Failure.HTTP_PROTOCOL),
    "an answer in HTTP/0.9": (once(b"<html>hello</html>"), Failure.HTTP_PROTOCOL),
    "nothing": (once(b""), Failure.HTTP_PROTOCOL),
}  # fmt: skip


@pytest.mark.alone
@pytest.mark.parametrize("how", list(SLOW_OR_ENDLESS))
async def test_a_web_server_that_answers(context: MakeContext, how: str) -> None:
    talk, failure = SLOW_OR_ENDLESS[how]
    seen = await asked(context, talk)
    assert seen.failure is failure, seen


async def test_a_compressed_bomb_is_not_blown_up(context: MakeContext) -> None:
    bomb = gzip.compress(b"a" * 30_000_000)
    head = HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = await asked(context, once(head + bomb))
    assert seen.ok
    assert "aaaa" not in seen.detail["body_head"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


async def test_connections_that_are_reset_at_once_leave_nothing_open(context: MakeContext) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    seen = await asked(context, reset, tries=50, spacing_ms=0)
    assert seen.failure in (Failure.HTTP_PROTOCOL, Failure.TCP_RESET)
    assert seen.detail["tries"] == 50


@pytest.mark.parametrize(
    "said", [b"", b"\x16\x03\x01\x40\x00", b"\x15\x03\x03\x00\x02\x01\x00" * 50_000, b"HTTP/1.1 400 No\r\n\r\n"]
)
async def test_a_tls_server_that_talks_nonsense_ends_the_handshake_in_time(context: MakeContext, said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        await writer.drain()
        await asyncio.sleep(5)

    async with serving(talk) as port:
        began = time.monotonic()
        seen = await run("tls", {"address": HOST, "port": port, "timeout_ms": 800}, context(), 10)
    assert seen.failure in (Failure.TLS_TIMEOUT, Failure.TLS_FAILED)
    assert seen.fault_of is FaultOf.TARGET
    assert time.monotonic() - began < 8


async def test_a_huge_certificate_is_told_in_a_few_lines(
    context: MakeContext, tmp_path: Path, authority: Authority
) -> None:
    names = [f"{'a' * 60}{i}.test" for i in range(900)]
    async with serving(once(HEAD), ssl=tls_of(authority, tmp_path, names)) as port:
        seen = await run("tls", {"address": HOST, "port": port, "sni": names[5]}, context(), 10)
    assert seen.ok, seen
    assert len(seen.detail["certificate"]["san"]) == 20
    assert len(json.dumps(seen.detail)) < 8000


def test_no_server_may_ask_for_another_handshake() -> None:
    import ssl

    for client in (trusting(None), unverified()):
        assert client.options & ssl.OP_NO_RENEGOTIATION


ASKED = dns_message.question("api.test", "A")


def answer(query: bytes, records: bytes, count: int, flags: int = 0x8180) -> bytes:
    """A DNS message with these records."""
    return query[:2] + struct.pack("!HHHHH", flags, 1, count, 0, 0) + ASKED.wire + records


def a(number: int) -> bytes:
    return b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + struct.pack("!I", 0x0A000000 + number)


CNAME = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 0, 2) + b"\xc0\x0c"


class Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram with what `reply` makes of it."""

    def __init__(self, reply: Callable[[bytes], list[bytes]]) -> None:
        self._reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        for wire in self._reply(data):
            self._transport.sendto(wire, addr)


DNS_REPLIES: dict[str, tuple[Callable[[bytes], list[bytes]], Failure | None]] = {
    "a CNAME to itself": (lambda q: [answer(q, CNAME, 1)], Failure.DNS_NO_ANSWER),
    "eighty CNAMEs": (lambda q: [answer(q, CNAME * 80, 80)], Failure.DNS_NO_ANSWER),
    "a name that points at itself": (lambda q: [answer(q, b"\xc0\x1a" * 30, 5)], Failure.DNS_BOGUS),
    "a label of unknown kind": (lambda q: [answer(q, b"\x80abc", 1)], Failure.DNS_BOGUS),
    "more records than bytes": (lambda q: [answer(q, a(1), 60_000)], Failure.DNS_BOGUS),
    "a record longer than the message": (lambda q: [answer(q, a(1)[:-2] + b"", 1)], Failure.DNS_BOGUS),
    "an address of three bytes": (
        lambda q: [answer(q, b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 3) + b"abc", 1)], Failure.DNS_BOGUS,
    ),
    "a flood of strangers' answers": (lambda q: [b"\0\0" + answer(q, a(1), 1)[2:]] * 2000, Failure.DNS_TIMEOUT),
    "an answer to another question": (lambda q: [answer(q, a(1), 1).replace(b"api", b"xpi")], Failure.DNS_TIMEOUT),
    "a question back": (lambda q: [q], Failure.DNS_TIMEOUT),
    "empty datagrams": (lambda q: [b""] * 50, Failure.DNS_TIMEOUT),
}  # fmt: skip


@pytest.mark.parametrize("how", list(DNS_REPLIES))
async def test_a_name_server_that_answers_with(context: MakeContext, how: str) -> None:
    reply, failure = DNS_REPLIES[how]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(reply), local_addr=(HOST, 0))
    port = transport.get_extra_info("sockname")[1]
    files = open_files()
    params = {"name": "api.test", "server": f"{HOST}:{port}", "tries": 3, "spacing_ms": 10, "timeout_ms": 400}
    try:
        seen = await run("dns", params, context(), 10)
    finally:
        transport.close()
    assert (seen.failure, seen.fault_of) == (failure, FaultOf.RESOLVER)
    assert open_files() <= files + SET


async def test_thousands_of_made_up_addresses_are_told_as_a_few(context: MakeContext) -> None:
    made = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        query = (await reader.readexactly(2 + int.from_bytes(await reader.readexactly(2), "big") - 2))[:]
        records = b"".join(a(made + i) for i in range(4000))
        made += 4000
        wire = answer(query, records, 4000)
        writer.write(struct.pack("!H", len(wire)) + wire)
        await writer.drain()

    async with serving(talk) as port:
        params = {"name": "api.test", "server": f"{HOST}:{port}", "proto": "tcp", "tries": 10, "spacing_ms": 0}
        seen = await run("dns", params, context(), 10)
    assert seen.ok, seen
    assert made == 40_000
    assert len(seen.detail["answers"]) == 64
    assert len(json.dumps(seen.detail)) < 10_000


async def test_what_is_told_of_a_hostile_server_is_believable_to_the_hub(context: MakeContext) -> None:
    seen = await asked(
        context, once(b"HTTP/1.1 302 \x7fFound\r\nLocation: http://x/" + b"\xff" * 3000 + b"\r\n\r\n\0\x1b[31m")
    )
    assert believable(json.loads(json.dumps(seen.detail))).get("malformed") is None


@pytest.mark.parametrize(
    "name", ["/etc/shadow", "file:///etc/shadow", "../../../etc/shadow", "/proc/self/environ", "/dev/zero"]
)
async def test_no_parameter_makes_an_agent_open_a_file(context: MakeContext, name: str) -> None:
    ctx = context()
    known = shapes()
    for shape in known:  # so that what is imported late has been
        await run(shape.kind, {**shape.aimed(name)}, ctx, 1)
    with watched() as touched:
        for shape in known:
            for key in {*shape.params, "path", "ca_file", "source", "file", "query_log"}:
                await run(shape.kind, {**shape.params, "timeout_ms": 1, key: name}, ctx, 1)
    opened = [said for event, said in touched if event == "open" and name.rpartition("/")[2] in said]
    assert opened == []
