"""The names of the loopback lab, asked with dnspython over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dns.asyncquery
import dns.flags
import dns.message
import pytest
from loopback_clients import (
    CLUSTER_DNS,
    GUANGZHOU,
    OFFICE,
    POD,
    PUBLIC_DNS,
    TOOLS_DNS,
    VM,
    VM2,
    VPC_DNS,
    dig,
    running,
    success_rate,
)

from bot.lab.loopback import querylog
from bot.lab.loopback.dnswire import parse
from bot.lab.loopback.policer import Policer
from bot.lab.loopback.querylog import QueryLog
from bot.lab.loopback.world import AUTHORITY, INTERNAL, SITES, SMS, WRONG_ADDRESS

pytestmark = pytest.mark.alone


async def test_every_resolver_tells_the_truth_in_a_healthy_world_over_udp_and_tcp(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        for place in lab.world.resolvers:
            for host, address in SITES.items():
                assert await dig(lab, place.address, host, source=VM) == address
                assert await dig(lab, place.address, host, source=VM, tcp=True) == address
        assert await dig(lab, AUTHORITY, SMS, source=VM) == SITES[SMS]


async def test_names_that_do_not_exist_or_have_no_such_record_are_told_apart(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        assert await dig(lab, VPC_DNS, "nonce-1.sms.tencentcloudapi.com", source=VM) == "NXDOMAIN"
        assert await dig(lab, VPC_DNS, "tencentcloudapi.com", source=VM) == "NODATA"
        assert await dig(lab, VPC_DNS, SMS, source=VM, kind="AAAA") == "NODATA"
        assert await dig(lab, VPC_DNS, "p1.shop2.crawl", source=VM) != "NXDOMAIN"


async def test_only_the_cluster_dns_knows_the_cluster_names(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        assert await dig(lab, CLUSTER_DNS, INTERNAL, source=POD) == "127.10.96.1"
        assert await dig(lab, CLUSTER_DNS, "nothing.default.svc.cluster.local", source=POD) == "NXDOMAIN"
        assert await dig(lab, VPC_DNS, INTERNAL, source=VM) == "NXDOMAIN"


async def test_a_cached_answer_carries_the_time_it_has_left(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        query = dns.message.make_query("WWW.qq.com", "A", use_edns=0)
        ttls = []
        for _ in range(2):
            reply = await dns.asyncquery.udp(query, VPC_DNS, timeout=1, port=lab.world.ports.dns)
            assert reply.question == query.question, "the question comes back as it was spelled"
            assert reply.edns == 0
            assert reply.flags & dns.flags.RA
            ttls.append(reply.answer[0].ttl)
            await asyncio.sleep(1.2)
        assert ttls[1] < ttls[0] <= 5


async def test_rate_limited_vpc_loses_most_udp_answers_while_tcp_and_other_vpcs_stay_clean(tmp_path: Path) -> None:
    async with running(tmp_path, "vpc_dns_rate_limited") as lab:
        await asyncio.sleep(2.5)
        vpc, over_tcp, tools, public = await asyncio.gather(
            success_rate(lab, VPC_DNS, source=VM, tries=100),
            success_rate(lab, VPC_DNS, source=VM, tries=20, tcp=True),
            success_rate(lab, TOOLS_DNS, source=VM2, tries=20),
            success_rate(lab, PUBLIC_DNS, source=VM, tries=20),
        )
        state = await lab.state()
        assert state["dns"]["vpc_limit_qps"] == 150
        assert state["dns"]["offered_qps"] > 1000
        assert state["dns"]["answered_qps"] < 250
        assert 0 < vpc < 0.3, "about limit / offered"
        assert over_tcp == tools == public == 1
        assert await dig(lab, CLUSTER_DNS, INTERNAL, source=POD) == "127.10.96.1"
        await lab.lift()
        assert await success_rate(lab, VPC_DNS, source=VM, tries=20) == 1


async def test_the_pod_sees_servfail_after_two_seconds_where_the_vm_sees_silence(tmp_path: Path) -> None:
    async with running(tmp_path, "resolver_down") as lab:
        assert await dig(lab, VPC_DNS, SMS, source=VM) == "timeout"
        assert await dig(lab, VPC_DNS, SMS, source=VM, tcp=True) == "timeout"
        began = asyncio.get_running_loop().time()
        assert await dig(lab, CLUSTER_DNS, SMS, source=POD, timeout=4) == "SERVFAIL"
        assert 1.8 < asyncio.get_running_loop().time() - began < 3
        assert await dig(lab, PUBLIC_DNS, SMS, source=VM) == SITES[SMS]


async def test_the_query_log_names_the_crawler_in_coredns_format(tmp_path: Path) -> None:
    async with running(tmp_path, "vpc_dns_rate_limited") as lab:
        await dig(lab, VPC_DNS, SMS, source=VM, tcp=True)
        await asyncio.sleep(1.5)
        lines = lab.world.query_log("vpc-prod").read_text().splitlines()
        clients = [line.split()[1].partition(":")[0] for line in lines]
        assert clients.count("127.10.7.21") > 0.9 * len(clients)
        mine = next(line for line in lines if f" {VM}:" in line)
        assert f'"A IN {SMS}. tcp ' in mine
        assert '" NOERROR qr,rd,ra ' in mine
        unanswered = next(line for line in lines if " NOERROR - 0 " in line)
        assert ".crawl. udp " in unanswered


async def test_a_wrong_answer_is_seen_in_one_vpc_only(tmp_path: Path) -> None:
    async with running(tmp_path, "dns_wrong_answer") as lab:
        assert await dig(lab, VPC_DNS, SMS, source=VM) == WRONG_ADDRESS
        assert await dig(lab, CLUSTER_DNS, SMS, source=POD) == WRONG_ADDRESS
        assert await dig(lab, VPC_DNS, "www.qq.com", source=VM) == SITES["www.qq.com"]
        assert await dig(lab, "127.20.0.2", SMS, source=GUANGZHOU) == SITES[SMS]
        assert await dig(lab, "127.30.0.2", SMS, source=OFFICE) == SITES[SMS]


async def test_an_overloaded_cluster_dns_loses_internal_names_too_while_the_vm_is_fine(tmp_path: Path) -> None:
    async with running(tmp_path, "coredns_overload") as lab:
        asked = await asyncio.gather(*(dig(lab, CLUSTER_DNS, INTERNAL, source=POD, timeout=0.5) for _ in range(40)))
        assert 2 <= asked.count("timeout") < 40
        assert asked.count("127.10.96.1") >= 1
        assert await success_rate(lab, VPC_DNS, source=VM, tries=20) == 1


@pytest.mark.parametrize("offered_qps", [75, 1500, 6000])
def test_the_policer_lets_the_limit_through_whatever_is_offered(offered_qps: int) -> None:
    policer = Policer(150, now=0.0)
    admitted = [policer.admit(n / offered_qps) for n in range(offered_qps * 10)]
    per_second = sum(admitted[offered_qps * 2 :]) / 8
    assert per_second == pytest.approx(min(offered_qps, 150), rel=0.15)


def test_the_query_log_starts_over_before_it_grows_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querylog, "MAX_BYTES", 1000)
    log = QueryLog(tmp_path / "q.log")
    query = parse(dns.message.make_query("a.example", "A").to_wire())
    assert query
    for _ in range(50):
        log.add(("127.0.0.1", 1), query, "udp")
        log.flush()
    log.close()
    text = (tmp_path / "q.log").read_text()
    assert 0 < len(text) <= 1000
    assert text.startswith("[INFO] 127.0.0.1:1 - ")
    assert "\0" not in text


@pytest.mark.parametrize("data", [b"", b"\0" * 12, b"\xff" * 40, b"\0\0\1\0\0\1" + b"\0" * 6 + b"\x3f" + b"a" * 5])
def test_what_is_not_a_query_is_ignored(data: bytes) -> None:
    assert parse(data) is None
