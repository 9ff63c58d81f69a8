from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import dns.message
import dns.rrset
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from bot.probes.table import run
from tests.ports import free_port
from tests.probes.conftest import MakeContext, Resolver
from tests.probes.servers import DAY, HOST


async def ask(context: MakeContext, server: object, name: str = "api.test", **params: object) -> Outcome:
    asked = {"name": name, "server": str(server), "tries": 4, "spacing_ms": 5, "timeout_ms": 300, **params}
    return await run("dns", asked, context(), 10)


async def test_every_try_is_counted_timed_and_shown(context: MakeContext, resolver: Resolver) -> None:
    seen = await ask(context, resolver, tries=20)
    assert (seen.ok, seen.success_rate, seen.failure) == (True, 1.0, None)
    assert {k: seen.detail[k] for k in ("tries", "ok", "timeouts", "answers", "rcodes", "failures")} == {
        "tries": 20,
        "ok": 20,
        "timeouts": 0,
        "answers": ["127.31.0.10"],
        "rcodes": {"NOERROR": 20},
        "failures": {},
    }
    assert seen.detail["resolvers"] == [str(resolver)]
    assert seen.detail["by_resolver"] == {str(resolver): {"tries": 20, "ok": 20}}
    assert seen.detail["low"] < 1.0 == seen.detail["high"]
    assert 0 < seen.timings_ms["dns"] <= seen.timings_ms["dns_p95"] < 300
    assert set(seen.detail["each"][0]) == {"ms", "rcode", "failure", "resolver"}


@pytest.mark.parametrize(
    ("name", "failure", "rcode", "fault"),
    [
        ("nothing.test", Failure.DNS_NXDOMAIN, "NXDOMAIN", FaultOf.TARGET),
        ("six.test", Failure.DNS_NO_ANSWER, "NOERROR", FaultOf.RESOLVER),
        ("a.refused.test", Failure.DNS_REFUSED, "REFUSED", FaultOf.RESOLVER),
        ("a.servfail.test", Failure.DNS_SERVFAIL, "SERVFAIL", FaultOf.RESOLVER),
    ],
)
async def test_an_answer_that_is_no_address_is_named_by_its_rcode(
    context: MakeContext, resolver: Resolver, name: str, failure: Failure, rcode: str, fault: FaultOf
) -> None:
    seen = await ask(context, resolver, name)
    assert (seen.failure, seen.fault_of, seen.detail["rcodes"]) == (failure, fault, {rcode: 4})
    assert "dns" in seen.timings_ms


async def test_silence_is_a_timeout_and_tries_overlap(context: MakeContext, resolver: Resolver) -> None:
    began = time.monotonic()
    seen = await ask(context, resolver, "a.silent.test", tries=20, timeout_ms=500)
    assert time.monotonic() - began < 6
    assert (seen.failure, seen.detail["timeouts"], seen.timings_ms) == (Failure.DNS_TIMEOUT, 20, {})


async def test_a_closed_port_is_unreachable_not_a_timeout(context: MakeContext) -> None:
    seen = await ask(context, f"{HOST}:{free_port(HOST)}")
    assert (seen.failure, seen.fault_of) == (Failure.DNS_UNREACHABLE, FaultOf.RESOLVER)
    assert seen.detail["each"][0]["reason"] == "ECONNREFUSED"


async def test_tries_rotate_over_the_resolvers_of_a_group(context: MakeContext, resolver: Resolver) -> None:
    dead = f"{HOST}:{free_port(HOST)}"
    ctx = context(f'resolvers: {{vpc: ["{resolver}", "{dead}"]}}\n')
    seen = await run("dns", {"name": "api.test", "server": "@vpc", "tries": 10, "spacing_ms": 1}, ctx, 10)
    assert seen.success_rate == 0.5
    assert seen.detail["by_resolver"] == {str(resolver): {"tries": 5, "ok": 5}, dead: {"tries": 5, "ok": 0}}


async def test_the_same_resolver_is_asked_over_tcp(context: MakeContext, resolver: Resolver) -> None:
    seen = await ask(context, resolver, proto="tcp")
    assert (seen.ok, seen.detail["answers"]) == (True, ["127.31.0.10"])
    seen = await ask(context, f"{HOST}:{free_port(HOST)}", proto="tcp")
    assert seen.failure is Failure.DNS_UNREACHABLE


async def test_a_nonce_name_that_does_not_exist_proves_the_way_to_its_server(
    context: MakeContext, resolver: Resolver
) -> None:
    seen = await ask(context, resolver, nonce=True, tries=2)
    label, _, rest = seen.detail["name"].partition(".")
    assert (seen.ok, seen.detail["rcodes"], len(label), rest) == (True, {"NXDOMAIN": 2}, 12, "api.test")


async def test_the_hosts_own_library_is_asked_when_the_policy_names_no_resolver(context: MakeContext) -> None:
    seen = await run("dns", {"name": "localhost", "server": "@host", "tries": 3, "spacing_ms": 1}, context(), 10)
    assert (seen.ok, seen.detail["answers"], seen.detail["resolvers"]) == (True, ["127.0.0.1"], ["getaddrinfo"])


async def test_naming_the_hosts_resolver_asks_it_directly(context: MakeContext, resolver: Resolver) -> None:
    ctx = context(f'resolvers: {{host: ["{resolver}"]}}\n')
    seen = await run("dns", {"name": "two.test", "server": "@host", "tries": 2, "spacing_ms": 1}, ctx, 10)
    assert (seen.detail["answers"], seen.detail["resolvers"]) == (["203.0.113.1", "203.0.113.2"], [str(resolver)])


class Forger(asyncio.DatagramProtocol):
    """Answers each query with forgeries: another id, another question, then what `last` makes of the query."""

    def __init__(self, last: bytes | None) -> None:
        self.last = last
        self.ports: list[int] = []
        self.idents: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.ports.append(addr[1])
        self.idents.append(data[:2])
        flags = b"\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00"
        self.transport.sendto(bytes([data[0] ^ 1, data[1]]) + flags + data[12:], addr)
        self.transport.sendto(data[:2] + flags + data[12:].replace(b"api", b"evi"), addr)
        if self.last is not None:
            self.transport.sendto(data[:2] + self.last + data[12:-11] + b"\xc0", addr)


async def forged(context: MakeContext, last: bytes | None) -> tuple[Outcome, Forger]:
    transport, forger = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Forger(last), local_addr=(HOST, 0)
    )
    try:
        port = transport.get_extra_info("sockname")[1]
        return await ask(context, f"{HOST}:{port}", timeout_ms=200), forger
    finally:
        transport.close()


async def test_answers_to_another_id_or_question_are_not_ours(context: MakeContext) -> None:
    seen, forger = await forged(context, None)
    assert (seen.failure, seen.detail["timeouts"]) == (Failure.DNS_TIMEOUT, 4)
    assert len(forger.ports) == 4, "no retry"
    assert len(set(forger.ports)) == 4, "a source port of its own for each try"
    assert len(set(forger.idents)) > 1


async def test_a_malformed_answer_is_bogus(context: MakeContext) -> None:
    seen, _ = await forged(context, b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00")
    assert seen.failure is Failure.DNS_BOGUS


async def test_a_private_resolver_needs_a_rule(context: MakeContext, resolver: Resolver) -> None:
    seen = await run("dns", {"name": "api.test", "server": str(resolver)}, context(policy=""), 10)
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)
    assert "loopback" in seen.detail["reason"]


async def test_an_unknown_group_or_type_is_refused_by_name(context: MakeContext) -> None:
    seen = await run("dns", {"name": "api.test", "server": "@vpc"}, context(), 10)
    assert (seen.failure, seen.fault_of) == (Failure.UNSUPPORTED, FaultOf.AGENT)
    assert "@vpc" in seen.detail["reason"]
    seen = await run("dns", {"name": "api.test", "server": HOST, "type": "AXFR"}, context(), 10)
    assert "AXFR" in seen.detail["reason"]


async def test_tries_beyond_the_agents_dns_budget_are_its_own_trouble(context: MakeContext, resolver: Resolver) -> None:
    ctx = context("budget: {dns_per_second: 5}\n")
    seen = await run("dns", {"name": "api.test", "server": str(resolver), "tries": 40, "spacing_ms": 0}, ctx, 10)
    assert (seen.ok, seen.success_rate) == (True, 1.0)
    assert seen.detail["agent_errors"] == 40 - seen.detail["tries"] > 0


def dot_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for the resolver's address: (the file that agents trust, the server's context)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "resolver")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "dot-ca.pem").write_bytes(pem)
    (folder / "dot.pem").write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "dot.pem")
    return folder / "dot-ca.pem", context


async def test_dns_over_tls_checks_the_resolvers_certificate(context: MakeContext, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        reply = dns.message.make_response(dns.message.from_wire(wire))
        reply.answer = [dns.rrset.from_text("api.test.", 60, "IN", "A", "127.31.0.10")]
        out = reply.to_wire()
        writer.write(len(out).to_bytes(2, "big") + out)
        await writer.drain()
        writer.close()

    trusted, server_side = dot_certificate(tmp_path)
    async with await asyncio.start_server(serve, HOST, 0, ssl=server_side) as server:
        asked = {
            "name": "api.test",
            "server": f"{HOST}:{server.sockets[0].getsockname()[1]}",
            "proto": "dot",
            "tries": 2,
            "spacing_ms": 1,
        }
        seen = await run("dns", asked, replace(context(), ca_file=trusted), 10)
        stranger = await run("dns", asked, context(), 10)
    assert (seen.ok, seen.detail["answers"], seen.detail["proto"]) == (True, ["127.31.0.10"], "dot")
    assert stranger.failure is Failure.TLS_UNTRUSTED
