from __future__ import annotations

import resource
import socket

from bot.domain.failure import Failure, FaultOf
from bot.probes.table import run
from tests.ports import free_port
from tests.probes.conftest import MakeContext, Resolver
from tests.probes.servers import HOST


async def test_a_listening_port_connects_every_time(context: MakeContext) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        seen = await run("tcp", {"address": HOST, "port": port, "tries": 5, "spacing_ms": 1}, context(), 10)
    assert (seen.ok, seen.detail["tries"], seen.detail["ok"], seen.detail["retransmits"]) == (True, 5, 5, 0)
    assert 0 < seen.timings_ms["tcp"] < 100


async def test_a_closed_port_refuses(context: MakeContext) -> None:
    closed = free_port(HOST)
    seen = await run("tcp", {"address": HOST, "port": closed, "tries": 2, "spacing_ms": 1}, context(), 10)
    assert (seen.failure, seen.fault_of) == (Failure.TCP_REFUSED, FaultOf.TARGET)
    assert seen.detail["failures"] == {"tcp_refused": 2}


async def test_dropped_syns_time_out_and_the_time_spent_is_kept(context: MakeContext) -> None:
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        port = full.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:  # a full accept queue drops SYNs
            one.setblocking(False)
            one.connect_ex((HOST, port))
        seen = await run("tcp", {"address": HOST, "port": port, "timeout_ms": 300}, context(), 10)
        for one in crowd:
            one.close()
    assert (seen.failure, seen.fault_of) == (Failure.TCP_TIMEOUT, FaultOf.TARGET)
    assert 290 <= seen.timings_ms["tcp"] < 2000


async def test_a_source_address_that_is_not_ours_is_the_agents_fault(context: MakeContext) -> None:
    ctx = context("source: 203.0.113.77\n")
    seen = await run("tcp", {"address": HOST, "port": 9}, ctx, 10)
    assert (seen.failure, seen.fault_of) == (Failure.AGENT_ERROR, FaultOf.AGENT)


async def test_the_agent_dials_from_the_address_its_policy_names(context: MakeContext) -> None:
    with socket.create_server((HOST, 0)) as server:
        ctx = context("source: 127.31.5.5\n")
        await run("tcp", {"address": HOST, "port": server.getsockname()[1]}, ctx, 10)
        peer, (address, _) = server.accept()
        peer.close()
    assert address == "127.31.5.5"


async def test_running_out_of_descriptors_is_the_agents_fault(context: MakeContext) -> None:
    ctx = context()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    keep = [socket.socket()]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (keep[0].fileno() + 1, hard))
        seen = await run("tcp", {"address": HOST, "port": 9}, ctx, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        keep[0].close()
    assert (seen.failure, seen.fault_of) == (Failure.AGENT_ERROR, FaultOf.AGENT)


async def test_bad_parameters_are_named(context: MakeContext) -> None:
    for params, word in (
        ({"address": HOST}, "port"),
        ({"address": HOST, "port": 0}, "port"),
        ({"address": HOST, "port": True}, "port"),
        ({"address": "api.test", "port": 80}, "address"),
        ({"address": HOST, "port": 80, "tries": 51}, "tries"),
        ({"address": HOST, "port": 80, "command": "id"}, "command"),
    ):
        seen = await run("tcp", params, context(), 10)
        assert (seen.failure, seen.fault_of) == (Failure.UNSUPPORTED, FaultOf.AGENT)
        assert word in seen.detail["reason"]


async def test_a_host_is_looked_up_once_and_timed(context: MakeContext, resolver: Resolver) -> None:
    ctx = context(f"resolvers: {{host: ['{resolver}']}}\n")
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        seen = await run("tcp", {"host": "api.test", "port": port, "tries": 3, "spacing_ms": 1}, ctx, 10)
    assert (seen.ok, seen.detail["host"], seen.detail["address"], seen.detail["ok"]) == (True, "api.test", HOST, 3)
    assert seen.timings_ms.keys() == {"dns", "tcp"}


async def test_a_name_without_an_answer_keeps_the_failure_of_dns_and_its_time(
    context: MakeContext, resolver: Resolver
) -> None:
    ctx = context(f"resolvers: {{host: ['{resolver}']}}\n")
    for name, failure in (("nothing.test", Failure.DNS_NXDOMAIN), ("host.refused.test", Failure.DNS_REFUSED)):
        seen = await run("tcp", {"host": name, "port": 9}, ctx, 10)
        assert (seen.failure, seen.detail["host"], seen.timings_ms.keys()) == (failure, name, {"dns"})
    seen = await run("tcp", {"host": "host.silent.test", "port": 9, "timeout_ms": 300}, ctx, 10)
    assert (seen.failure, seen.fault_of) == (Failure.DNS_TIMEOUT, FaultOf.RESOLVER)
    assert 290 <= seen.timings_ms["dns"] < 2000


async def test_a_host_that_is_an_address_needs_no_lookup(context: MakeContext) -> None:
    with socket.create_server((HOST, 0)) as server:
        seen = await run("tcp", {"host": HOST, "port": server.getsockname()[1]}, context(), 10)
    assert (seen.ok, seen.timings_ms.keys()) == (True, {"tcp"})
