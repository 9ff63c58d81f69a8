"""The agent's own budget: slowed down first, then told so, and never more than one DNS server is promised."""

from __future__ import annotations

import socket

import pytest

from bot.agent.pacer import MAX_SERVERS, Pacer
from bot.agent.policy_file import Budget


def test_the_budget_lets_a_burst_pass_then_slows_then_refuses() -> None:
    clock = [100.0]
    pacer = Pacer(Budget(dns_per_second=10), now=lambda: clock[0])
    waits = [pacer.reserve("dns") for _ in range(31)]
    assert waits[:10] == [0.0] * 10
    assert waits[10] == pytest.approx(0.1)
    assert waits[29] == pytest.approx(2.0)
    assert waits[30] is None
    clock[0] += 3.0
    assert pacer.reserve("dns") == 0.0
    assert pacer.reserve("probe") == 0.0


async def test_a_dns_server_gets_at_no_time_more_than_its_rate_within_a_second() -> None:
    clock = [100.0]
    pacer = Pacer(Budget(dns_per_server_per_second=20, dns_per_second=1000), now=lambda: clock[0])
    server = pacer._server("10.0.0.2")
    sent = [clock[0] + wait for _ in range(61) if (wait := server.reserve(clock[0])) is not None]
    assert sent == [100.0] * 20 + [101.0] * 20 + [102.0] * 20
    clock[0] = 102.5
    sent += [clock[0] + wait for _ in range(60) if (wait := server.reserve(clock[0])) is not None]
    for at in sent:
        assert sum(at <= other < at + 1.0 for other in sent) <= 20


async def test_a_rate_below_one_is_a_pause_between_queries() -> None:
    server = Pacer(Budget(dns_per_server_per_second=0.5))._server("10.0.0.2")
    assert [server.reserve(50.0), server.reserve(50.0), server.reserve(50.0)] == [0.0, 2.0, None]


async def test_the_agents_of_a_vpc_share_what_its_resolver_is_sent() -> None:
    agents = [Pacer(Budget(vpc_agents=4))._server("10.0.0.2") for _ in range(4)]
    sent = [wait for one in agents for _ in range(30) if (wait := one.reserve(50.0)) is not None]
    assert sum(at < 1.0 for at in sent) == 20
    assert sum(at < 2.0 for at in sent) == 40


async def test_one_server_holds_so_many_queries_at_once_and_others_are_not_held_up() -> None:
    pacer = Pacer(Budget(dns_per_server_in_flight=2))
    assert [await pacer.ask("10.0.0.2") for _ in range(3)] == [True, True, False]
    assert await pacer.ask("10.0.0.3")
    pacer.asked("10.0.0.2")
    assert [await pacer.ask("10.0.0.2") for _ in range(2)] == [True, False]


async def test_servers_asked_long_ago_are_forgotten() -> None:
    clock = [0.0]
    pacer = Pacer(Budget(), now=lambda: clock[0])
    for number in range(4 * MAX_SERVERS):
        clock[0] += 0.1
        assert await pacer.ask(f"10.0.{number // 256}.{number % 256}")
        pacer.asked(f"10.0.{number // 256}.{number % 256}")
    assert len(pacer._servers) <= MAX_SERVERS


def test_sockets_count_while_they_are_open() -> None:
    pacer = Pacer(Budget(sockets=3))
    opened = [socket.socket() for _ in range(4)]
    try:
        assert [pacer.admits(one) for one in opened] == [True, True, True, False]
        opened[0].close()
        assert pacer.admits(opened[3])
    finally:
        for one in opened:
            one.close()
