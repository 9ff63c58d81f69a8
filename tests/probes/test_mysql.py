from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from bot.domain.failure import Failure, FaultOf
from bot.lab.pki import Authority
from bot.probes.table import run
from tests.probes.conftest import MakeContext
from tests.probes.databases import SECRET, Database, asked, certificate, machine, mariadb, patiently, scripted

FROM, ELSEWHERE = "127.31.5.5", "127.31.5.6"
"""Source addresses: MariaDB keeps no account of what comes from 127.0.0.1."""
USERS = f"""CREATE USER app@'{FROM}' IDENTIFIED BY '{SECRET}';
CREATE USER app@'127.0.0.1' IDENTIFIED BY '{SECRET}';
CREATE USER app@localhost IDENTIFIED BY '{SECRET}';
"""


def client(server: Database) -> pymysql.Connection:
    return pymysql.connect(host=server.address, port=server.port, user="app", password=SECRET)


@contextlib.contextmanager
def crowd(server: Database, count: int) -> Iterator[None]:
    """Clients that are logged in and stay."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            one = patiently(lambda: client(server), pymysql.err.OperationalError)
            stack.enter_context(contextlib.closing(one))
        yield


def account(server: Database, source: str) -> dict[str, int]:
    """What the server holds against a source address."""
    kinds = ("sum_connect_errors", "count_handshake_errors", "count_authentication_errors")
    rows = asked(server, f"SELECT {','.join(kinds)} FROM performance_schema.host_cache WHERE ip = '{source}'")
    return dict(zip(kinds, map(int, rows[0]), strict=True))


async def test_the_machines_mariadb_greets_us(context: MakeContext) -> None:
    seen = await run("mysql", machine("WARROOM_TEST_MYSQL", "127.0.0.1:3306").params, context(), 20)
    assert (seen.ok, seen.detail["tries"], seen.detail["ok"]) == (True, 2, 2)
    assert seen.detail["version"][0].isdigit()
    assert not seen.detail["version"].startswith("5.5.5-")
    assert seen.detail["code"] == "1045"
    assert set(seen.timings_ms) == {"tcp", "greeting", "total"}


async def test_a_mysql_whose_last_slot_is_the_administrators_has_too_many_connections(context: MakeContext) -> None:
    with mariadb(sql=USERS) as server:
        with crowd(server, 9):
            assert (await run("mysql", server.params, context(), 20)).ok
        with crowd(server, 10):
            seen = await run("mysql", server.params, context(), 20)
            with pytest.raises(pymysql.err.OperationalError, match="1040"):
                client(server)
            blind = await run("mysql", {**server.params, "reserved": 0}, context(), 20)
    assert (seen.failure, seen.fault_of) == (Failure.DB_TOO_MANY_CONNECTIONS, FaultOf.TARGET)
    assert (seen.detail["code"], seen.detail["slots_left"]) == ("1040", 1)
    assert "greeting" in seen.timings_ms
    assert blind.ok  # what one connection without a login would have said


async def test_a_mysql_without_any_slot_says_so_instead_of_greeting(context: MakeContext) -> None:
    with mariadb(sql=USERS) as server, crowd(server, 10), socket.create_connection((server.address, server.port)) as s:
        assert s.recv(5)[4] == 10  # protocol 10: the administrators' slot is taken too
        seen = await run("mysql", server.params, context(), 20)
    assert (seen.failure, seen.detail["message"]) == (Failure.DB_TOO_MANY_CONNECTIONS, "Too many connections")


async def test_the_probe_never_gets_its_host_blocked_where_hanging_up_does(context: MakeContext) -> None:
    with mariadb("--max-connect-errors=5", sql=USERS) as server:
        ctx = context(f"source: {FROM}\n")
        often = {**server.params, "tries": 10, "spacing_ms": 0}
        seen = await run("mysql", often, ctx, 30)
        assert (seen.ok, seen.detail["code"]) == (True, "1045")
        assert account(server, FROM) == {
            "sum_connect_errors": 0,
            "count_handshake_errors": 0,
            "count_authentication_errors": 20,
        }
        await run("tcp", {**server.params, "tries": 8, "spacing_ms": 50}, ctx, 30)
        seen = await run("mysql", server.params, ctx, 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_AUTH, "1129")


async def test_a_host_that_is_not_allowed_is_told_so(context: MakeContext) -> None:
    with mariadb(sql=USERS) as server:
        seen = await run("mysql", server.params, context(f"source: {ELSEWHERE}\n"), 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_AUTH, "1130")


async def test_a_login_without_rights_learns_how_full_it_is(context: MakeContext, tmp_path: Path) -> None:
    with mariadb(sql=USERS) as server, crowd(server, 4):
        ctx = context(server.login("mysql", tmp_path, user="app"))
        seen = await run("mysql", {**server.params, "login": "orders", "tries": 1}, ctx, 20)
        aborted = asked(server, "SHOW GLOBAL STATUS LIKE 'Aborted_c%'")
    assert (seen.ok, seen.detail["connections"], seen.detail["limit"]) == (True, 5, 10)
    assert (seen.detail["used_share"], seen.detail["role"], seen.detail["read_only"]) == (0.5, "primary", False)
    assert set(seen.timings_ms) == {"tcp", "greeting", "session", "total"}
    assert {int(count) for _, count in aborted} == {0}
    assert SECRET not in json.dumps(seen.detail)


async def test_a_login_to_a_full_server_meets_what_the_service_meets(context: MakeContext, tmp_path: Path) -> None:
    with mariadb(sql=USERS) as server, crowd(server, 10):
        ctx = context(server.login("mysql", tmp_path, user="app"))
        seen = await run("mysql", {**server.params, "login": "orders", "tries": 1}, ctx, 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_TOO_MANY_CONNECTIONS, "1040")


async def test_a_wrong_password_is_db_auth(context: MakeContext, tmp_path: Path) -> None:
    with mariadb(sql=USERS) as server:
        ctx = context(server.login("mysql", tmp_path, user="app", secret="canary-wrong"))
        seen = await run("mysql", {**server.params, "login": "orders", "tries": 1}, ctx, 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_AUTH, "1045")
    assert "using password: YES" in seen.detail["message"]
    assert "canary" not in repr(seen)


async def test_a_login_goes_nowhere_but_where_it_is_for(context: MakeContext, tmp_path: Path) -> None:
    elsewhere = Database("127.31.0.10", 3306).login("mysql", tmp_path, user="app")
    seen = await run("mysql", {"address": "127.31.0.10", "port": 3307, "login": "orders"}, context(elsewhere), 20)
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)
    nameless = Database("127.31.0.10", 3306).login("mysql", tmp_path)
    seen = await run("mysql", {"address": "127.31.0.10", "login": "orders"}, context(nameless), 20)
    assert "names no user" in seen.detail["reason"]


async def test_tls_begins_after_the_greeting(context: MakeContext, authority: Authority, tmp_path: Path) -> None:
    files = certificate(authority, tmp_path)
    secure = (f"--ssl-cert={files}/tls.crt", f"--ssl-key={files}/tls.key")
    with mariadb(*secure, sql=USERS) as server:
        ctx = context(server.login("mysql", tmp_path, user="app"))
        verify = {**server.params, "tls": "verify", "sni": "db.test", "tries": 1}
        good = await run("mysql", verify, ctx, 20)
        inside = await run("mysql", {**verify, "login": "orders"}, ctx, 20)
        other = await run("mysql", {**verify, "sni": "other.test"}, ctx, 20)
        mistaken = await run("mysql", {**verify, "sni": "other.test", "login": "orders"}, ctx, 20)
    assert (good.ok, set(good.timings_ms)) == (True, {"tcp", "greeting", "tls", "total"})
    assert (inside.ok, inside.detail["limit"]) == (True, 10)
    assert (other.failure, mistaken.failure) == (Failure.TLS_WRONG_HOST, Failure.TLS_WRONG_HOST)


async def test_a_server_without_tls_is_told_from_one_with(context: MakeContext) -> None:
    with mariadb(sql=USERS) as server:
        seen = await run("mysql", {**server.params, "tls": "require"}, context(f"source: {FROM}\n"), 20)
        assert account(server, FROM)["count_handshake_errors"] == 0
    assert (seen.failure, seen.detail["reason"]) == (Failure.TLS_FAILED, "the server offers no TLS")


def packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload


def greeting(plugin: bytes) -> bytes:
    """Protocol 10 with CLIENT_PROTOCOL_41, SECURE_CONNECTION and PLUGIN_AUTH."""
    flags = b"\x00\x82" + b"\x21" + b"\x02\x00" + b"\x08\x00" + bytes([21]) + bytes(10)
    return packet(0, b"\x0a8.4.0\0" + bytes(4) + b"s" * 8 + b"\0" + flags + b"t" * 12 + b"\0" + plugin + b"\0")


@pytest.mark.parametrize(
    ("plugin", "ask"),
    [
        (b"mysql_native_password", b"\xfemysql_clear_password\0"),
        (b"mysql_native_password", b"\xfedialog\0\x05Password: "),
        (b"mysql_native_password", b"\xfesha256_password\0" + b"s" * 20 + b"\0"),
        (b"caching_sha2_password", b"\x01\x04"),
    ],
)
async def test_a_server_that_wants_the_password_itself_does_not_get_it(
    context: MakeContext, tmp_path: Path, plugin: bytes, ask: bytes
) -> None:
    heard: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting(plugin))
        heard.append(await reader.read(4096))
        writer.write(packet(2, ask))
        heard.append(await reader.read(4096))
        ended.set()

    async with scripted(serve) as server:
        ctx = context(server.login("mysql", tmp_path, user="app"))
        seen = await run("mysql", {**server.params, "login": "orders", "tries": 1}, ctx, 20)
        await asyncio.wait_for(ended.wait(), 5)
    assert (seen.failure, seen.fault_of) == (Failure.DB_AUTH, FaultOf.TARGET)
    assert "without TLS it is not sent" in seen.detail["reason"]
    assert heard[1] == b""
    assert SECRET.encode() not in b"".join(heard)


async def test_caching_sha2_password_logs_in_where_the_server_knows_us(context: MakeContext, tmp_path: Path) -> None:
    first = hashlib.sha256(SECRET.encode()).digest()
    nonce = b"s" * 8 + b"t" * 12
    mask = hashlib.sha256(hashlib.sha256(first).digest() + nonce).digest()
    proof = bytes(a ^ b for a, b in zip(first, mask, strict=True))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting(b"caching_sha2_password"))
        good = proof in await reader.read(4096)
        writer.write(packet(2, b"\x01\x03") + packet(3, bytes(7)) if good else packet(2, b"\xff\x15\x04#28000no"))
        await reader.read(4096)
        writer.write(packet(1, b"\xff\x1d\x04#08S01Server shutdown in progress"))

    async with scripted(serve) as server:
        ctx = context(server.login("mysql", tmp_path, user="app"))
        seen = await run("mysql", {**server.params, "login": "orders", "tries": 1}, ctx, 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_UNAVAILABLE, "1053")


async def test_a_server_that_repeats_the_password_does_not_get_it_into_the_result(
    context: MakeContext, tmp_path: Path
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting(b"mysql_native_password"))
        await reader.read(4096)
        writer.write(packet(2, b"\xff\x15\x04#28000" + b"x" * 290 + SECRET.encode() + b" is wrong"))

    async with scripted(serve) as server:
        ctx = context(server.login("mysql", tmp_path, user="app"))
        seen = await run("mysql", {**server.params, "login": "orders", "tries": 1}, ctx, 20)
    assert seen.failure is Failure.DB_AUTH
    assert "canary" not in repr(seen)


async def test_a_session_that_hangs_ends_in_time_and_leaves_no_thread(context: MakeContext, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting(b"mysql_native_password"))
        await reader.read()

    async with scripted(serve) as server:
        ctx = context(server.login("mysql", tmp_path, user="app"))
        began = time.monotonic()
        asked_ = {**server.params, "login": "orders", "tries": 1, "timeout_ms": 300}
        seen = await run("mysql", asked_, ctx, 20)
        await asyncio.get_running_loop().shutdown_default_executor()  # waits for the thread
    assert (seen.failure, set(seen.timings_ms)) == (Failure.DB_TIMEOUT, {"tcp", "greeting", "session"})
    assert time.monotonic() - began < 15
