"""What a `/probe` sends, from words to requests: parameters as agents read them, and no resolver asked too much."""

from __future__ import annotations

from typing import Any

import pytest

from bot.app.probe_request import parameters, probing, spoken
from bot.diagnosis.adhoc import read
from bot.diagnosis.burst import TICK_S
from bot.diagnosis.forms import FORMS
from bot.diagnosis.probing import Probing
from bot.domain.command import parse
from bot.domain.errors import UserError
from bot.domain.failure import Failure
from bot.domain.probe import Agent, ProbeRequest, observe
from bot.probes.base import failed
from bot.probes.table import KINDS, check
from tests.diagnosis import nights


def asked(line: str, who: tuple[Agent, ...] | None = None) -> Probing:
    command = parse(line, user="lin", room="console:main")
    known = nights.agents() if who is None else who
    return probing(read(command.args, command.options), known, nights.PLAYBOOKS.values())


def sent(run: Probing) -> list[ProbeRequest]:
    return [request for batch in run.batches for request in batch.requests]


@pytest.mark.parametrize(
    ("line", "params"),
    [
        ("/probe http a.test", {"url": "https://a.test"}),
        ("/probe http http://a.test/x to=203.0.113.7", {"url": "http://a.test/x", "address": "203.0.113.7"}),
        ("/probe http a.test count=2 spacing=1s", {"url": "https://a.test", "tries": 2, "spacing_ms": 1000}),
        ("/probe tcp 203.0.113.7:443", {"address": "203.0.113.7", "port": 443}),
        ("/probe tcp [2001:db8::1]:443", {"address": "2001:db8::1", "port": 443}),
        ("/probe tls 203.0.113.7 sni=a.test", {"address": "203.0.113.7", "sni": "a.test"}),
        ("/probe tls a.test:8443 to=203.0.113.7", {"address": "203.0.113.7", "sni": "a.test", "port": 8443}),
        ("/probe tls https://203.0.113.7", {"address": "203.0.113.7", "port": 443}),
        ("/probe ping 2001:db8::1", {"address": "2001:db8::1"}),
        ("/probe dns_top seconds=5s", {"seconds": 5}),
        (
            "/probe object_store b-1.cos.ap-shanghai.myqcloud.com",
            {"url": "https://b-1.cos.ap-shanghai.myqcloud.com", "vendor": "cos"},
        ),
        (
            "/probe api sms.DescribeSmsSignList",
            {
                "vendor": "tencent",
                "service": "sms",
                "action": "DescribeSmsSignList",
                "url": "https://sms.tencentcloudapi.com",
                "version": "2021-01-11",
            },
        ),
    ],
)
def test_a_target_becomes_the_parameters_of_its_kind(line: str, params: dict[str, Any]) -> None:
    (request,) = sent(asked(line + " from office"))
    assert dict(request.params) == params
    assert request.agent == "office"


@pytest.mark.parametrize(
    ("line", "server"),
    [
        ("/probe dns a.test", "@host"),
        ("/probe dns a.test via VPC", "@vpc"),
        ("/probe dns a.test via @public", "@public"),
        ("/probe dns a.test via 9.9.9.9", "9.9.9.9"),
        ("/probe dns a.test via [2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ("/probe dns a.test server=9.9.9.9", "9.9.9.9"),
    ],
)
def test_via_chooses_the_resolver(line: str, server: str) -> None:
    assert {r.params["server"] for r in sent(asked(line + " from east vm"))} == {server}


def test_an_agent_that_names_no_vpc_resolver_asks_the_playbooks_and_one_outside_is_not_asked() -> None:
    bare = Agent(name="bare", region="north", vantage="vm", vpc="grey", resolvers={"host": ("10.0.0.2:53",)})
    run = asked("/probe dns a.test via vpc", (*nights.agents(), bare))
    assert {tuple(r.params["server"]) for r in sent(run) if r.agent == "bare"} == {("183.60.83.19", "183.60.82.98")}
    assert [(name, why.en) for name, why in run.not_asked.items()] == [("office", "it knows no resolver of a VPC")]


def test_a_policy_without_the_kind_is_not_asked_and_alone_it_is_an_error() -> None:
    narrow = Agent(name="narrow", region="north", vantage="vm", kinds=("dns",))
    run = asked("/probe ping 203.0.113.7", (*nights.agents(), narrow))
    assert run.not_asked["narrow"].en == "its policy permits no ping"
    with pytest.raises(UserError, match="no agent can do this: narrow: its policy permits no ping"):
        asked("/probe ping 203.0.113.7 from narrow", (narrow,))


def test_the_agents_of_a_vpc_share_its_dns_budget() -> None:
    run = asked("/probe dns a.test from blue via vpc count=90")
    starts = sorted(
        r.params["start_ms"] + n * r.params["spacing_ms"] for r in sent(run) for n in range(int(r.params["tries"]))
    )
    assert len(starts) == 180
    busiest = max(sum(1 for t in starts if at <= t < at + 1000) for at in starts)
    assert busiest <= 20


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("/probe dns a.test from blue via vpc count=96", "too_many_queries", "write count=95, or name fewer with from"),
        ("/probe http a.test from blue count=50 spacing=1s", "too_long", "take 50 s, at most 30 s"),
        ("/probe dns a.test from office count=20 spacing=2s", "too_long", "/watch"),
    ],
)
def test_what_no_resolver_or_reader_bears_is_refused(line: str, code: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        asked(line)
    assert caught.value.code == code
    assert says in caught.value.text.en


def test_public_resolvers_and_addresses_of_others_are_nobodys_budget() -> None:
    assert len({r.agent for r in sent(asked("/probe dns a.test via public count=150"))}) == 5
    assert sent(asked("/probe dns a.test from blue via 9.9.9.9 count=200"))
    with pytest.raises(UserError, match="blue's resolver"):
        asked(
            "/probe dns a.test from blue via vpc-of-blue count=150".replace("vpc-of-blue", "10.9.9.9"), own_resolver()
        )


def own_resolver() -> tuple[Agent, ...]:
    return tuple(
        Agent(name=f"b{n}", region="east", vantage="vm", vpc="blue", resolvers={"vpc": ("10.9.9.9:53",)})
        for n in range(2)
    )


def crowd(size: int) -> tuple[Agent, ...]:
    return tuple(Agent(name=f"p{n}", region="east", vantage="pod", vpc="blue", cluster="k1") for n in range(size))


def test_without_a_count_a_crowd_tries_as_often_as_its_resolver_bears() -> None:
    assert {r.params["tries"] for r in sent(asked("/probe dns a.test from all", crowd(60)))} == {2, 1}
    with pytest.raises(UserError, match="name fewer with from"):
        asked("/probe dns a.test from all", crowd(200))


def test_lookups_on_the_way_to_a_name_are_spread_as_well() -> None:
    run = asked("/probe http a.test from all", crowd(60))
    assert len(sent(run)) == 60
    for at in range(0, 3000, 50):
        window = [b for b in run.batches if at <= b.after_s * 1000 < at + 1000]
        assert sum(len(b.requests) for b in window) <= 20
    assert max(b.after_s for b in run.batches) <= 60 / 18 + TICK_S
    assert len(asked("/probe http http://203.0.113.7 from all", crowd(60)).batches) == 1


def test_random_names_are_asked_in_one_part_so_that_there_is_one_of_them() -> None:
    assert len(sent(asked("/probe dns a.test from office nonce=true"))) == 1
    assert len(sent(asked("/probe dns a.test from office"))) == 3


@pytest.mark.parametrize(
    "line",
    [
        "/probe dns a.test via vpc count=20",
        "/probe dns a.test from office spacing=1s count=30 nonce=true",
        "/probe http a.test count=5",
        "/probe tcp 203.0.113.7:443 count=5",
        "/probe tls 203.0.113.7",
        "/probe ping 203.0.113.7 count=9",
        "/probe api sms.DescribeSmsSignList count=3",
        "/probe object_store https://b.s3.amazonaws.com",
        "/probe dns_top",
    ],
)
def test_every_request_is_one_that_an_agent_accepts(line: str) -> None:
    for request in sent(asked(line)):
        check(request.kind, request.params)


@pytest.mark.parametrize("kind", sorted(set(KINDS) & set(FORMS)))
def test_the_example_of_every_kind_can_be_asked_and_its_parameters_are_known(kind: str) -> None:
    words = f"/probe {kind} {FORMS[kind].example}".replace("shanghai", "east")
    assert sent(asked(words))
    assert parameters(kind)
    assert not set(spoken(kind)) & {"tries", "timeout_ms", "spacing_ms"}


def test_an_answer_in_parts_is_one_row_and_a_part_that_was_lost_is_said() -> None:
    run = asked("/probe dns a.test from east vm, office")
    for request in sent(run):
        agent = next(a for a in run.agents if a.name == request.agent)
        cut_off = request.agent == "east-vm" and request.id.endswith("part2")
        outcome = (
            failed(Failure.AGENT_LOST, reason="gone") if cut_off else nights.outcome(request, agent, nights.healthy)
        )
        assert run.done < run.total
        run.take(observe(request, agent, outcome, at=nights.AT, took_ms=1))
    assert (run.done, run.total, run.pending) == (2, 2, frozenset())
    counts = {o.agent: (o.detail["ok"], o.detail["tries"]) for o in run.observations()}
    assert counts == {"east-vm": (10, 10), "office": (20, 20)}
    assert {name: why.en for name, why in run.missing().items()} == {"east-vm": "no answer (gone)"}
