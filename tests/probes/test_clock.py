from __future__ import annotations

import asyncio
import contextlib
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.lab.pki import Authority
from bot.probes.net import ntp
from bot.probes.table import run
from bot.wire.details import believable
from tests.needs import need_tool
from tests.ports import free_port
from tests.probes.conftest import MakeContext, Resolver
from tests.probes.servers import HOST, http, site, tls_of

Answer = Callable[[bytes], list[bytes]]
SINCE_1900 = 2_208_988_800


def reply(
    asked: bytes, *, ahead_s: float = 0.0, leap: int = 0, stratum: int = 2, origin: bytes = b"", reference: bytes = b""
) -> bytes:
    """A server's answer by a clock that is `ahead_s` ahead of this machine's."""
    assert (asked[0], len(asked)) == (0x23, 48), "version 4, mode 3"
    stamp = struct.pack("!Q", int((time.time() + ahead_s + SINCE_1900) * 2**32) % 2**64)
    head = struct.pack(
        "!BBbbII4s", leap << 6 | 4 << 3 | 4, stratum, 6, -20, 655, 1310, reference or bytes([10, 0, 0, 1])
    )
    return head + stamp + (origin or asked[40:48]) + stamp + stamp


@contextlib.asynccontextmanager
async def time_server(answer: Answer) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server of datagrams at HOST; yields (port, what it was asked)."""
    asked: list[bytes] = []

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
            asked.append(data)
            for packet in answer(data):
                self.transport.sendto(packet, peer)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=(HOST, 0))
    try:
        yield transport.get_extra_info("sockname")[1], asked
    finally:
        transport.close()


def asking(port: int, **more: object) -> dict[str, object]:
    return {"address": HOST, "port": port, "tries": 3, "spacing_ms": 5, "timeout_ms": 300, **more}


@pytest.mark.parametrize("ahead_s", [0.0, 5.0, -3600.0, 400 * 86400.0])
async def test_the_offset_is_the_servers_clock_minus_ours(context: MakeContext, ahead_s: float) -> None:
    async with time_server(lambda data: [reply(data, ahead_s=ahead_s)]) as (port, asked):
        seen = await run("clock", asking(port), context(), 10)
    assert (seen.ok, seen.detail["method"], seen.detail["tries"], len(asked)) == (True, "ntp", 3, 3)
    assert abs(seen.detail["offset_ms"] - ahead_s * 1000) <= seen.detail["uncertainty_ms"]
    assert (seen.detail["stratum"], seen.detail["leap"], seen.detail["reference_id"]) == (2, 0, "10.0.0.1")
    assert 25 <= seen.detail["uncertainty_ms"] < 100, "5 ms of root delay / 2 and 20 ms of dispersion at least"
    assert 0 <= seen.detail["delay_ms"] < 100
    assert 0 < seen.timings_ms["rtt"] < 100
    assert "malformed" not in believable(seen.detail)


async def test_requests_do_not_tell_our_clock_and_differ(context: MakeContext) -> None:
    async with time_server(lambda data: [reply(data)]) as (port, asked):
        await run("clock", asking(port), context(), 10)
    sent = {data[40:48] for data in asked}
    assert len(sent) == 3
    assert {data[1:40] for data in asked} == {bytes(39)}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"leap": 3}, "leap 3, stratum 2"),
        ({"stratum": 16}, "leap 0, stratum 16"),
        ({"stratum": 0}, "kiss-o'-death RATE"),
    ],
)
async def test_a_server_that_does_not_know_the_time_is_unsynchronised(
    context: MakeContext, kind: dict[str, int], said: str
) -> None:
    async with time_server(lambda data: [reply(data, reference=b"RATE", **kind)]) as (port, _):
        seen = await run("clock", asking(port), context(), 10)
    assert (seen.failure, seen.fault_of) == (Failure.CLOCK_UNSYNCHRONISED, FaultOf.TARGET)
    assert seen.detail["reason"] == said
    assert "offset_ms" not in seen.detail


async def test_a_server_that_says_go_away_is_not_asked_again(context: MakeContext) -> None:
    async with time_server(lambda data: [reply(data, stratum=0, reference=b"DENY")]) as (port, asked):
        await run("clock", asking(port, tries=10), context(), 10)
    assert len(asked) == 1


async def test_an_answer_to_another_request_is_not_believed(context: MakeContext) -> None:
    async with time_server(lambda data: [reply(data, ahead_s=3600, origin=b"\1" * 8)]) as (port, _):
        seen = await run("clock", asking(port), context(), 10)
    assert (seen.failure, seen.detail["reason"]) == (Failure.CLOCK_TIMEOUT, "1 answers to no request of ours")


async def test_a_forged_answer_before_the_true_one_changes_nothing(context: MakeContext) -> None:
    def both(data: bytes) -> list[bytes]:
        return [reply(data, ahead_s=3600, origin=b"\1" * 8), b"\x24", data, reply(data)]

    async with time_server(both) as (port, _):
        seen = await run("clock", asking(port), context(), 10)
    assert seen.ok
    assert abs(seen.detail["offset_ms"]) <= seen.detail["uncertainty_ms"]


async def test_silence_is_a_timeout_and_so_is_a_closed_port(context: MakeContext) -> None:
    async with time_server(lambda _: []) as (port, _):
        seen = await run("clock", asking(port), context(), 10)
    assert (seen.failure, seen.fault_of, seen.detail["tries"]) == (Failure.CLOCK_TIMEOUT, FaultOf.TARGET, 3)
    seen = await run("clock", asking(free_port(HOST)), context(), 10)
    assert (seen.failure, seen.detail["reason"]) == (Failure.CLOCK_TIMEOUT, "ECONNREFUSED")


async def test_one_good_answer_among_lost_ones_is_enough(context: MakeContext) -> None:
    turns = iter(range(10))
    async with time_server(lambda data: [reply(data)] if next(turns) == 1 else []) as (port, _):
        seen = await run("clock", asking(port), context(), 10)
    assert (seen.ok, seen.detail["ok"], seen.detail["tries"]) == (True, 1, 3)


async def test_a_name_is_looked_up_and_timed(context: MakeContext, resolver: Resolver) -> None:
    async with time_server(lambda data: [reply(data)]) as (port, _):
        asked = {**asking(port), "host": "api.test"}
        del asked["address"]
        seen = await run("clock", asked, context(f"resolvers: {{host: ['{resolver}']}}\n"), 10)
    assert (seen.ok, seen.detail["host"], seen.detail["address"]) == (True, "api.test", HOST)
    assert seen.timings_ms.keys() == {"dns", "rtt"}


async def test_the_port_needs_the_policys_leave(context: MakeContext) -> None:
    policy = "allow: [{network: 127.0.0.0/8, ports: [443], kinds: [clock]}]\n"
    seen = await run("clock", {"address": HOST}, context(policy=policy), 10)
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)


def test_an_answer_from_the_next_era_is_near_our_own_time() -> None:
    packet, nonce = ntp.request()
    after = datetime(2036, 3, 1, tzinfo=UTC).timestamp()  # the 32 bits of seconds wrapped on 2036-02-07
    stamp = struct.pack("!Q", int((after + SINCE_1900) * 2**32) % 2**64)
    seen = ntp.read(reply(packet)[:32] + stamp + stamp, nonce)
    assert seen is not None
    assert abs(ntp.sample(seen, after, 0.0).offset_ms) < 1


@pytest.fixture
def chrony(tmp_path: Path) -> Iterator[int]:
    """A real chronyd that serves this machine's clock and sets none."""
    need_tool("chronyd")
    port = free_port(HOST)
    config = tmp_path / "chrony.conf"
    config.write_text(
        f"local stratum 10\nport {port}\nbindaddress {HOST}\nallow 127.0.0.0/8\ncmdport 0\n"
        f"bindcmdaddress /\npidfile {tmp_path}/chrony.pid\n"
    )
    process = subprocess.Popen(["chronyd", "-d", "-U", "-x", "-f", str(config)], stderr=subprocess.PIPE)
    try:
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=30)


async def test_chrony_is_understood(context: MakeContext, chrony: int) -> None:
    for _ in range(300):
        seen = await run("clock", asking(chrony), context(), 10)
        if seen.ok:
            break
        await asyncio.sleep(0.1)
    assert (seen.ok, seen.detail["stratum"], seen.detail["leap"]) == (True, 10, 0), seen.detail
    assert abs(seen.detail["offset_ms"]) < 5
    assert seen.detail["reference_id"] == "127.127.1.1"


@pytest.mark.parametrize("ahead_s", [0, 90, -7200])
async def test_the_date_of_an_https_server_is_a_clock_of_whole_seconds(
    context: MakeContext, authority: Authority, tmp_path: Path, ahead_s: int
) -> None:
    def answer(_: bytes) -> bytes:
        return http("204 No Content", b"", f"Date: {formatdate(time.time() + ahead_s, usegmt=True)}")

    async with site(answer, tls_of(authority, tmp_path)) as server:
        asked = {"method": "http", "url": f"https://api.test:{server.port}/", "address": HOST, "tries": 4}
        seen = await run("clock", asked, context(), 10)
    assert (seen.ok, seen.detail["method"], seen.detail["resolution_ms"]) == (True, "http", 1000)
    assert abs(seen.detail["offset_ms"] - ahead_s * 1000) <= seen.detail["uncertainty_ms"] + 1
    assert seen.detail["uncertainty_ms"] < 400, "four looks at different parts of the second"
    assert server.requests[0].startswith(b"HEAD / ")


@pytest.mark.parametrize(
    "header",
    ["X-None: 1", f"Date: {formatdate(usegmt=True)}\r\nAge: 60", "Date: noon"],
    ids=["none", "from a cache", "no date"],
)
async def test_a_reply_without_a_fresh_date_is_no_clock(
    context: MakeContext, authority: Authority, tmp_path: Path, header: str
) -> None:
    async with site(lambda _: http("200 OK", b"", header), tls_of(authority, tmp_path)) as server:
        asked = {"method": "http", "url": f"https://api.test:{server.port}/", "address": HOST}
        seen = await run("clock", asked, context(), 10)
    assert seen.failure is Failure.HTTP_PROTOCOL
    assert "offset_ms" not in seen.detail


async def test_a_date_in_the_clear_is_refused(context: MakeContext) -> None:
    seen = await run("clock", {"method": "http", "url": "http://api.test/"}, context(), 10)
    assert seen.failure is Failure.UNSUPPORTED
