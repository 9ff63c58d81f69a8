"""What the three database kinds do alike, whatever they meet."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.probes.table import run
from tests.ports import free_port
from tests.probes.conftest import MakeContext, Resolver
from tests.probes.databases import redis, scripted
from tests.probes.servers import HOST, raw

KINDS = pytest.mark.parametrize("kind", ["mysql", "redis", "postgres"])


@KINDS
async def test_a_silent_server_is_a_db_timeout_with_its_tcp_time(context: MakeContext, kind: str) -> None:
    async with raw(lambda _: None) as port:
        seen = await run(kind, {"address": HOST, "port": port, "tries": 1, "timeout_ms": 300}, context(), 20)
    assert (seen.failure, seen.fault_of) == (Failure.DB_TIMEOUT, FaultOf.TARGET)
    assert seen.timings_ms["tcp"] < 100 < seen.timings_ms["greeting"]


@KINDS
@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"\0\0\0\0\0\0", b"E"]
)
async def test_a_server_of_another_protocol_is_told_so(context: MakeContext, kind: str, says: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)

    async with scripted(serve) as server:
        seen = await run(kind, {**server.params, "tries": 1, "timeout_ms": 2000}, context(), 20)
    assert (seen.failure, seen.fault_of) == (Failure.DB_PROTOCOL, FaultOf.TARGET)
    assert {"tcp", "greeting"} <= set(seen.timings_ms)


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


@KINDS
async def test_a_connection_that_is_reset_before_a_word_is_a_protocol_failure(context: MakeContext, kind: str) -> None:
    async with raw(reset) as port:
        seen = await run(kind, {"address": HOST, "port": port, "tries": 1}, context(), 20)
    assert (seen.failure, seen.detail["reason"]) == (Failure.DB_PROTOCOL, "ECONNRESET")
    assert "tcp" in seen.timings_ms


@KINDS
async def test_a_closed_port_is_no_matter_of_the_database(context: MakeContext, kind: str) -> None:
    closed = free_port(HOST)
    seen = await run(kind, {"address": HOST, "port": closed}, context(), 20)
    assert (seen.failure, seen.detail["ok"]) == (Failure.TCP_REFUSED, 0)
    assert set(seen.timings_ms) == {"tcp"}


@KINDS
async def test_the_policy_is_asked_before_anything_is_dialled(context: MakeContext, kind: str) -> None:
    seen = await run(kind, {"address": HOST}, context(policy=""), 20)
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)


@KINDS
async def test_bad_parameters_are_named(context: MakeContext, kind: str) -> None:
    for params, word in (
        ({}, "address"),
        ({"address": HOST, "port": 0}, "port"),
        ({"address": HOST, "tries": 11}, "tries"),
        ({"address": HOST, "tls": "maybe"}, "tls"),
        ({"address": HOST, "query": "DROP TABLE"}, "query"),
        ({"address": HOST, "login": 7}, "login"),
    ):
        seen = await run(kind, params, context(), 20)
        assert (seen.failure, seen.fault_of) == (Failure.UNSUPPORTED, FaultOf.AGENT)
        assert word in seen.detail["reason"]


async def test_a_host_is_resolved_by_the_agent_and_its_time_is_kept(context: MakeContext, resolver: Resolver) -> None:
    ctx = context(f"resolvers: {{host: '{resolver}'}}\n")
    with redis() as server:
        seen = await run("redis", {"host": "api.test", "port": server.port}, ctx, 20)
        lost = await run("redis", {"host": "gone.test", "port": server.port}, ctx, 20)
    assert (seen.ok, seen.detail["address"]) == (True, HOST)
    assert set(seen.timings_ms) == {"dns", "tcp", "greeting", "total"}
    assert (lost.failure, set(lost.timings_ms)) == (Failure.DNS_NXDOMAIN, {"dns"})
