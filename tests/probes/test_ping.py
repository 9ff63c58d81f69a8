from __future__ import annotations

import os
import socket

import pytest

from bot.domain.failure import Failure
from bot.probes.table import run
from tests.needs import missing
from tests.probes.conftest import MakeContext
from tests.probes.servers import HOST, free_port


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
    asked = {"address": HOST, "port": free_port(HOST, socket.SOCK_STREAM), "method": "tcp", "tries": 2, "spacing_ms": 1}
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
