"""What stands on the stage, seen from a vantage point's namespace; and faults that come and go."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import dns.message
import dns.query
import dns.rcode
import pytest
from lab_runs import need_namespaces

from bot.lab.netns.enter import inside
from bot.lab.netns.load import parse
from bot.lab.netns.stage import Stage

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

WORLD = """
scenario: stage
about: one machine, seen from inside
regions:
  here:
    vpcs:
      main:
        vantages: [{kind: vm}, {kind: pod}]
        cluster: {name: kube, replicas: 2, nodes: 3}
      side: {vantages: [{kind: vm2}]}
services:
  site: {host: site.example.com, address: {here: 203.0.113.21, elsewhere: 203.0.113.22}}
  books: {host: books.internal.example, kind: redis, vpc: main, private_name: true}
expect: {verdict: [healthy]}
"""
VM, POD = "here-vm", "here-pod"
RESOLVER, CLUSTER, REPLICA, PUBLIC = "10.20.0.2", "10.20.0.10", "10.20.1.3", "198.51.100.53"


def stage(faults: str = "[]") -> Stage:
    need_namespaces()
    return Stage(parse(f"{WORLD}faults: {faults}\n"))


def at(world: Stage, vantage: str, work: Callable[[], str]) -> str:
    """What `work` gives in the namespace of a vantage point; the name of the error it raises."""
    try:
        return inside(world.kernel.path(world.layout.vantage(vantage).ns), work)
    except (OSError, dns.exception.DNSException) as exc:
        return type(exc).__name__


def resolve(name: str, server: str, *, tcp: bool = False) -> Callable[[], str]:
    def ask() -> str:
        query = dns.message.make_query(name, "A")
        answer = (dns.query.tcp if tcp else dns.query.udp)(query, server, timeout=1)
        return str(answer.answer[0][0]) if answer.answer else dns.rcode.to_text(answer.rcode())

    return ask


def connect(address: str, port: int = 443) -> Callable[[], str]:
    def try_it() -> str:
        socket.create_connection((address, port), timeout=0.4).close()
        return "connected"

    return try_it


def shake_hands(address: str, world: Stage, name: str = "site.example.com") -> Callable[[], str]:
    def try_it() -> str:
        context = ssl.create_default_context(cafile=world.folder / "ca.pem")
        raw = socket.create_connection((address, 443), timeout=1)
        with context.wrap_socket(raw, server_hostname=name) as tls:
            return tls.version() or ""

    return try_it


async def test_every_resolver_says_what_it_should_and_a_region_has_its_own_address() -> None:
    async with stage() as world:
        assert at(world, VM, resolve("site.example.com", RESOLVER)) == "203.0.113.21"
        assert at(world, POD, resolve("site.example.com", CLUSTER)) == "203.0.113.21"
        assert at(world, VM, resolve("books.internal.example", RESOLVER)) == "10.20.3.1"
        assert at(world, VM, resolve("books.internal.example", PUBLIC)) == "NXDOMAIN"
        assert at(world, POD, resolve("kubernetes.default.svc.cluster.local", REPLICA)) == "10.20.0.9"
        assert at(world, VM, shake_hands("203.0.113.21", world)) == "TLSv1.3"
        assert at(world, VM, connect("10.20.3.1", 6379)) == "connected"
        assert at(world, "here-vm2", connect("10.20.3.1", 6379)) == "connected"


async def test_a_fault_begins_and_ends_when_it_says() -> None:
    faults = (
        "[{kind: block, vpc: main, services: [site], end: 0.3},"
        " {kind: dns_wrong, vpc: main, services: [site], address: 198.51.100.9, start: 0.3, end: 0.8},"
        " {kind: cert_expired, services: [site], start: 0.3, end: 0.8}]"
    )
    async with stage(faults) as world:
        assert at(world, VM, connect("203.0.113.21")) == "TimeoutError"
        assert at(world, "here-vm2", connect("203.0.113.21")) == "connected"
        await world.act()
        await asyncio.sleep(0.55)
        assert at(world, VM, connect("203.0.113.21")) == "connected"
        assert at(world, VM, resolve("site.example.com", RESOLVER)) == "198.51.100.9"
        assert at(world, VM, shake_hands("203.0.113.21", world)) == "SSLCertVerificationError"
        await asyncio.sleep(0.6)
        assert at(world, VM, resolve("site.example.com", RESOLVER)) == "203.0.113.21"
        assert at(world, VM, shake_hands("203.0.113.21", world)) == "TLSv1.3"


async def test_a_black_hole_swallows_a_handshake_that_starts_well() -> None:
    async with stage("[{kind: mtu_black_hole, region: here, mtu: 1200}]") as world:
        assert at(world, VM, connect("203.0.113.21")) == "connected"
        assert at(world, VM, shake_hands("203.0.113.21", world)) == "TimeoutError"


async def test_a_race_in_the_nat_table_spares_the_replicas_and_a_refusing_resolver_refuses() -> None:
    faults = "[{kind: conntrack_race, vpc: main, loss: 100}, {kind: dns_down, vpc: side, how: reject}]"
    async with stage(faults) as world:
        name = "kubernetes.default.svc.cluster.local"
        assert at(world, POD, resolve(name, CLUSTER)) == "Timeout"
        assert at(world, POD, resolve(name, REPLICA)) == "10.20.0.9"
        assert at(world, POD, resolve(name, CLUSTER, tcp=True)) == "10.20.0.9"
        assert at(world, "here-vm2", resolve("site.example.com", "10.21.0.2", tcp=True)) == "ConnectionRefusedError"


async def test_servfail_is_for_external_names_only() -> None:
    async with stage("[{kind: dns_servfail, vpc: main}]") as world:
        assert at(world, VM, resolve("site.example.com", RESOLVER)) == "SERVFAIL"
        assert at(world, VM, resolve("books.internal.example", RESOLVER)) == "10.20.3.1"


async def test_what_agents_ask_a_resolver_is_counted() -> None:
    async with stage() as world:
        before = world.queries()
        for _ in range(5):
            at(world, VM, resolve("site.example.com", RESOLVER))
        at(world, VM, resolve("site.example.com", PUBLIC))
        assert {name: n - before[name] for name, n in world.queries().items()} == {"main": 5, "side": 0}
