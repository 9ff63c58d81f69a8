from __future__ import annotations

import socket
from email.utils import formatdate
from pathlib import Path

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.lab.pki import Authority
from bot.probes.table import run
from tests.ports import free_port
from tests.probes.conftest import MakeContext, Resolver
from tests.probes.servers import DAY, HOST, http, raw, site, tls_of


async def test_a_pinned_request_carries_the_names_of_the_url_and_asks_no_dns(
    context: MakeContext, authority: Authority, tmp_path: Path
) -> None:
    async with site(lambda _: http(), tls_of(authority, tmp_path)) as server:
        asked = {"url": f"https://api.test:{server.port}/a?b=c", "address": HOST, "tries": 3, "spacing_ms": 1}
        seen = await run("http", asked, context(), 10)
    head = server.requests[0].decode()
    assert head.startswith("GET /a?b=c HTTP/1.1\r\n")
    assert f"host: api.test:{server.port}\r\n" in head.lower()
    assert (seen.ok, seen.detail["status"], seen.detail["body_head"]) == (True, 200, "hello")
    assert (seen.detail["tries"], seen.detail["ok"], len(seen.detail["each"])) == (3, 3, 3)
    assert set(seen.timings_ms) == {"tcp", "tls", "first_byte", "total"}


async def test_by_name_the_dns_phase_is_timed(context: MakeContext, resolver: Resolver) -> None:
    ctx = context(f'resolvers: {{host: ["{resolver}"]}}\n')
    async with site(lambda _: http()) as server:
        seen = await run("http", {"url": f"http://api.test:{server.port}/"}, ctx, 10)
    assert (seen.ok, seen.detail["address"]) == (True, HOST)
    assert set(seen.timings_ms) == {"dns", "tcp", "first_byte", "total"}


async def test_a_name_without_an_a_record_is_reached_by_ipv6(context: MakeContext, resolver: Resolver) -> None:
    ctx = context(f'resolvers: {{host: ["{resolver}"]}}\n')
    with socket.socket(socket.AF_INET6) as closed:
        closed.bind(("::1", 0))
        port = closed.getsockname()[1]
    seen = await run("http", {"url": f"http://six.test:{port}/"}, ctx, 10)
    assert (seen.detail["address"], seen.failure) == ("::1", Failure.TCP_REFUSED)


@pytest.mark.parametrize(
    ("name", "failure", "fault"),
    [
        ("nothing.test", Failure.DNS_NXDOMAIN, FaultOf.TARGET),
        ("a.silent.test", Failure.DNS_TIMEOUT, FaultOf.RESOLVER),
        ("a.refused.test", Failure.DNS_REFUSED, FaultOf.RESOLVER),
    ],
)
async def test_a_name_that_does_not_resolve_fails_in_its_dns_phase(
    context: MakeContext, resolver: Resolver, name: str, failure: Failure, fault: FaultOf
) -> None:
    ctx = context(f'resolvers: {{host: ["{resolver}"]}}\n')
    seen = await run("http", {"url": f"http://{name}/", "timeout_ms": 300}, ctx, 10)
    assert (seen.failure, seen.fault_of) == (failure, fault)
    assert set(seen.timings_ms) == {"dns", "total"}


async def test_a_name_that_points_to_metadata_is_never_dialled(context: MakeContext, resolver: Resolver) -> None:
    ctx = context(
        f'resolvers: {{host: ["{resolver}"]}}\n', policy="allow: [{network: 0.0.0.0/0, ports: any, kinds: any}]\n"
    )
    seen = await run("http", {"url": "http://metadata.test/latest/meta-data"}, ctx, 10)
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)
    assert "metadata" in seen.detail["reason"]


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "127.1"])
async def test_a_number_in_another_spelling_is_no_host(context: MakeContext, host: str) -> None:
    seen = await run("http", {"url": f"http://{host}/"}, context(policy=""), 10)
    assert seen.failure is Failure.UNSUPPORTED
    assert seen.detail["reason"] == f"url must have a DNS name or an IP address for its host, not '{host}'"


async def test_a_forbidden_address_is_not_dialled(context: MakeContext) -> None:
    seen = await run("http", {"url": "http://[0::1]/"}, context(policy=""), 10)
    assert seen.failure is Failure.POLICY_DENIED
    assert seen.detail["reason"].startswith("::1 is loopback; an allow rule")


async def test_a_redirect_is_told_and_not_followed(context: MakeContext) -> None:
    async with site(lambda _: http("302 Found", b"", "Location: http://169.254.169.254/")) as server:
        seen = await run("http", {"url": f"http://api.test:{server.port}/", "address": HOST}, context(), 10)
    assert (seen.ok, seen.detail["status"]) == (True, 302)
    assert seen.detail["location"] == "http://169.254.169.254/"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "extra", "failure"),
    [
        ("404 Not Found", {}, None),
        ("503 Service Unavailable", {}, Failure.HTTP_STATUS),
        ("503 Service Unavailable", {"expect_status": [503]}, None),
        ("404 Not Found", {"expect_status": 200}, Failure.HTTP_STATUS),
        ("200 OK", {"expect_body": "hell"}, None),
        ("200 OK", {"expect_body": "heaven"}, Failure.HTTP_BODY),
    ],
)
async def test_a_status_is_fine_unless_it_is_5xx_or_not_as_expected(
    context: MakeContext, status: str, extra: dict[str, object], failure: Failure | None
) -> None:
    async with site(lambda _: http(status)) as server:
        asked = {"url": f"http://api.test:{server.port}/", "address": HOST, **extra}
        seen = await run("http", asked, context(), 10)
    assert (seen.failure, seen.detail["status"]) == (failure, int(status[:3]))
    assert "first_byte" in seen.timings_ms


async def test_the_servers_date_shows_a_wrong_clock(context: MakeContext) -> None:
    import time

    async with site(lambda _: http("200 OK", b"", f"Date: {formatdate(time.time() - 600, usegmt=True)}")) as server:
        seen = await run("http", {"url": f"http://api.test:{server.port}/", "address": HOST}, context(), 10)
    assert -602_000 < seen.detail["date_skew_ms"] < -598_000


async def test_a_server_that_never_answers_keeps_the_phases_before(
    context: MakeContext, authority: Authority, tmp_path: Path
) -> None:
    async with site(lambda _: b"hang", tls_of(authority, tmp_path)) as server:
        asked = {"url": f"https://api.test:{server.port}/", "address": HOST, "timeout_ms": 400}
        seen = await run("http", asked, context(), 10)
    assert seen.failure is Failure.HTTP_TIMEOUT
    assert set(seen.timings_ms) == {"tcp", "tls", "first_byte", "total"}
    assert seen.timings_ms["first_byte"] > 100 > seen.timings_ms["tcp"]


@pytest.mark.parametrize("answer", [b"", b"SMTP ready\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nshort"])
async def test_what_is_no_http_answer_is_a_protocol_failure(context: MakeContext, answer: bytes) -> None:
    async with site(lambda _: answer) as server:
        seen = await run("http", {"url": f"http://api.test:{server.port}/", "address": HOST}, context(), 10)
    assert (seen.failure, seen.fault_of) == (Failure.HTTP_PROTOCOL, FaultOf.TARGET)


async def test_a_refused_connection_has_no_later_phase(context: MakeContext) -> None:
    port = free_port(HOST)
    seen = await run("http", {"url": f"https://api.test:{port}/", "address": HOST}, context(), 10)
    assert (seen.failure, set(seen.timings_ms)) == (Failure.TCP_REFUSED, {"tcp", "total"})


async def test_an_expired_certificate_is_shown(context: MakeContext, authority: Authority, tmp_path: Path) -> None:
    async with site(lambda _: http(), tls_of(authority, tmp_path, ends=-DAY)) as server:
        seen = await run("http", {"url": f"https://api.test:{server.port}/", "address": HOST}, context(), 10)
    assert seen.failure is Failure.TLS_EXPIRED
    assert seen.detail["certificate"]["subject"] == "CN=api.test"


async def test_partial_success_is_a_rate_with_its_failures(context: MakeContext) -> None:
    turn = iter([b"", http(), b"", http()])
    async with site(lambda _: next(turn)) as server:
        asked = {"url": f"http://api.test:{server.port}/", "address": HOST, "tries": 4, "spacing_ms": 20}
        seen = await run("http", asked, context(), 10)
    assert (seen.success_rate, seen.failure) == (0.5, Failure.HTTP_PROTOCOL)
    assert seen.detail["failures"] == {"http_protocol": 2}
    assert [row["failure"] for row in seen.detail["each"]] == ["http_protocol", None, "http_protocol", None]


async def test_a_dripping_server_meets_the_deadline_of_the_try(context: MakeContext) -> None:
    async with raw(lambda peer: peer.send(b"HTTP/1.1 200 OK\r\nX-Slow: ") and None) as port:
        asked = {"url": f"http://api.test:{port}/", "address": HOST, "timeout_ms": 300}
        seen = await run("http", asked, context(), 10)
    assert seen.failure is Failure.HTTP_TIMEOUT


async def test_credentials_in_a_url_are_refused(context: MakeContext) -> None:
    seen = await run("http", {"url": "http://user:secret@api.test/"}, context(), 10)
    assert seen.failure is Failure.UNSUPPORTED
    assert "secret" not in str(seen)


async def test_a_probe_that_outlives_its_job_is_the_agents_trouble(context: MakeContext) -> None:
    async with site(lambda _: b"hang") as server:
        seen = await run("http", {"url": f"http://api.test:{server.port}/", "address": HOST}, context(), 0.2)
    assert (seen.failure, seen.fault_of) == (Failure.AGENT_ERROR, FaultOf.AGENT)
