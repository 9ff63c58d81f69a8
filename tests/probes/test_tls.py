from __future__ import annotations

import socket
import struct
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from bot.lab.pki import Authority
from bot.probes.table import run
from tests.probes.conftest import MakeContext, Resolver
from tests.probes.servers import DAY, HOST, http, raw, site, tls_of


async def shake(context: MakeContext, port: int, sni: str = "api.test") -> Outcome:
    asked = {"address": HOST, "port": port, "sni": sni, "timeout_ms": 500}
    return await run("tls", asked, context(), 10)


async def test_a_good_certificate_is_described(context: MakeContext, authority: Authority, tmp_path: Path) -> None:
    async with site(lambda _: http(), tls_of(authority, tmp_path, ["api.test", "www.test"])) as server:
        seen = await shake(context, server.port)
    assert (seen.ok, seen.detail["version"]) == (True, "TLSv1.3")
    certificate = seen.detail["certificate"]
    assert certificate["san"] == ["api.test", "www.test"]
    assert (certificate["subject"], certificate["issuer"]) == ("CN=api.test", "CN=Warroom lab CA")
    assert certificate["days_left"] == 29
    assert set(seen.timings_ms) == {"tcp", "tls"}


@pytest.mark.parametrize(
    ("fault", "failure", "reason"),
    [
        ("expired", Failure.TLS_EXPIRED, "expired"),
        ("wrong host", Failure.TLS_WRONG_HOST, "api.test"),
        ("untrusted", Failure.TLS_UNTRUSTED, "issuer"),
    ],
)
async def test_a_certificate_that_does_not_verify_is_named_and_still_shown(
    context: MakeContext, authority: Authority, tmp_path: Path, fault: str, failure: Failure, reason: str
) -> None:
    issuer = Authority("Somebody else") if fault == "untrusted" else authority
    names = ["other.test"] if fault == "wrong host" else ["api.test"]
    ends = -10 * DAY if fault == "expired" else timedelta(days=20)
    async with site(lambda _: http(), tls_of(issuer, tmp_path, names, ends=ends)) as server:
        seen = await shake(context, server.port)
    assert (seen.ok, seen.failure, seen.fault_of) == (False, failure, FaultOf.TARGET)
    assert seen.detail["certificate"]["san"] == names
    assert seen.detail["certificate"]["days_left"] == (-10 if fault == "expired" else 19) - (fault == "expired")
    assert reason in seen.detail["reason"]
    assert set(seen.timings_ms) == {"tcp", "tls"}


async def test_a_handshake_that_hangs_is_a_tls_timeout_with_its_tcp_time(context: MakeContext) -> None:
    async with raw(lambda _: None) as port:
        seen = await shake(context, port)
    assert seen.failure is Failure.TLS_TIMEOUT
    assert seen.timings_ms["tcp"] < 100 < seen.timings_ms["tls"]


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def test_a_reset_or_a_close_after_tcp_is_a_tls_failure(context: MakeContext) -> None:
    async with raw(reset) as port:
        seen = await shake(context, port)
    assert (seen.failure, seen.detail["reason"]) == (Failure.TLS_FAILED, "ECONNRESET")
    async with raw(lambda peer: peer.shutdown(socket.SHUT_WR)) as port:
        seen = await shake(context, port)
    assert (seen.failure, seen.detail["reason"]) == (Failure.TLS_FAILED, "closed by the peer")


async def test_a_server_that_speaks_no_tls_fails_the_handshake(context: MakeContext) -> None:
    async with raw(lambda peer: peer.send(b"SSH-2.0-OpenSSH_9.6\r\n") and None) as port:
        seen = await shake(context, port)
    assert (seen.failure, seen.detail["reason"]) == (Failure.TLS_FAILED, "wrong_version_number")


async def test_a_server_that_refuses_our_versions_fails_with_its_alert(context: MakeContext) -> None:
    alert = bytes([21, 3, 3, 0, 2, 2, 70])  # fatal protocol_version
    async with raw(lambda peer: peer.send(alert) and None) as port:
        seen = await shake(context, port)
    assert (seen.failure, seen.detail["reason"]) == (Failure.TLS_FAILED, "tlsv1_alert_protocol_version")


async def test_a_host_is_looked_up_timed_and_named_in_sni(
    context: MakeContext, authority: Authority, tmp_path: Path, resolver: Resolver
) -> None:
    ctx = context(f"resolvers: {{host: ['{resolver}']}}\n")
    async with site(lambda _: http(), tls_of(authority, tmp_path)) as server:
        seen = await run("tls", {"host": "api.test", "port": server.port}, ctx, 10)
    assert (seen.ok, seen.detail["sni"], seen.detail["host"], seen.detail["address"]) == (
        True,
        "api.test",
        "api.test",
        HOST,
    )
    assert set(seen.timings_ms) == {"dns", "tcp", "tls"}


async def test_a_name_that_is_not_there_is_a_failure_of_dns(context: MakeContext, resolver: Resolver) -> None:
    seen = await run("tls", {"host": "nothing.test"}, context(f"resolvers: {{host: ['{resolver}']}}\n"), 10)
    assert (seen.failure, set(seen.timings_ms)) == (Failure.DNS_NXDOMAIN, {"dns"})
