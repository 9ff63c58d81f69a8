"""Whole nights, from what every vantage point would see to the verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.app.cards import verdict_card
from bot.app.document import document
from bot.diagnosis.hypothesis import INCONCLUSIVE
from bot.diagnosis.investigation import Investigation
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, ProbeRequest
from bot.domain.text import Lang
from tests.diagnosis import nights
from tests.diagnosis.nights import CRAWLER, HYPOTHESES, PLAYBOOKS, Rule, agents, investigate, lost, shares

SINGLE = [
    "healthy",
    "vpc_dns_rate_limited",
    "permission_revoked",
    "firewall_block",
    "vendor_outage_global",
    "certificate_expired",
    "resolver_down",
    "coredns_overload",
    "vendor_throttled",
    "credential_invalid",
    "vendor_quota",
    "vendor_allowlist",
    "vantage_faulty",
    "region_egress_loss",
]


def rule(name: str) -> Rule:
    return getattr(nights, name)


@pytest.mark.parametrize("name", SINGLE)
def test_each_night_gets_its_own_name(name: str) -> None:
    verdict = investigate(rule(name), top=CRAWLER if name == "vpc_dns_rate_limited" else None).verdict()
    assert verdict.ids == (name,), shares(verdict)


@pytest.mark.parametrize("name", SINGLE)
def test_all_shares_sum_to_one(name: str) -> None:
    verdict = investigate(rule(name)).verdict()
    assert sum(r.share for r in verdict.ranked) + verdict.inconclusive_share == pytest.approx(1)


def test_the_crawler_is_named_with_its_rate() -> None:
    (leader,) = investigate(nights.vpc_dns_rate_limited, top=CRAWLER).verdict().leaders()
    assert leader.culprit() == {
        "kind": "dns_client",
        "address": "10.3.7.21",
        "qps": 2140.0,
        "share": 0.96,
        "distinct": 6000,
    }
    assert "10.3.7.21" in leader.remedy.zh
    assert leader.scope.name == "blue"


def test_without_anybody_who_may_look_at_dns_clients_there_is_a_verdict_but_no_culprit() -> None:
    verdict = investigate(nights.vpc_dns_rate_limited).verdict()
    assert verdict.ids == ("vpc_dns_rate_limited",)
    assert verdict.leaders()[0].culprit() is None


def test_dns_top_is_asked_only_when_a_leading_hypothesis_wants_it() -> None:
    limited = investigate(nights.vpc_dns_rate_limited, top=CRAWLER)
    assert [f.kind for f in limited.follow_ups] == ["dns_top"]
    assert investigate(nights.permission_revoked).follow_ups == []


@pytest.mark.parametrize("gone", [a.name for a in agents()])
def test_a_silent_vantage_point_is_never_evidence_of_health(gone: str) -> None:
    verdict = investigate(nights.healthy, who=lost(gone)).verdict()
    assert verdict.ids == (INCONCLUSIVE,)
    assert verdict.missing == (gone,)


@pytest.mark.parametrize("gone", [a.name for a in agents()])
@pytest.mark.parametrize("name", ["vpc_dns_rate_limited", "firewall_block", "permission_revoked"])
def test_one_silent_vantage_point_does_not_make_the_verdict_wrong(gone: str, name: str) -> None:
    verdict = investigate(rule(name), who=lost(gone), top=CRAWLER).verdict()
    assert verdict.ids in ((name,), (INCONCLUSIVE,)), shares(verdict)
    assert gone in verdict.missing


def test_an_agent_lost_in_the_middle_counts_as_missing() -> None:
    run = investigate(nights.healthy)
    seen = run.observations()[0]
    run.take(replace(seen, agent="west-vm", ok=False, failure=Failure.AGENT_LOST, fault_of=FaultOf.AGENT))
    assert run.verdict().ids == (INCONCLUSIVE,)
    assert run.missing() == ("west-vm",)


def test_a_vantage_point_the_playbook_expects_and_nobody_runs_is_missing() -> None:
    from bot.domain.playbook import Expected

    wanted = replace(PLAYBOOKS["sms"], expect=(Expected(vantage="pod", region="west"),))
    verdict = investigate(nights.healthy, playbook=wanted).verdict()
    assert verdict.ids == (INCONCLUSIVE,)
    assert verdict.missing == ("west/pod",)


def test_without_a_second_vpc_the_card_says_that_vpc_and_region_cannot_be_told_apart() -> None:
    only = tuple(a for a in agents() if a.vantage != "vm2")
    run = investigate(nights.vpc_dns_rate_limited, who=only)
    said = [b for b in verdict_card(run, took_s=8.4, incident=None) if getattr(b, "label", None)]
    assert any("cannot be told apart" in b.text.en for b in said if hasattr(b, "text"))


def test_two_faults_are_both_named_and_each_explains_its_own_cells() -> None:
    verdict = investigate(nights.two_faults, top=CRAWLER).verdict()
    assert set(verdict.ids) == {"vpc_dns_rate_limited", "permission_revoked"}
    by_id = {r.hypothesis.id: r for r in verdict.leaders()}
    assert {layer for _, layer, _ in by_id["permission_revoked"].explained} == {"api_signed"}
    assert "api_signed" not in {layer for _, layer, _ in by_id["vpc_dns_rate_limited"].explained}
    assert all(0.4 < r.share < 0.6 for r in verdict.leaders())
    assert not verdict.unexplained


def test_the_same_observations_in_another_order_give_the_same_verdict() -> None:
    from bot.diagnosis.rank import diagnose, picture

    run = investigate(nights.vpc_dns_rate_limited, top=CRAWLER)
    there = diagnose(picture(run.observations(), agents()), HYPOTHESES)
    back = diagnose(picture(list(reversed(run.observations())), agents()), HYPOTHESES)
    assert shares(there) == shares(back)
    assert there.ids == back.ids == ("vpc_dns_rate_limited",)


def test_nothing_measured_is_inconclusive_and_not_healthy() -> None:
    from bot.diagnosis.rank import diagnose, picture

    verdict = diagnose(picture([], agents()), HYPOTHESES)
    assert verdict.ids == (INCONCLUSIVE,)
    assert verdict.inconclusive_share == 1.0


def test_the_names_of_regions_vpcs_and_agents_do_not_matter() -> None:
    def renamed(name: str) -> str:
        return "" if not name else f"x-{name[::-1]}"

    others = tuple(
        replace(a, name=renamed(a.name), region=renamed(a.region), cluster=renamed(a.cluster)) for a in agents()
    )
    verdict = investigate(nights.vpc_dns_rate_limited, who=others, top=CRAWLER).verdict()
    assert verdict.ids == ("vpc_dns_rate_limited",)


def test_object_storage_down_for_the_same_reason_gets_the_same_name() -> None:
    verdict = investigate(nights.vpc_dns_rate_limited, playbook=PLAYBOOKS["cos"], top=CRAWLER).verdict()
    assert verdict.ids == ("vpc_dns_rate_limited",)


def test_the_document_has_every_field_scripts_rely_on() -> None:
    run = investigate(nights.vpc_dns_rate_limited, top=CRAWLER)
    found = document(run, nights.RUN, took_s=8.4, lang="en")
    wanted = {"playbook", "incident", "started_at", "took_s", "agents", "observations", "verdict"}
    assert wanted | {"hypotheses", "culprit", "missing", "next"} <= set(found)
    assert found["verdict"] == ["vpc_dns_rate_limited"]
    assert sum(h["share"] for h in found["hypotheses"]) == pytest.approx(1, abs=0.002)
    assert {"id", "title", "share", "explains", "evidence", "remedy", "owner"} <= set(found["hypotheses"][0])
    assert {"text", "weight", "for"} <= set(found["hypotheses"][0]["evidence"][0])
    row = found["observations"][0]
    fields = "probe kind target agent region vantage env vpc ok failure fault_of success_rate timings_ms detail"
    assert set(fields.split()) <= set(row)


@pytest.mark.parametrize("playbook", ["sms", "cos"])
def test_one_lost_connection_is_not_called_a_vendor_outage(playbook: str) -> None:
    def hiccup(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
        lossy = agent.vantage == "outside" and request.layer == "http"
        return (int(request.params["tries"]) - 1, Failure.TCP_TIMEOUT) if lossy else None

    verdict = investigate(hiccup, playbook=PLAYBOOKS[playbook]).verdict()
    assert "vendor_outage_global" not in verdict.ids, shares(verdict)


def test_an_api_that_fails_from_one_region_only_is_no_global_outage() -> None:
    def regional(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
        return (0, Failure.HTTP_STATUS) if agent.region == "east" and request.layer.startswith("api") else None

    verdict = investigate(regional).verdict()
    assert "vendor_outage_global" not in verdict.ids, shares(verdict)


def test_a_limit_that_counts_dns_over_tcp_as_well_is_one_fault_and_not_two() -> None:
    def limited(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
        if agent.vpc == "blue" and request.layer == "dns_vpc_tcp":
            return 0, Failure.DNS_TIMEOUT
        return nights.vpc_dns_rate_limited(request, agent)

    verdict = investigate(limited, top=CRAWLER).verdict()
    assert verdict.ids == ("vpc_dns_rate_limited",), shares(verdict)
    assert not verdict.unexplained


def test_both_vpcs_of_a_region_losing_speaks_against_a_limit_of_one() -> None:
    def both(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
        return nights.vpc_dns_rate_limited(request, replace(agent, vpc="blue") if agent.region == "east" else agent)

    (leader,) = investigate(both, top=CRAWLER).verdict().ranked[:1]
    told = {f.evidence.id: f.holds for f in leader.findings}
    assert told["same_region_fine"] is False


def test_a_firewall_may_block_every_port_of_the_target() -> None:
    def blocked(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
        if agent.vpc == "blue" and request.layer == "neighbour":
            return 0, Failure.TCP_TIMEOUT
        return nights.firewall_block(request, agent)

    verdict = investigate(blocked).verdict()
    assert verdict.ids == ("firewall_block",)
    assert not verdict.unexplained


def test_an_agent_that_may_measure_nothing_is_missing_and_not_green() -> None:
    run = investigate(nights.healthy)
    deaf = [
        replace(seen, ok=False, failure=Failure.POLICY_DENIED, fault_of=FaultOf.POLICY, detail={"reason": "no rule"})
        if seen.agent == "west-vm"
        else seen
        for seen in run.observations()
    ]
    again = Investigation(PLAYBOOKS["sms"], HYPOTHESES, agents())
    for seen in deaf:
        again.take(seen)
    assert again.verdict().ids == (INCONCLUSIVE,)
    assert again.missing() == ("west-vm",)
    assert "no rule" in again.why_missing()["west-vm"]


def test_an_agent_nothing_may_be_asked_of_is_missing() -> None:
    who = tuple(replace(a, kinds=("mysql",)) if a.name == "west-vm" else a for a in agents())
    verdict = investigate(nights.healthy, who=who).verdict()
    assert verdict.ids == (INCONCLUSIVE,)
    assert verdict.missing == ("west-vm",)


def test_while_the_culprit_is_unknown_the_remedy_says_how_to_find_it() -> None:
    (unknown,) = investigate(nights.vpc_dns_rate_limited).verdict().leaders()
    assert "?" not in unknown.remedy.zh + unknown.remedy.en
    assert unknown.remedy != investigate(nights.vpc_dns_rate_limited, top=CRAWLER).verdict().leaders()[0].remedy


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_no_text_of_a_verdict_has_a_hole_in_it(name: str, lang: Lang) -> None:
    for leader in investigate(rule(name)).verdict().leaders():
        said = [leader.title, leader.remedy, *(f.text for f in leader.findings if f.holds is not None)]
        assert not [text.in_(lang) for text in said if "?" in text.in_(lang)]
