from __future__ import annotations

import os
import socket

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.probes.table import run
from tests.needs import missing
from tests.netns import NOBODY, Chain
from tests.ports import free_port
from tests.probes.conftest import MakeContext, Resolver
from tests.probes.servers import HOST


def need_icmp() -> None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except PermissionError:
            continue
        return
    missing("neither a datagram nor a raw ICMP socket may be opened")


@pytest.mark.parametrize("address", [HOST, "::1"])
async def test_icmp_echoes_are_counted_and_timed(context: MakeContext, address: str) -> None:
    need_icmp()
    seen = await run("ping", {"address": address, "tries": 4, "spacing_ms": 5}, context(), 10)
    assert (seen.ok, seen.detail["loss"], seen.detail["tries"]) == (True, 0.0, 4)
    assert seen.detail["method"] in ("icmp", "icmp_raw")
    assert 0 <= seen.detail["min_ms"] <= seen.detail["avg_ms"] <= seen.detail["max_ms"] < 100
    assert "mdev_ms" in seen.detail
    assert seen.timings_ms["rtt"] < 100


async def test_tcp_stands_in_and_a_refusal_is_an_answer(context: MakeContext) -> None:
    asked = {"address": HOST, "port": free_port(HOST), "method": "tcp", "tries": 2, "spacing_ms": 1}
    seen = await run("ping", asked, context(), 10)
    assert (seen.ok, seen.detail["method"], seen.detail["each"][0]["refused"]) == (True, "tcp", True)


async def test_silence_is_loss(context: MakeContext) -> None:
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        asked = {"address": HOST, "port": full.getsockname()[1], "method": "tcp", "tries": 2, "timeout_ms": 200}
        seen = await run("ping", asked, context(), 10)
        for one in crowd:
            one.close()
    assert (seen.failure, seen.detail["loss"], seen.timings_ms) == (Failure.TCP_TIMEOUT, 1.0, {})


async def test_icmp_alone_needs_its_kind_or_any_port_in_the_rule(context: MakeContext) -> None:
    if os.geteuid() != 0:
        missing("not root")
    asked = {"address": HOST, "tries": 1}
    named = context(policy="allow: [{network: 127.0.0.0/8, ports: [443], kinds: [ping]}]\n")
    assert (await run("ping", asked, named, 10)).ok
    unnamed = context(policy="allow: [{network: 127.0.0.0/8, ports: [443], kinds: any}]\n")
    assert (await run("ping", asked, unnamed, 10)).failure is Failure.POLICY_DENIED


async def test_a_host_is_looked_up_once_and_timed(context: MakeContext, resolver: Resolver) -> None:
    need_icmp()
    asked = {"host": "api.test", "tries": 2, "spacing_ms": 5}
    seen = await run("ping", asked, context(f"resolvers: {{host: ['{resolver}']}}\n"), 10)
    assert (seen.ok, seen.detail["host"], seen.detail["address"]) == (True, "api.test", HOST)
    assert seen.timings_ms.keys() == {"dns", "rtt"}


async def test_a_name_that_is_not_there_is_a_failure_of_dns(context: MakeContext, resolver: Resolver) -> None:
    asked = {"host": "nothing.test", "tries": 2}
    seen = await run("ping", asked, context(f"resolvers: {{host: ['{resolver}']}}\n"), 10)
    assert (seen.failure, seen.detail["host"], seen.timings_ms.keys()) == (
        Failure.DNS_NXDOMAIN,
        "nothing.test",
        {"dns"},
    )


async def test_a_name_that_leads_to_a_metadata_address_is_refused(context: MakeContext, resolver: Resolver) -> None:
    seen = await run("ping", {"host": "metadata.test"}, context(f"resolvers: {{host: ['{resolver}']}}\n"), 10)
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)


async def test_a_size_is_for_echoes(context: MakeContext) -> None:
    for params in ({"size": 8973}, {"size": 100, "method": "tcp"}, {"df": True, "method": "tcp"}, {"df": 1}):
        seen = await run("ping", {"address": HOST, **params}, context(), 10)
        assert seen.failure is Failure.UNSUPPORTED


@pytest.mark.root
@pytest.mark.parametrize("size", [0, 1, 7, 1472, 8972])
@pytest.mark.parametrize("uid", [0, NOBODY], ids=["root", "nobody"])
def test_any_size_comes_back_in_fragments_if_need_be(path: Chain, size: int, uid: int) -> None:
    if uid == 0:
        path.client.sysctl(net__ipv4__ping_group_range="1 0")
    for v6 in (False, True):
        seen = path.probe(
            "ping", {"address": path.address(2, v6=v6), "size": size, "tries": 2, "spacing_ms": 1}, uid=uid
        )
        assert (seen.ok, seen.detail["size"], seen.detail["df"]) == (True, size, False)
        assert seen.detail["method"] == ("icmp" if uid else "icmp_raw")


@pytest.mark.root
@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_what_may_not_be_fragmented_is_refused_by_the_router_that_cannot_pass_it(path: Chain, v6: bool) -> None:
    path.mtu(1, 1400)
    fits = 1400 - (48 if v6 else 28)
    asked = {"address": path.address(2, v6=v6), "df": True, "tries": 2, "spacing_ms": 1}
    assert path.probe("ping", {**asked, "size": fits}, uid=NOBODY).ok
    seen = path.probe("ping", {**asked, "size": fits + 1}, uid=NOBODY)
    assert (seen.failure, seen.fault_of) == (Failure.PING_TIMEOUT, FaultOf.TARGET)
    reason = f"too_big from {path.address(0, v6=v6)}: the next hop takes 1400 bytes"
    assert seen.detail["each"][0]["reason"] == reason


@pytest.mark.root
def test_what_our_own_interface_cannot_send_is_our_own_trouble(path: Chain) -> None:
    asked = {"address": path.address(2), "df": True, "size": 1473, "tries": 2, "spacing_ms": 1}
    seen = path.probe("ping", asked, uid=NOBODY)
    assert (seen.failure, seen.fault_of) == (Failure.UNSUPPORTED, FaultOf.AGENT)
    assert seen.detail["each"][0]["reason"] == "too_big from this machine: the next hop takes 1500 bytes"


@pytest.mark.root
def test_random_loss_is_counted(path: Chain) -> None:
    path.r1.filter("icmp type echo-request numgen inc mod 4 == 0 drop")
    asked = {"address": path.address(2), "tries": 20, "spacing_ms": 2, "timeout_ms": 300}
    seen = path.probe("ping", asked, uid=NOBODY)
    assert (seen.failure, seen.detail["loss"], seen.success_rate) == (Failure.PING_TIMEOUT, 0.25, 0.75)


@pytest.mark.root
def test_without_leave_for_echoes_what_is_lacking_is_said(path: Chain) -> None:
    path.client.sysctl(net__ipv4__ping_group_range="1 0")
    lacking = ["net.ipv4.ping_group_range does not include this group", "CAP_NET_RAW missing"]
    seen = path.probe("ping", {"address": path.address(2), "tries": 1}, uid=NOBODY)
    assert (seen.ok, seen.detail["method"], seen.detail["lacking"]) == (True, "tcp", lacking)
    seen = path.probe("ping", {"address": path.address(2), "tries": 1, "df": True}, uid=NOBODY)
    assert (seen.failure, seen.fault_of, seen.detail["lacking"]) == (Failure.NOT_PERMITTED, FaultOf.AGENT, lacking)


@pytest.mark.root
def test_a_router_that_refuses_is_named(path: Chain) -> None:
    path.r2.filter("ip daddr 10.77.2.2 reject with icmp host-unreachable")
    seen = path.probe("ping", {"address": path.address(2), "tries": 1}, uid=NOBODY)
    assert (seen.failure, seen.fault_of) == (Failure.HOST_UNREACHABLE, FaultOf.TARGET)
    assert seen.detail["each"][0]["reason"] == f"host_unreachable from {path.address(1)}"
