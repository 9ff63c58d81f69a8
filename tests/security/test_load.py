"""A hub that has been taken over cannot make the agent a weapon: its own budget holds whatever is asked."""

from __future__ import annotations

import asyncio
import time

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.probes.table import run
from tests.probes.conftest import MakeContext, Resolver

ASK = {"name": "api.test", "spacing_ms": 0, "timeout_ms": 1000}


async def test_whatever_the_hub_asks_a_resolver_gets_20_queries_a_second(
    context: MakeContext, resolver: Resolver
) -> None:
    ctx = context("budget: {dns_per_second: 1000}\n")
    began = time.monotonic()
    params = {**ASK, "server": str(resolver), "tries": 30}
    seen = await asyncio.gather(*(run("dns", params, ctx, 10) for _ in range(3)))
    sent = sum(one.detail["ok"] for one in seen)
    assert sent <= 20 * (time.monotonic() - began + 1)
    spoiled = sum(one.detail.get("agent_errors", 0) for one in seen)
    assert (sent, spoiled) == (60, 30)
    assert all(one.ok or one.fault_of is FaultOf.AGENT for one in seen), "it is not held against the resolver"


async def test_more_sockets_than_the_budget_are_the_agents_own_trouble(context: MakeContext) -> None:
    ctx = context("budget: {sockets_per_second: 5}\n")
    seen = await run("tcp", {"address": "127.31.0.10", "port": 9, "tries": 20, "spacing_ms": 0}, ctx, 10)
    assert (seen.failure, seen.detail["tries"]) == (Failure.TCP_REFUSED, 5)
    assert seen.detail["agent_errors"] == 15
    seen = await run("tcp", {"address": "127.31.0.10", "port": 9}, ctx, 10)
    assert (seen.failure, seen.fault_of) == (Failure.AGENT_OVERLOADED, FaultOf.AGENT)


@pytest.mark.parametrize("method", ["icmp", "tcp"])
async def test_pings_count_too(context: MakeContext, method: str) -> None:
    params = {"address": "127.31.0.10", "method": method, "tries": 12, "spacing_ms": 0}
    seen = await run("ping", params, context("budget: {sockets_per_second: 5}\n"), 10)
    assert seen.detail["agent_errors"] == 7
