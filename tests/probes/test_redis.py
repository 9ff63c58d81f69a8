from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.lab.pki import Authority
from bot.probes.redis import judge
from bot.probes.table import run
from tests.ports import free_port
from tests.probes.conftest import MakeContext
from tests.probes.databases import SECRET, Database, certificate, machine, redis, scripted
from tests.probes.servers import HOST, raw


def command(server: Database, *lines: str) -> bytes:
    """The first kilobytes of what a Redis answers."""
    with socket.create_connection((server.address, server.port), timeout=5) as sock:
        sock.sendall("".join(f"{line}\r\n" for line in lines).encode())
        return sock.recv(4096)


@contextlib.contextmanager
def crowd(server: Database, count: int) -> Iterator[None]:
    """Clients that connect and stay; each has been accepted."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.create_connection((server.address, server.port), timeout=5))
            client.sendall(b"PING\r\n")
            assert client.recv(7)
        yield


async def test_the_machines_redis_answers_and_says_how_full_it_is(context: MakeContext) -> None:
    seen = await run("redis", machine("WARROOM_TEST_REDIS", "127.0.0.1:6379").params, context(), 20)
    assert (seen.ok, seen.detail["tries"], seen.detail["ok"]) == (True, 3, 3)
    assert (seen.detail["role"], seen.detail["read_only"]) == ("primary", False)
    assert 1 <= seen.detail["connections"] < seen.detail["limit"]
    assert seen.detail["version"][0].isdigit()
    assert set(seen.timings_ms) == {"tcp", "greeting", "total"}


async def test_a_redis_without_a_free_connection_says_so(context: MakeContext) -> None:
    with redis("--maxclients", "5") as server:
        with crowd(server, 4):
            seen = await run("redis", server.params, context(), 20)
            assert (seen.ok, seen.detail["connections"], seen.detail["limit"]) == (True, 5, 5)
            assert seen.detail["used_share"] == 1.0
        with crowd(server, 5):
            seen = await run("redis", server.params, context(), 20)
    assert (seen.failure, seen.fault_of) == (Failure.DB_TOO_MANY_CONNECTIONS, FaultOf.TARGET)
    assert seen.detail["message"] == "max number of clients reached"
    assert "greeting" in seen.timings_ms


async def test_a_redis_that_wants_a_password_is_healthy_without_one(context: MakeContext) -> None:
    with redis("--requirepass", SECRET) as server:
        seen = await run("redis", server.params, context(), 20)
    assert (seen.ok, seen.detail["code"]) == (True, "NOAUTH")
    assert "connections" not in seen.detail


async def test_a_login_opens_it(context: MakeContext, tmp_path: Path) -> None:
    with redis("--requirepass", SECRET) as server:
        seen = await run("redis", {**server.params, "login": "orders"}, context(server.login("redis", tmp_path)), 20)
    assert (seen.ok, seen.detail["connections"], seen.detail["limit"]) == (True, 1, 10000)
    assert set(seen.timings_ms) == {"tcp", "greeting", "session", "total"}
    assert SECRET not in json.dumps(seen.detail)


async def test_a_wrong_password_is_db_auth_and_is_not_shown(context: MakeContext, tmp_path: Path) -> None:
    with redis("--requirepass", "another") as server:
        seen = await run("redis", {**server.params, "login": "orders"}, context(server.login("redis", tmp_path)), 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_AUTH, "WRONGPASS")
    assert SECRET not in repr(seen)


async def test_a_user_who_may_only_ping_is_enough(context: MakeContext, tmp_path: Path) -> None:
    with redis("--user", "watcher", "on", f">{SECRET}", "-@all", "+ping") as server:
        ctx = context(server.login("redis", tmp_path, user="watcher"))
        seen = await run("redis", {**server.params, "login": "orders"}, ctx, 20)
    assert seen.ok
    assert "connections" not in seen.detail


async def test_a_replica_says_that_it_is_one(context: MakeContext) -> None:
    with redis("--replicaof", f"{HOST} 9") as server:
        seen = await run("redis", server.params, context(), 20)
    assert (seen.ok, seen.detail["role"], seen.detail["read_only"]) == (True, "replica", True)


async def test_a_redis_that_loads_its_data_is_not_ready(context: MakeContext, tmp_path: Path) -> None:
    with redis(data=tmp_path) as server:
        command(server, *(f"SET key{i} {'x' * 2000}" for i in range(500)))
        assert b"+OK" in command(server, "SAVE")
    slowly = ("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
    with redis(*slowly, data=tmp_path) as server:
        seen = await run("redis", server.params, context(), 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_UNAVAILABLE, "LOADING")


async def test_tls_is_verified_when_it_is_asked_for(context: MakeContext, authority: Authority, tmp_path: Path) -> None:
    files = certificate(authority, tmp_path)
    port = free_port(HOST)
    options = ("--tls-cert-file", f"{files}/tls.crt", "--tls-key-file", f"{files}/tls.key", "--tls-auth-clients", "no")
    with redis("--tls-port", str(port), *options):
        asked = {"address": HOST, "port": port, "tries": 1}
        good = await run("redis", {**asked, "tls": "verify", "sni": "db.test"}, context(), 20)
        other = await run("redis", {**asked, "tls": "verify", "sni": "other.test"}, context(), 20)
        anyone = await run("redis", {**asked, "tls": "require"}, context(), 20)
    assert (good.ok, set(good.timings_ms)) == (True, {"tcp", "tls", "greeting", "total"})
    assert (other.failure, set(other.timings_ms)) == (Failure.TLS_WRONG_HOST, {"tcp", "tls"})
    assert anyone.ok


async def test_a_server_without_tls_is_asked_for_it_once(context: MakeContext) -> None:
    with redis() as server:
        asked = {"address": HOST, "port": server.port, "tls": "require", "timeout_ms": 500}
        seen = await run("redis", asked, context(), 20)
    assert (seen.failure, seen.detail["tries"]) == (Failure.TLS_TIMEOUT, 1)


async def test_protected_mode_keeps_us_out(context: MakeContext) -> None:
    def deny(peer: socket.socket) -> None:
        peer.send(b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n")
        peer.close()

    async with raw(deny) as port:
        seen = await run("redis", {"address": HOST, "port": port, "tries": 1}, context(), 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_AUTH, "DENIED")


async def test_a_server_that_repeats_the_password_does_not_get_it_into_the_result(
    context: MakeContext, tmp_path: Path
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read(4096)
        writer.write(f"-ERR unknown command 'AUTH', with args beginning with: {said!r}\r\n".encode())

    async with scripted(echo) as server:
        ctx = context(server.login("redis", tmp_path))
        seen = await run("redis", {**server.params, "tries": 1, "login": "orders"}, ctx, 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_AUTH, "ERR")
    assert SECRET[:10] not in repr(seen)


@pytest.mark.parametrize(
    ("error", "alone", "with_login"),
    [
        ("ERR max number of clients + cluster connections reached", "db_too_many_connections", None),
        ("MASTERDOWN Link with MASTER is down", "db_unavailable", None),
        ("BUSY Redis is busy running a script", "db_unavailable", None),
        ("MISCONF Errors writing to the AOF file", "db_unavailable", None),
        ("NOPERM this user has no permissions", None, "db_auth"),
        ("ERR unknown command", "db_error", None),
    ],
)
def test_an_error_word_is_named(error: str, alone: str | None, with_login: str | None) -> None:
    assert judge(error, login=False) == alone
    assert judge(error, login=True) == (with_login or alone)
