from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from bot.probes.net.capture import parse
from bot.probes.resolving import dns_message
from bot.probes.resolving.query_log import Line, Tail, coredns, dnsmasq, unbound
from bot.probes.table import run
from bot.wire.details import believable
from tests.needs import missing
from tests.ports import free_port
from tests.probes.conftest import MakeContext, Resolver
from tests.probes.servers import HOST, http, site
from tests.probes.test_coredns import AFTER, BEFORE


def query(name: str, ident: int = 7) -> bytes:
    return dns_message.query(ident, dns_message.question(name, "A"))


async def crawl(client: str, resolver: Resolver, names: list[str]) -> None:
    """Ask each name once, from one address, over about half a second."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((client, 0))
        sock.connect((resolver.host, resolver.port))
        sock.setblocking(False)
        for ident, name in enumerate(names):
            await loop.sock_sendall(sock, query(name, ident))
            await loop.sock_recv(sock, 4096)
            await asyncio.sleep(0.4 / len(names))


@pytest.mark.root
async def test_a_capture_names_the_busiest_client_once_per_query(context: MakeContext, resolver: Resolver) -> None:
    if os.geteuid() != 0:
        missing("packet capture needs root")
    watching = asyncio.create_task(
        run(
            "dns_top",
            {"seconds": 3, "source": "capture", "port": resolver.port},
            context(f'capture: true\nresolvers: {{host: ["{resolver}"]}}\n'),
            10,
        )
    )
    await asyncio.sleep(0.5)
    await asyncio.gather(
        crawl("127.31.7.7", resolver, [f"r{i}.test" for i in range(240)]),
        crawl("127.31.7.8", resolver, ["api.test"] * 60),
    )
    seen = await watching
    assert (seen.ok, seen.detail["source"], seen.detail["seconds"], seen.detail["qps"]) == (True, "capture", 3, 100.0)
    assert seen.detail["clients"] == [
        {"address": "127.31.7.7", "qps": 80.0, "share": 0.8, "distinct": 240, "nxdomain_share": 1.0},
        {"address": "127.31.7.8", "qps": 20.0, "share": 0.2, "distinct": 1, "nxdomain_share": 0.0},
    ]


async def test_capture_needs_the_policys_leave(context: MakeContext) -> None:
    seen = await run("dns_top", {"seconds": 1, "source": "capture"}, context(), 10)
    assert (seen.failure, seen.fault_of) == (Failure.NOT_PERMITTED, FaultOf.AGENT)
    assert "capture: true" in seen.detail["reason"]


async def test_without_capture_and_log_both_are_named_as_lacking(context: MakeContext) -> None:
    seen = await run("dns_top", {"seconds": 1}, context(), 10)
    assert seen.failure is Failure.NOT_PERMITTED
    assert len(seen.detail["lacking"]) == 2


async def test_coredns_counters_tell_the_rate_of_each_zone_and_admit_that_they_name_no_client(
    context: MakeContext,
) -> None:
    turns = [BEFORE, AFTER]
    async with site(lambda _: http("200 OK", turns.pop(0).encode())) as pod:
        pods = [f"{HOST}:{pod.port}", f"127.31.0.11:{pod.port}"]
        seen = await run("dns_top", {"seconds": 1, "metrics": pods}, context(), 10)
    assert (seen.ok, seen.detail["source"], seen.detail["clients"]) == (True, "coredns_metrics", [])
    assert seen.detail["qps"] == pytest.approx(2100, rel=0.2)
    assert [row["zone"] for row in seen.detail["zones"]] == [".", "cluster.local."]
    assert seen.detail["lacking"][0].startswith("query_log: ")
    assert "counts no clients" in seen.detail["lacking"][-1]
    assert believable(seen.detail) == seen.detail


async def test_counters_that_nobody_gives_are_no_answer(context: MakeContext) -> None:
    port = free_port(HOST)
    asked = {"seconds": 1, "source": "coredns_metrics", "metrics": f"{HOST}:{port}"}
    seen = await run("dns_top", asked, context(), 10)
    assert (seen.ok, seen.failure) == (False, Failure.TCP_REFUSED)
    seen = await run("dns_top", asked, context(policy="allow: []\n"), 10)
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)
    seen = await run("dns_top", {"source": "coredns_metrics"}, context(), 10)
    assert seen.failure is Failure.UNSUPPORTED


async def test_a_policy_without_the_kind_forbids_it(context: MakeContext) -> None:
    seen = await run("dns_top", {"seconds": 1}, context("capture: true\nkinds: [dns]\n"), 10)
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)


async def watch_log(context: MakeContext, form: str, log: Path, lines: list[str], turn: str = "") -> Outcome:
    log.write_text("an old line nobody counts\n" + lines[0] + "\n")
    ctx = context(f"query_log: {{path: {log.name}, format: {form}}}\n")
    watching = asyncio.create_task(run("dns_top", {"seconds": 2}, ctx, 10))
    await asyncio.sleep(0.3)
    with log.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))
    await asyncio.sleep(0.2)
    if turn == "truncated":
        log.write_text("")
    elif turn == "rotated":
        log.rename(log.with_suffix(".1"))
    if turn:
        await asyncio.sleep(0.2)
        with log.open("a") as file:
            file.write(lines[0] + "\n")
    return await watching


COREDNS = [
    '[INFO] 10.0.0.9:44444 - 4711 "A IN x1.example.com. udp 29 false 512" NXDOMAIN qr,rd,ra 63 0.001s',
    '[INFO] 10.0.0.9:44445 - 4712 "A IN x2.example.com. udp 29 false 512" NXDOMAIN qr,rd,ra 63 0.001s',
    '[INFO] 10.0.0.9:44446 - 4713 "A IN Example.com. udp 29 false 512" NOERROR qr,rd,ra 63 0.001s',
    '[INFO] [2001:db8::1]:50759 - 29008 "A IN example.org. udp 41 false 4096" NOERROR qr,rd,ra,ad 68 0.037990251s',
]


@pytest.mark.parametrize("turn", ["", "truncated", "rotated"])
async def test_a_growing_query_log_is_counted_through_truncation_and_rotation(
    context: MakeContext, tmp_path: Path, turn: str
) -> None:
    seen = await watch_log(context, "coredns", tmp_path / "q.log", COREDNS, turn)
    more = 1 if turn else 0
    assert (seen.detail["source"], seen.detail["qps"]) == ("query_log", (4 + more) / 2)
    first = seen.detail["clients"][0]
    assert (first["address"], first["qps"], first["distinct"]) == ("10.0.0.9", (3 + more) / 2, 3)
    assert first["nxdomain_share"] == round((2 + more) / (3 + more), 4)
    assert seen.detail["clients"][1]["address"] == "2001:db8::1"


def test_unbound_lines_are_queries_or_replies() -> None:
    assert unbound(b"[1763938800] unbound[71:0] info: 127.0.0.1 Example.com. A IN") == Line(
        "127.0.0.1", "example.com", query=True
    )
    assert unbound(b"[1763938800] unbound[71:0] reply: ::1 example.com. A IN NXDOMAIN 0.000000 0 45") == Line(
        "::1", "example.com", query=False, nxdomain=True
    )
    assert unbound(b"[1763938800] unbound[71:0] info: start of service (unbound 1.17.1).") is None


def test_dnsmasq_lines_are_queries_or_with_extra_replies() -> None:
    assert dnsmasq(b"Nov 23 23:00:00 dnsmasq[71]: query[A] example.com from 10.0.0.9") == Line(
        "10.0.0.9", "example.com", query=True
    )
    assert dnsmasq(b"Nov 23 23:00:00 dnsmasq[71]: 1 10.0.0.9/55555 query[A] example.com from 10.0.0.9") == Line(
        "10.0.0.9", "example.com", query=True
    )
    assert dnsmasq(b"Nov 23 23:00:00 dnsmasq[71]: 1 10.0.0.9/55555 reply example.com is NXDOMAIN") == Line(
        "10.0.0.9", "example.com", query=False, nxdomain=True
    )
    assert dnsmasq(b"Nov 23 23:00:00 dnsmasq[71]: forwarded example.com to 10.0.0.2") is None


def test_other_lines_of_coredns_are_passed_over() -> None:
    assert coredns(b"[ERROR] plugin/errors: 2 example.com. A: read udp 10.0.0.9:4444->10.0.0.2:53: i/o timeout") is None


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    log = tmp_path / "q.log"
    log.write_text("old\n")
    tail = Tail(log)
    with log.open("a") as file:
        file.write("one\ntw")
        file.flush()
        assert tail.lines() == [b"one"]
        file.write("o\n")
        file.flush()
        assert tail.lines() == [b"two"]
    tail.close()


def test_a_captured_reply_belongs_to_the_client_it_goes_to() -> None:
    ip = bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]) + bytes([10, 0, 0, 2]) + bytes([10, 0, 0, 9])
    udp = (53).to_bytes(2, "big") + (4444).to_bytes(2, "big") + bytes(4)
    wire = bytearray(query("x.example.com"))
    wire[2:4] = b"\x81\x83"
    found = parse(ip + udp + wire, 53)
    assert found is not None
    assert found[1] == Line("10.0.0.9", "x.example.com", query=False, nxdomain=True)
    assert parse(ip + udp + wire, 5353) is None
    assert parse(ip + udp + wire[:15], 53) is None
