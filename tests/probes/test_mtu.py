from __future__ import annotations

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from tests.netns import NOBODY, Chain

pytestmark = pytest.mark.root

LISTEN = """
import socket
listener = socket.create_server(("::", 443), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", flush=True)
kept = []
while True:
    kept.append(listener.accept())
"""
MUTE = "icmp type destination-unreachable drop; icmpv6 type packet-too-big drop"
FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])


def mtu(path: Chain, *, v6: bool = False, uid: int = NOBODY, **params: object) -> Outcome:
    return path.probe("mtu", {"address": path.address(2, v6=v6), **params}, uid=uid)


@FAMILIES
def test_a_path_that_carries_what_we_can_send_is_fine(path: Chain, v6: bool) -> None:
    seen = mtu(path, v6=v6)
    assert (seen.ok, seen.detail["method"], seen.detail["black_hole"]) == (True, "icmp", False)
    assert (seen.detail["path_mtu"], seen.detail["local_mtu"], seen.detail["capped"]) == (1500, 1500, False)
    assert 0 < seen.timings_ms["rtt"] < 100


@FAMILIES
def test_the_router_that_says_what_is_too_big_is_named_and_nothing_is_wrong(path: Chain, v6: bool) -> None:
    path.mtu(1, 1400)
    seen = mtu(path, v6=v6)
    assert (seen.ok, seen.detail["path_mtu"], seen.detail["black_hole"]) == (True, 1400, False)
    assert seen.detail["reported_by"] == path.address(0, v6=v6)
    assert mtu(path, v6=v6).detail["path_mtu"] == 1400, "what the kernel has learned is not taken for the interface's"


@FAMILIES
def test_a_router_that_drops_large_packets_without_a_word_is_a_black_hole(path: Chain, v6: bool) -> None:
    path.mtu(1, 1400)
    path.r1.filter(MUTE, hook="output")
    seen = mtu(path, v6=v6)
    assert (seen.failure, seen.fault_of) == (Failure.MTU_BLACK_HOLE, FaultOf.TARGET)
    assert (seen.detail["path_mtu"], seen.detail["black_hole"], seen.detail["reported_by"]) == (1400, True, None)
    assert (seen.detail["local_mtu"], seen.success_rate) == (1500, 0.0)
    assert "rtt" in seen.timings_ms


def test_the_size_is_found_to_the_byte(path: Chain) -> None:
    path.r2.filter("meta length > 1333 drop")
    assert mtu(path).detail["path_mtu"] == 1333


def test_a_black_hole_behind_a_router_that_speaks_is_found(path: Chain) -> None:
    path.mtu(1, 1400)
    path.r2.filter("meta length > 1300 drop")
    seen = mtu(path)
    assert (seen.failure, seen.detail["path_mtu"]) == (Failure.MTU_BLACK_HOLE, 1300)


@pytest.mark.parametrize("size", [1500, 1400])
def test_random_loss_of_a_fifth_is_not_taken_for_a_black_hole(path: Chain, size: int) -> None:
    path.mtu(1, size)
    path.r1.filter("numgen random mod 100 < 20 drop")
    for _ in range(3):
        seen = mtu(path)
        assert (seen.ok, seen.detail["path_mtu"], seen.detail["black_hole"]) == (True, size, False)


def test_a_black_hole_is_found_through_random_loss(path: Chain) -> None:
    path.r1.filter("meta length > 1400 drop; numgen random mod 100 < 20 drop")
    seen = mtu(path)
    assert (seen.failure, seen.detail["path_mtu"]) == (Failure.MTU_BLACK_HOLE, 1400)


def test_larger_packets_than_asked_for_are_not_tried(path: Chain) -> None:
    for link in range(3):
        path.mtu(link, 9000)
    assert (mtu(path).detail["path_mtu"], mtu(path).detail["capped"]) == (1500, True)
    seen = mtu(path, high=9000)
    assert (seen.detail["path_mtu"], seen.detail["capped"]) == (9000, False)


@FAMILIES
def test_a_raw_socket_serves_where_datagrams_are_not_permitted(path: Chain, v6: bool) -> None:
    path.client.sysctl(net__ipv4__ping_group_range="1 0")
    path.mtu(1, 1400)
    seen = mtu(path, v6=v6, uid=0)
    assert (seen.detail["method"], seen.detail["path_mtu"]) == ("icmp_raw", 1400)
    assert seen.detail["lacking"] == ["net.ipv4.ping_group_range does not include this group"]


def test_with_no_socket_for_echoes_tcp_answers_and_what_is_lacking_is_said(path: Chain) -> None:
    path.client.sysctl(net__ipv4__ping_group_range="1 0")
    path.serve(LISTEN)
    seen = mtu(path)
    assert (seen.ok, seen.detail["method"], seen.detail["path_mtu"]) == (True, "tcp", 1500)
    assert seen.detail["lacking"][1:] == ["CAP_NET_RAW missing"]


@pytest.mark.parametrize("rule", ["", "drop"])
def test_where_echoes_are_not_permitted_a_silent_port_nobody_named_is_not_the_targets_fault(
    path: Chain, rule: str
) -> None:
    path.client.sysctl(net__ipv4__ping_group_range="1 0")
    if rule:
        path.server.filter(rule, hook="input")
    seen = mtu(path)
    tcp = "tcp_timeout" if rule else "tcp_refused"
    assert (seen.failure, seen.fault_of, seen.detail["path_mtu"]) == (Failure.NOT_PERMITTED, FaultOf.AGENT, None)
    assert seen.detail["reason"].endswith(f"CAP_NET_RAW missing; tcp at port 443: {tcp}")
    asked = mtu(path, port=443)
    assert (asked.failure, asked.fault_of) == (Failure(tcp), FaultOf.TARGET)


def test_echoes_alone_need_a_permission_that_is_named(path: Chain) -> None:
    path.client.sysctl(net__ipv4__ping_group_range="1 0")
    seen = mtu(path, method="icmp")
    assert (seen.failure, seen.fault_of) == (Failure.NOT_PERMITTED, FaultOf.AGENT)
    assert seen.detail["reason"] == "net.ipv4.ping_group_range does not include this group; CAP_NET_RAW missing"


def test_where_echoes_are_filtered_full_size_segments_are_watched(path: Chain) -> None:
    path.serve(LISTEN)
    path.server.filter("icmp type echo-request drop", hook="input")
    seen = mtu(path)
    assert (seen.ok, seen.detail["method"], seen.detail["path_mtu"]) == (True, "tcp", 1500)


@FAMILIES
def test_segments_that_stall_while_smaller_ones_arrive_are_a_black_hole(path: Chain, v6: bool) -> None:
    path.serve(LISTEN)
    path.mtu(1, 1400)
    path.r1.filter(MUTE, hook="output")
    seen = mtu(path, v6=v6, method="tcp")
    assert (seen.failure, seen.fault_of) == (Failure.MTU_BLACK_HOLE, FaultOf.TARGET)
    assert seen.detail["path_mtu"] == 1400
    assert "rtt" in seen.timings_ms


def test_loss_alone_does_not_stall_segments(path: Chain) -> None:
    path.serve(LISTEN)
    path.r1.filter("numgen random mod 100 < 15 drop")
    seen = mtu(path, method="tcp", timeout_ms=8000)
    assert (seen.ok, seen.detail["black_hole"]) == (True, False)


@pytest.mark.parametrize(("rule", "tcp"), [("icmp type echo-request drop", "tcp_refused"), ("drop", "tcp_timeout")])
def test_without_any_answer_nothing_is_said_of_the_path(path: Chain, rule: str, tcp: str) -> None:
    path.server.filter(rule, hook="input")
    seen = mtu(path)
    assert (seen.failure, seen.detail["path_mtu"], seen.detail["black_hole"]) == (Failure.PING_TIMEOUT, None, None)
    assert seen.detail["reason"] == f"no echo reply; tcp: {tcp}"


def test_bounds_that_contradict_are_refused(path: Chain) -> None:
    seen = mtu(path, low=1500, high=1400)
    assert (seen.failure, seen.detail["reason"]) == (Failure.UNSUPPORTED, "low must be less than high")


def test_a_policy_that_does_not_name_the_kind_forbids_it(path: Chain) -> None:
    policy = "allow: [{network: 10.77.0.0/16, ports: any, kinds: [ping]}]\n"
    seen = path.probe("mtu", {"address": path.address(2)}, uid=NOBODY, policy=policy)
    assert seen.failure is Failure.POLICY_DENIED
