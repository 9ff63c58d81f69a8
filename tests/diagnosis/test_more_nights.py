"""Nights whose cause only a comparison of addresses, a follow-up probe or a database's own word can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bot.adapters.playbooks import read_playbook
from bot.diagnosis.investigation import Investigation
from bot.domain.failure import Failure, fault_of
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent, Outcome, ProbeRequest, observe
from tests.diagnosis.nights import AT, HYPOTHESES, PLAYBOOKS, agents, shares

Answer = Callable[[ProbeRequest, Agent], Outcome | None]
HERE, THERE = "203.0.113.7", "203.0.113.9"


def play(answer: Answer, *, playbook: Playbook | None = None, who: Sequence[Agent] | None = None) -> Investigation:
    """A night to its end; what `answer` leaves out (None) is well."""
    known = tuple(who or agents())
    by_name = {a.name: a for a in known}
    run = Investigation(playbook or PLAYBOOKS["sms"], HYPOTHESES, known)
    queue, elapsed = list(run.start()), 0.0
    while queue:
        for request in queue:
            agent = by_name[request.agent]
            outcome = answer(request, agent) or well(request)
            run.take(observe(request, agent, outcome, at=AT, took_ms=1.0))
        elapsed += 3.0
        queue = list(run.more(elapsed_s=elapsed))
    return run


def well(request: ProbeRequest, **detail: Any) -> Outcome:
    tries = int(request.params.get("tries", 1))
    told = {"answers": [HERE]} if request.kind == "dns" else {}
    at = {"address": request.params["address"]} if "address" in request.params else {}
    return Outcome(ok=True, success_rate=1.0, detail={"tries": tries, "ok": tries, **told, **at, **detail})


def bad(request: ProbeRequest, failure: Failure, *, share: float = 0.0, **detail: Any) -> Outcome:
    tries = int(request.params.get("tries", 1))
    ok = int(tries * share)
    at = {"address": request.params["address"]} if "address" in request.params else {}
    return Outcome(
        ok=False,
        failure=failure,
        fault_of=fault_of(failure),
        success_rate=ok / tries,
        detail={"tries": tries, "ok": ok, "failures": {failure.value: tries - ok}, **at, **detail},
    )


def named(run: Investigation) -> tuple[str, ...]:
    return run.verdict().ids


# --- one endpoint of several --------------------------------------------------------------------------------------


def by_region(request: ProbeRequest, agent: Agent) -> str:
    """The address this agent is told, from whichever resolver it asks."""
    return HERE if agent.region == "east" else THERE


def regional_outage(request: ProbeRequest, agent: Agent) -> Outcome | None:
    if request.kind == "dns":
        return well(request, answers=[by_region(request, agent)])
    dead = request.params.get("address") == HERE and request.layer != "control"
    unnamed = "address" not in request.params and request.layer in ("api", "by_name", "store")
    if dead or (unnamed and by_region(request, agent) == HERE):
        return bad(request, Failure.TCP_TIMEOUT)
    return None


def test_an_endpoint_that_is_dead_from_everywhere_is_the_vendors_in_that_region() -> None:
    run = play(regional_outage)
    assert named(run) == ("vendor_outage_regional",), shares(run.verdict())
    assert run.verdict().ranked[0].scope.name == "east"
    tried = {o.detail["address"] for o in run.observations() if o.layer == "http"}
    assert tried == {HERE, THERE}


def hijack(request: ProbeRequest, agent: Agent) -> Outcome | None:
    """Blue's own resolvers answer with an address where nobody speaks for the name; a public one tells the truth."""
    lied_to = agent.vpc == "blue"
    if request.kind == "dns" and lied_to and request.layer in ("dns_host", "dns_vpc", "dns_vpc_tcp"):
        return well(request, answers=[THERE])
    unnamed = "address" not in request.params and request.layer in ("api", "by_name", "store")
    if request.params.get("address") == THERE or (unnamed and lied_to):
        return bad(request, Failure.TLS_WRONG_HOST)
    return None


def test_an_answer_that_a_public_resolver_does_not_give_is_a_wrong_one() -> None:
    run = play(hijack)
    assert named(run) == ("dns_wrong_answer",), shares(run.verdict())
    assert run.verdict().ranked[0].scope.name == "blue"


def two_addresses_for_everybody(request: ProbeRequest, _: Agent) -> Outcome | None:
    return well(request, answers=[HERE, THERE]) if request.kind == "dns" else None


def test_a_name_with_several_addresses_for_everybody_is_tried_at_one() -> None:
    run = play(two_addresses_for_everybody)
    assert named(run) == ("healthy",)
    assert {o.detail["address"] for o in run.observations() if o.layer == "http"} == {HERE}


# --- what a follow-up tells ----------------------------------------------------------------------------------------

DEEP = """
playbook: deep
title: deep
vendor: tencent
targets: {api: https://sms.example}
controls: [https://control.example]
internal: [kubernetes.default.svc.cluster.local]
probe:
  - dns: {of: api, via: [host, vpc, public]}
  - http: {to: api, also: pinned}
  - tcp: {to: api, ports: [80]}
then:
  - dns_top: {seconds: 3}
  - mtu: {to: api}
  - coredns: {seconds: 2}
"""


def stalls(request: ProbeRequest, agent: Agent) -> Outcome | None:
    if agent.vpc != "blue" or request.kind != "http" or request.layer == "control":
        return None
    return bad(request, Failure.TLS_TIMEOUT)


def hole(request: ProbeRequest, agent: Agent) -> Outcome | None:
    if request.kind == "mtu":
        holed = agent.vpc == "blue"
        return replace(well(request, black_hole=holed, path_mtu=1400 if holed else 1500), ok=not holed)
    return stalls(request, agent)


def test_a_stall_after_the_connection_is_swept_for_its_size_and_named() -> None:
    run = play(hole, playbook=read_playbook(DEEP))
    assert [f.kind for f in run.follow_ups] == ["mtu"]
    assert named(run) == ("mtu_black_hole",), shares(run.verdict())
    assert "1400" in run.verdict().ranked[0].findings[2].text.en


def test_the_same_stall_without_a_hole_is_not_one() -> None:
    def no_hole(request: ProbeRequest, agent: Agent) -> Outcome | None:
        return well(request, black_hole=False, path_mtu=1500) if request.kind == "mtu" else stalls(request, agent)

    run = play(no_hole, playbook=read_playbook(DEEP))
    assert [f.kind for f in run.follow_ups] == ["mtu"]
    assert "mtu_black_hole" not in named(run)


def cluster_dns_loses(request: ProbeRequest, agent: Agent) -> Outcome | None:
    if agent.cluster and request.kind == "dns" and request.layer in ("dns_host", "dns_internal", "control_dns"):
        return bad(request, Failure.DNS_TIMEOUT, share=0.5, answers=[HERE])
    if agent.cluster and request.layer == "by_name":
        return bad(request, Failure.DNS_TIMEOUT, share=0.5)
    return None


@pytest.mark.parametrize(("pods_ok", "cause"), [(6, "conntrack_race"), (3, "coredns_overload")])
def test_the_pods_of_coredns_asked_one_by_one_tell_the_node_from_coredns(pods_ok: int, cause: str) -> None:
    def answer(request: ProbeRequest, agent: Agent) -> Outcome | None:
        if request.kind == "coredns":
            pods = [{"address": "10.0.0.5", "tries": 6, "ok": pods_ok, "restarts": 0}]
            return well(
                request, pods=pods, replicas={"wanted": 2, "ready": 2}, nodes=300, sizing={"nodes": 300, "tencent": 10}
            )
        return cluster_dns_loses(request, agent)

    run = play(answer, playbook=read_playbook(DEEP))
    assert "coredns" in [f.kind for f in run.follow_ups]
    assert named(run) == (cause,), shares(run.verdict())


# --- databases -----------------------------------------------------------------------------------------------------


def test_a_database_that_says_it_is_full_is_believed() -> None:
    text = (
        "playbook: orders\ntitle: orders\ntargets: {db: 'mysql://10.0.0.5'}\n"
        "controls: [https://control.example]\nprobe:\n  - mysql: {to: db}\n"
    )

    def full(request: ProbeRequest, _: Agent) -> Outcome | None:
        return bad(request, Failure.DB_TOO_MANY_CONNECTIONS) if request.kind == "mysql" else None

    run = play(full, playbook=read_playbook(text))
    assert named(run) == ("connections_exhausted",), shares(run.verdict())


def test_a_refusal_seen_from_one_place_is_not_called_loss() -> None:
    """A service on a single vantage point was stopped, and the group read that connections are lost on the way out."""
    one = agents()[:1]

    def refuses(request: ProbeRequest, _agent: Agent) -> Outcome | None:
        if request.layer in {"tcp", "tls", "http", "api"}:
            return bad(request, Failure.TCP_REFUSED)
        return None

    ranked = play(refuses, who=one).verdict().ranked
    (loss,) = [r for r in ranked if r.hypothesis.id == "region_egress_loss"]
    assert "connections_fail" not in {finding.evidence.id for finding in loss.findings if finding.holds}
    assert loss.share < 0.3


# --- one of several, some of the time, some of the packets ---------------------------------------------------------

TWO = read_playbook("""
playbook: shop
title: {zh: 商城, en: shop}
targets: {pay: "https://pay.example.com", mail: "https://mail.example.com"}
controls: ["https://www.control.example"]
probe:
  - dns: {of: pay}
  - dns: {of: mail}
  - http: {to: pay, also: pinned}
  - http: {to: mail, also: pinned}
""")


def of_pay(request: ProbeRequest) -> bool:
    return "pay.example.com" in request.target and request.kind == "http"


def test_an_outage_of_one_service_of_two_is_named_with_the_service() -> None:
    run = play(lambda r, _: bad(r, Failure.HTTP_STATUS) if of_pay(r) else None, playbook=TWO)
    leader = run.verdict().ranked[0]
    assert named(run) == ("vendor_outage_global",), shares(run.verdict())
    assert leader.share > 0.9
    assert leader.scope.service == "pay.example.com"
    assert leader.title.en.endswith("(pay.example.com)")
    assert not run.verdict().unexplained


def test_whoever_is_lucky_does_not_clear_a_service_that_fails_half_of_the_time() -> None:
    def half(request: ProbeRequest, agent: Agent) -> Outcome | None:
        if not of_pay(request):
            return None
        return None if agent.name == "west-vm" else bad(request, Failure.HTTP_STATUS, share=0.5)

    run = play(half, playbook=TWO)
    assert named(run) == ("vendor_outage_global",), shares(run.verdict())


def test_one_region_that_always_fails_is_no_bad_luck() -> None:
    east = lambda r, a: bad(r, Failure.HTTP_STATUS) if of_pay(r) and a.region == "east" else None  # noqa: E731
    assert "vendor_outage_global" not in named(play(east, playbook=TWO))


OWN_ADDRESS = {"east": HERE, "west": THERE, "office": "203.0.113.11"}


def one_door_shut(request: ProbeRequest, agent: Agent) -> Outcome | None:
    """Every region is told an address of its own; that of the west refuses."""
    if request.layer in ("control", "control_dns"):
        return None
    mine = OWN_ADDRESS[agent.region]
    if request.kind == "dns":
        return well(request, answers=[mine])
    if request.layer == "neighbour" or request.params.get("address", mine) != THERE:
        return None
    return bad(request, Failure.TCP_REFUSED)


def test_a_door_that_is_shut_where_each_region_has_its_own_is_the_vendors() -> None:
    run = play(one_door_shut)
    assert named(run) == ("vendor_outage_regional",), shares(run.verdict())
    assert run.verdict().ranked[0].scope.name == "west"


def test_everybody_is_tried_at_the_address_it_is_told() -> None:
    run = play(one_door_shut)
    for agent in run.agents:
        tried = {o.detail["address"] for o in run.observations() if o.layer == "http" and o.agent == agent.name}
        assert OWN_ADDRESS[agent.region] in tried


def a_sixth_is_lost(request: ProbeRequest, agent: Agent) -> Outcome | None:
    """TCP gets everything through, some of it late; datagrams to the public resolver are gone."""
    if agent.region != "east":
        return None
    if request.layer == "dns_public":
        return bad(request, Failure.DNS_TIMEOUT, share=0.8)
    if request.kind in ("http", "api"):
        tries = int(request.params.get("tries", 1))
        return well(request, each=[{"ms": 4.0 if n % 2 else 1012.0, "failure": None} for n in range(tries)])
    return None


def test_loss_that_tcp_repairs_is_seen() -> None:
    run = play(a_sixth_is_lost)
    assert named(run) == ("region_egress_loss",), shares(run.verdict())
    assert run.verdict().ranked[0].scope.name == "east"
