from __future__ import annotations

import time

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from tests.netns import NOBODY, Chain

pytestmark = pytest.mark.root

USERS = pytest.mark.parametrize("uid", [0, NOBODY], ids=["root", "nobody"])
FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
PROTOS = pytest.mark.parametrize("proto", ["icmp", "udp", "tcp"])


def trace(path: Chain, *, v6: bool = False, uid: int = NOBODY, **params: object) -> Outcome:
    return path.probe("trace", {"address": path.address(2, v6=v6), **params}, uid=uid)


def hops(seen: Outcome) -> list[str | None]:
    return [row["address"] for row in seen.detail["hops"]]


@PROTOS
@USERS
@FAMILIES
def test_every_router_on_the_way_is_named_without_a_privilege(path: Chain, proto: str, uid: int, v6: bool) -> None:
    seen = trace(path, proto=proto, uid=uid, v6=v6)
    assert (seen.ok, seen.detail["reached"], seen.detail["proto"]) == (True, True, proto)
    assert hops(seen) == [path.address(link, v6=v6) for link in (0, 1, 2)]
    assert seen.detail["method"] == proto, "the socket that needs no privilege comes first"
    for row in seen.detail["hops"]:
        assert (row["sent"], row["received"], row["loss"]) == (3, 3, 0.0)
        assert 0 < row["min_ms"] <= row["avg_ms"] <= row["max_ms"] < 100
        assert row["jitter_ms"] >= 0
    assert 0 < seen.timings_ms["rtt"] < 100


@FAMILIES
def test_a_raw_socket_is_the_fallback_of_icmp(path: Chain, v6: bool) -> None:
    path.client.sysctl(net__ipv4__ping_group_range="1 0")
    seen = trace(path, proto="icmp", uid=0, v6=v6)
    assert (seen.detail["method"], hops(seen)) == ("icmp_raw", [path.address(link, v6=v6) for link in (0, 1, 2)])


def test_without_leave_for_echoes_auto_goes_by_tcp_and_says_what_it_lacks(path: Chain) -> None:
    path.client.sysctl(net__ipv4__ping_group_range="1 0")
    seen = trace(path)
    assert (seen.ok, seen.detail["method"], seen.detail["port"]) == (True, "tcp", 443)
    assert seen.detail["lacking"] == ["net.ipv4.ping_group_range does not include this group", "CAP_NET_RAW missing"]
    assert trace(path, proto="icmp").failure is Failure.NOT_PERMITTED


@PROTOS
def test_a_silent_hop_in_the_middle_is_normal(path: Chain, proto: str) -> None:
    path.r2.filter("icmp type time-exceeded drop", hook="output")
    seen = trace(path, proto=proto, timeout_ms=300)
    assert (seen.ok, hops(seen)) == (True, [path.address(0), None, path.address(2)])
    silent = seen.detail["hops"][1]
    assert (silent["sent"], silent["received"], silent["loss"], silent["avg_ms"]) == (3, 0, 1.0, None)


@PROTOS
def test_an_unreached_target_shows_how_far_packets_come(path: Chain, proto: str) -> None:
    path.r2.filter("ip daddr 10.77.2.2 drop")
    began = time.monotonic()
    seen = trace(path, proto=proto, timeout_ms=1000)
    assert (seen.failure, seen.fault_of) == (Failure.TRACE_UNREACHED, FaultOf.TARGET)
    assert (seen.detail["reached"], hops(seen)) == (False, [path.address(0), path.address(1), None])
    assert time.monotonic() - began < 12, "20 silent hops are waited for together"


def test_a_router_that_refuses_is_named_with_what_it_said(path: Chain) -> None:
    path.r2.filter("ip daddr 10.77.2.2 reject with icmp admin-prohibited")
    seen = trace(path, proto="tcp")
    assert seen.failure is Failure.TRACE_UNREACHED
    assert hops(seen) == [path.address(0), path.address(1), path.address(1)]
    assert seen.detail["hops"][-1]["said"] == "prohibited"


def test_loss_on_one_hop_shows_on_that_hop(path: Chain) -> None:
    path.r1.filter("icmp type time-exceeded numgen inc mod 2 == 0 drop", hook="output")
    seen = trace(path, queries=10, timeout_ms=300)
    assert [row["loss"] for row in seen.detail["hops"]] == [0.5, 0.0, 0.0]
    assert (seen.detail["hops"][0]["sent"], seen.detail["hops"][0]["received"]) == (10, 5)


def test_a_target_nearer_than_max_hops_is_not_flooded(path: Chain) -> None:
    path.server.filter("ip protocol udp counter accept", hook="input")
    trace(path, proto="udp", queries=3)
    rules = path.server.run("nft", "list", "ruleset")
    assert int(rules.split("packets ")[1].split()[0]) <= 12


def test_max_hops_ends_the_trace_early(path: Chain) -> None:
    seen = trace(path, max_hops=2, timeout_ms=200)
    assert (seen.failure, hops(seen)) == (Failure.TRACE_UNREACHED, [path.address(0), path.address(1)])


def test_no_route_is_the_agents_own_trouble(path: Chain) -> None:
    seen = path.probe("trace", {"address": "192.0.2.1"}, uid=NOBODY)
    assert (seen.failure, seen.fault_of) == (Failure.NETWORK_UNREACHABLE, FaultOf.AGENT)


def test_the_port_needs_the_policys_leave(path: Chain) -> None:
    policy = "allow: [{network: 10.77.0.0/16, ports: [443], kinds: [trace]}]\n"
    asked = {"address": path.address(2), "proto": "udp"}
    seen = path.probe("trace", asked, uid=NOBODY, policy=policy)
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)
    assert path.probe("trace", asked | {"port": 443}, uid=NOBODY, policy=policy).ok
