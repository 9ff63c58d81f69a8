from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bot.domain.failure import Failure, FaultOf
from bot.lab.pki import Authority
from bot.probes.postgres import judge
from bot.probes.table import run
from tests.probes.conftest import MakeContext
from tests.probes.databases import SECRET, Database, patiently, postgres, scripted
from tests.store.databases import SERVER


def client(server: Database, user: str = "boss", **more: str) -> psycopg.Connection:
    return psycopg.connect(
        host=server.address, port=server.port, user=user, password=SECRET, dbname="postgres", autocommit=True, **more
    )


@contextlib.contextmanager
def crowd(server: Database, count: int, user: str = "boss") -> Iterator[None]:
    """Clients that are logged in and stay."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            one = patiently(lambda: client(server, user), psycopg.OperationalError)
            stack.enter_context(contextlib.closing(one))
        yield


def with_user(server: Database) -> Database:
    """The server, with an ordinary user `app` who has SECRET too."""
    with client(server) as connection:
        connection.execute(f"CREATE ROLE app LOGIN PASSWORD '{SECRET}'")
    return server


def logged(server: Database) -> list[str]:
    """The FATAL lines of the server's log."""
    assert server.folder
    return [line for line in (server.folder / "log").read_text().splitlines() if "FATAL" in line]


async def test_the_machines_postgresql_answers(context: MakeContext) -> None:
    where = psycopg.conninfo.conninfo_to_dict(SERVER)
    seen = await run("postgres", {"host": where["host"], "port": int(where.get("port") or 5432)}, context(), 20)
    assert (seen.ok, seen.detail["tries"]) == (True, 2)
    assert {"tcp", "greeting"} <= set(seen.timings_ms)


async def test_a_request_for_a_password_is_health_and_leaves_nothing_in_the_log(context: MakeContext) -> None:
    with postgres() as server:
        seen = await run("postgres", server.params, context(), 20)
        assert seen.ok
        assert "code" not in seen.detail
        assert logged(server) == []


async def test_a_server_that_trusts_us_refuses_nobody_by_name_and_is_healthy(context: MakeContext) -> None:
    with postgres(auth="trust") as server:
        seen = await run("postgres", server.params, context(), 20)
        assert (seen.ok, seen.detail["code"]) == (True, "28000")
        assert len(logged(server)) == 2  # one line a try


async def test_a_postgresql_with_only_reserved_slots_left_has_too_many_connections(context: MakeContext) -> None:
    with postgres() as server:
        with_user(server)
        with crowd(server, 1, "app"):
            assert (await run("postgres", server.params, context(), 20)).ok
        with crowd(server, 3, "app"):
            with pytest.raises(psycopg.OperationalError, match="reserved"):
                client(server, "app")
            seen = await run("postgres", server.params, context(), 20)
            blind = await run("postgres", {**server.params, "reserved": 0}, context(), 20)
            with crowd(server, 3):
                full = await run("postgres", server.params, context(), 20)
    assert (seen.failure, seen.fault_of) == (Failure.DB_TOO_MANY_CONNECTIONS, FaultOf.TARGET)
    assert (seen.detail["code"], seen.detail["slots_left"]) == ("53300", 3)
    assert blind.ok  # what one connection without a login would have said
    assert (full.failure, full.detail["message"]) == (seen.failure, "sorry, too many clients already")
    assert "slots_left" not in full.detail


async def test_a_login_learns_how_full_it_is(context: MakeContext, tmp_path: Path) -> None:
    with postgres() as server:
        ctx = context(with_user(server).login("postgres", tmp_path, user="app"))
        with crowd(server, 1):
            seen = await run("postgres", {**server.params, "login": "orders", "tries": 1}, ctx, 20)
        with crowd(server, 3):
            full = await run("postgres", {**server.params, "login": "orders", "tries": 1}, ctx, 20)
        assert len(logged(server)) == 1
    assert (seen.ok, seen.detail["connections"], seen.detail["limit"]) == (True, 2, 6)
    assert seen.detail["used_share"] == round(2 / 3, 4)
    assert (seen.detail["role"], seen.detail["read_only"]) == ("primary", False)
    assert set(seen.timings_ms) == {"tcp", "greeting", "session", "total"}
    assert (full.failure, full.detail["code"]) == (Failure.DB_TOO_MANY_CONNECTIONS, "53300")
    assert SECRET not in json.dumps([seen.detail, full.detail])


@pytest.mark.parametrize("auth", ["scram-sha-256", "md5"])
async def test_a_wrong_password_is_db_auth_and_a_right_one_is_not(
    context: MakeContext, tmp_path: Path, auth: str
) -> None:
    with postgres("-c", f"password_encryption={auth}", auth=auth) as server:
        asked = {**server.params, "login": "orders", "tries": 1}
        right = await run("postgres", asked, context(server.login("postgres", tmp_path, user="boss")), 20)
        ctx = context(server.login("postgres", tmp_path, user="boss", secret="canary-wrong"))
        wrong = await run("postgres", asked, ctx, 20)
        lost = await run(
            "postgres", {**asked, "database": "gone"}, context(server.login("postgres", tmp_path, user="boss")), 20
        )
    assert right.ok
    assert (wrong.failure, wrong.detail["code"]) == (Failure.DB_AUTH, "28P01")
    assert "canary" not in repr(wrong)
    assert (lost.failure, lost.detail["code"]) == (Failure.DB_ERROR, "3D000")


async def test_a_password_goes_in_the_clear_only_through_tls(
    context: MakeContext, authority: Authority, tmp_path: Path
) -> None:
    with postgres(auth="password", tls=authority) as server:
        ctx = context(server.login("postgres", tmp_path, user="boss"))
        asked = {**server.params, "login": "orders", "tries": 1, "sni": "db.test"}
        clear = await run("postgres", asked, ctx, 20)
        through = await run("postgres", {**asked, "tls": "verify"}, ctx, 20)
        other = await run("postgres", {**asked, "tls": "verify", "sni": "other.test"}, ctx, 20)
    assert (clear.failure, through.ok) == (Failure.DB_AUTH, True)
    assert "in the clear without TLS" in clear.detail["reason"]
    assert set(through.timings_ms) == {"tcp", "tls", "greeting", "session", "total"}
    assert (other.failure, set(other.timings_ms)) == (Failure.TLS_WRONG_HOST, {"tcp", "tls"})


async def test_a_server_without_tls_is_told_from_one_with(context: MakeContext) -> None:
    with postgres() as server:
        seen = await run("postgres", {**server.params, "tls": "require"}, context(), 20)
    assert (seen.failure, seen.detail["reason"]) == (Failure.TLS_FAILED, "the server offers no TLS")


async def test_a_standby_that_takes_no_queries_is_not_ready(context: MakeContext) -> None:
    with postgres("-c", "hot_standby=off", standby=True) as server:
        seen = await run("postgres", server.params, context(), 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_UNAVAILABLE, "57P03")


async def test_a_replica_says_that_it_is_one(context: MakeContext, tmp_path: Path) -> None:
    # A standby must allow as much as the primary that made it did, which was initdb's default.
    with postgres("-c", "max_connections=100", "-c", "max_wal_senders=10", standby=True) as server:
        ctx = context(server.login("postgres", tmp_path, user="boss"))
        asked = {**server.params, "login": "orders", "tries": 10, "spacing_ms": 200}
        seen = await run("postgres", asked, ctx, 20)  # the first tries may find it starting up
    assert (seen.detail["role"], seen.detail["read_only"]) == ("replica", True)


async def test_a_server_that_repeats_the_password_does_not_get_it_into_the_result(
    context: MakeContext, authority: Authority, tmp_path: Path
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(struct.pack("!cII4s", b"R", 12, 5, b"salt"))
        await reader.read(4096)
        body = b"SFATAL\0C28P01\0M" + b"x" * 290 + SECRET.encode() + b" is wrong\0\0"
        writer.write(struct.pack("!cI", b"E", len(body) + 4) + body)

    async with scripted(serve) as server:
        ctx = context(server.login("postgres", tmp_path, user="boss"))
        seen = await run("postgres", {**server.params, "login": "orders", "tries": 1}, ctx, 20)
    assert (seen.failure, seen.detail["code"]) == (Failure.DB_AUTH, "28P01")
    assert "canary" not in repr(seen)


@pytest.mark.parametrize(
    ("code", "message", "failure"),
    [
        ("53300", "zu viele Verbindungen", "db_too_many_connections"),
        ("08P01", "no more connections allowed (max_client_conn)", "db_too_many_connections"),
        ("57P01", "terminating connection due to administrator command", "db_unavailable"),
        ("53200", "out of memory", "db_unavailable"),
        ("28000", "no pg_hba.conf entry", None),
        ("3D000", "database does not exist", None),
        ("XX000", "internal error", "db_error"),
    ],
)
def test_an_sqlstate_is_named(code: str, message: str, failure: str | None) -> None:
    assert judge(code, message, login=False) == failure
