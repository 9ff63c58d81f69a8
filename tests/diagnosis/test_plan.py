"""What is asked, from where, and how gently."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from bot.adapters.playbooks import read_playbook
from bot.diagnosis import plan
from bot.diagnosis.asks import asks_of
from bot.diagnosis.investigation import Investigation
from bot.domain.probe import Agent, ProbeRequest
from tests.diagnosis.nights import HYPOTHESES, PLAYBOOKS, agents, healthy, investigate, see


def vpc_queries(requests: tuple[ProbeRequest, ...], vpc: str) -> list[float]:
    """When (ms) each query reaches that VPC's resolver."""
    inside = {a.name for a in agents() if a.vpc == vpc}
    times = []
    for r in requests:
        if r.agent not in inside or r.layer in ("dns_public", "dns_internal", "learn") or "address" in r.params:
            continue
        start, spacing = float(r.params.get("start_ms", 0)), float(r.params["spacing_ms"])
        times += [start + i * spacing for i in range(int(r.params["tries"]))]
    return sorted(times)


@pytest.mark.parametrize("vpc", ["blue", "green", "red"])
def test_one_run_asks_a_vpc_resolver_at_most_20_queries_a_second_and_200_in_all(vpc: str) -> None:
    times = vpc_queries(plan.sweep(PLAYBOOKS["sms"], agents()).now, vpc)
    assert 20 <= len(times) <= 200
    busiest = max(sum(1 for t in times if start <= t < start + 1000) for start in times)
    assert busiest <= 20 + 3  # phases of several series may meet for a moment


def test_forty_agents_in_one_vpc_still_share_one_budget() -> None:
    many = tuple(
        Agent(name=f"vm{i}", region="east", vantage="vm", vpc="blue", resolvers={"host": ("h",), "vpc": ("v",)})
        for i in range(40)
    )
    requests = plan.sweep(PLAYBOOKS["sms"], many).now
    asked = [r for r in requests if r.layer not in ("dns_public", "learn", "dns_internal")]
    assert sum(int(r.params["tries"]) for r in asked) <= 200


def test_watching_stays_under_two_queries_a_second() -> None:
    times = vpc_queries(plan.sweep(PLAYBOOKS["sms"], agents(), light=True).now, "blue")
    assert len(times) / (max(times) / 1000 + 0.5) <= 2.1


def test_at_least_twenty_tries_stand_behind_a_vpc_resolvers_rate() -> None:
    tries: Counter[str] = Counter()
    for r in plan.sweep(PLAYBOOKS["sms"], agents()).now:
        if r.layer == "dns_vpc":
            tries[r.agent] += int(r.params["tries"])
    assert set(tries) == {"east-pod", "east-vm", "east-vm2", "west-vm"}
    assert min(tries.values()) >= 20


def test_pinned_probes_wait_until_two_agents_agree_on_an_address() -> None:
    first = plan.sweep(PLAYBOOKS["sms"], agents())
    by_name = {a.name: a for a in agents()}
    dns = [r for r in first.now if r.kind == "dns" and r.target == "sms.tencentcloudapi.com"]
    one = [see(dns[0], by_name[dns[0].agent], healthy)]
    ready, waiting = plan.pin(first.pinned, one, elapsed_s=0.1)
    assert not ready
    assert len(waiting) == len(first.pinned)
    other = next(r for r in dns if r.agent != dns[0].agent)
    ready, _ = plan.pin(first.pinned, [*one, see(other, by_name[other.agent], healthy)], elapsed_s=0.1)
    assert {r.params["address"] for r in ready} == {"203.0.113.7"}


def test_one_answer_is_enough_once_nobody_else_has_answered_for_a_while() -> None:
    first = plan.sweep(PLAYBOOKS["sms"], agents())
    r = next(r for r in first.now if r.kind == "dns" and r.target == "sms.tencentcloudapi.com")
    seen = [see(r, next(a for a in agents() if a.name == r.agent), healthy)]
    ready, _ = plan.pin(first.pinned, seen, elapsed_s=1.0)
    assert ready


def test_progress_counts_a_series_of_parts_as_one_check() -> None:
    run = investigate(healthy)
    done, total = run.progress()
    assert done == total
    assert total == len({(o.agent, o.probe) for o in run.observations()})


def test_an_agent_is_not_asked_for_kinds_its_policy_forbids() -> None:
    shy = Agent(name="shy", region="east", vantage="vm", vpc="blue", kinds=("dns",), resolvers={"vpc": ("v",)})
    first = plan.sweep(PLAYBOOKS["sms"], [shy])
    assert {r.kind for r in first.now} == {"dns"}
    assert not first.pinned


def test_a_target_given_as_an_address_needs_no_name_and_is_probed_at_once() -> None:
    from bot.adapters.playbooks import read_playbook

    plain = read_playbook(
        "playbook: p\ntitle: p\ntargets: {api: http://192.0.2.1:81}\nprobe:\n  - dns: {of: api}\n  - http: {to: api}\n"
    )
    first = plan.sweep(plain, agents())
    assert not [r for r in first.now if r.kind == "dns"]
    ready, waiting = plan.pin(first.pinned, [], elapsed_s=0.0)
    assert not waiting
    assert {r.params["address"] for r in ready} == {"192.0.2.1"}


def test_a_playbook_without_a_dns_step_still_learns_the_address_it_pins() -> None:
    from bot.adapters.playbooks import read_playbook

    short = read_playbook("playbook: p\ntitle: p\ntargets: {api: https://api.example}\nprobe:\n  - http: {to: api}\n")
    first = plan.sweep(short, agents())
    assert {r.target for r in first.now if r.layer == "learn"} == {"api.example"}
    by_name = {a.name: a for a in agents()}
    seen = [see(r, by_name[r.agent], healthy) for r in first.now if r.kind == "dns"]
    ready, waiting = plan.pin(first.pinned, seen, elapsed_s=0.0)
    assert ready
    assert all(ask.pinned for ask in waiting)


def test_a_step_may_say_from_where_it_is_asked() -> None:
    from bot.adapters.playbooks import read_playbook

    text = (
        "playbook: p\ntitle: p\ntargets: {api: https://api.example}\nprobe:\n  - http: {to: api, from: [pod, west]}\n"
    )
    first = plan.sweep(read_playbook(text), agents())
    assert {a.agent.name for a in first.pinned} == {"east-pod", "west-vm"}


def test_a_database_is_asked_by_name_from_everywhere_under_the_budget() -> None:
    from bot.adapters.playbooks import read_playbook

    text = (
        "playbook: p\ntitle: p\n"
        "targets: {orders: mysql://orders.example, cache: redis://10.0.0.6, books: postgres://10.0.0.7:5433/books}\n"
        "probe:\n  - mysql: {to: orders, login: orders-ro, tls: verify}\n  - redis: {to: cache, from: pod}\n"
        "  - postgres: {to: books, tries: 1, from: pod}\n"
    )
    asked = {(r.agent, r.kind): r for r in plan.sweep(read_playbook(text), agents()).now}
    assert {agent for agent, kind in asked if kind == "mysql"} == {a.name for a in agents()}
    orders = asked["east-vm", "mysql"]
    assert (orders.layer, orders.probe, orders.target) == ("db", "mysql/orders", "mysql://orders.example")
    spacing = orders.params["spacing_ms"]
    assert spacing >= 1000 / 20  # each try asks the VPC's resolver
    assert orders.params == {
        "host": "orders.example",
        "port": 3306,
        "tls": "verify",
        "tries": 2,
        "timeout_ms": 3000,
        "login": "orders-ro",
        "spacing_ms": spacing,
    }
    assert orders.timeout_s >= 2 * 3 + 3  # one try after the other
    assert asked["east-pod", "redis"].params["address"] == "10.0.0.6"
    books = asked["east-pod", "postgres"].params
    assert (books["address"], books["port"], books["database"]) == ("10.0.0.7", 5433, "books")


def test_what_a_database_step_asks_is_what_the_probe_understands() -> None:
    from bot.adapters.playbooks import read_playbook
    from bot.probes.table import check

    for kind in ("mysql", "redis", "postgres"):
        text = f"playbook: p\ntitle: p\ntargets: {{db: {kind}://db.example}}\nprobe:\n  - {kind}: {{to: db}}\n"
        for request in plan.sweep(read_playbook(text), agents()).now:
            check(request.kind, request.params)


def test_a_service_that_nobody_may_ask_is_missing_and_not_healthy() -> None:
    deaf = [replace(a, kinds=("dns", "tcp", "ping")) for a in agents()]
    run = Investigation(PLAYBOOKS["sms"], HYPOTHESES, deaf)
    run.start()
    assert {"http", "api"} <= set(run.missing())
    some = [replace(a, kinds=("dns", "http", "api")) for a in agents()]
    assert not plan.unaskable(PLAYBOOKS["sms"], some)


def test_of_several_names_each_is_asked_less_often_and_the_resolver_still_twenty_times() -> None:
    playbook = read_playbook("""
playbook: shop
title: {zh: 商城, en: shop}
targets: {pay: "https://pay.example.com", mail: "https://mail.example.com", map: "https://map.example.com"}
probe:
  - dns: {of: pay}
  - dns: {of: [mail, map]}
""")
    agent = next(a for a in agents() if a.vpc)
    asked = [a for a in asks_of(playbook, [agent]) if a.layer == "dns_vpc"]
    assert [a.params["tries"] for a in asked] == [8, 8, 8]
