"""An unsure verdict asks: of whom, what, and why there is no answer yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.app import asking, deciding
from bot.app.deciding import questions
from bot.diagnosis.expressions import paths
from bot.diagnosis.history import CHANGE_FIELDS
from bot.diagnosis.investigation import Investigation
from bot.domain.layers import LAYER_IDS
from bot.domain.text import Text
from tests.app import explaining
from tests.diagnosis import nights

COUNTED = {"red", "green", "vpcs", "regions", "agents", "red_layers"}
"""Facts that are always known."""


def asked(name: str, *, without: str = "") -> list[str]:
    night = explaining.night(name)
    night = night.without_kind(without) if without else night
    return [question.text.en for question in questions(explaining.told(night))]


def question(run: Investigation, evidence: str) -> Text:
    """The question for one piece of open evidence, however sure the verdict is."""
    found = deciding.unknowns(run.verdict().ranked)
    ranked, finding = next((r, f) for r, f in found if f.evidence.id == evidence)
    text = deciding.question(run, run.picture(), ranked, finding)
    assert text is not None
    return text


def test_there_is_a_question_for_every_fact_that_evidence_rests_on() -> None:
    words = {*asking.LAYERS, *asking.FIELDS, *asking.ABOUT, *COUNTED}
    for hypothesis in nights.HYPOTHESES:
        for evidence in hypothesis.evidence:
            for path in paths(evidence.when.source):
                key = "changes" if path.startswith("changes.") else path.split(".")[1]
                assert key in words, f"{hypothesis.id}/{evidence.id}: {path}"
    assert set(asking.LAYERS) == set(LAYER_IDS)
    assert CHANGE_FIELDS


def test_a_sure_verdict_asks_nothing() -> None:
    assert asked("security-group-typo") == []


def test_what_nobody_measured_is_asked_of_the_vantage_points_that_could() -> None:
    assert asked("coredns-drowns", without="dns") == [
        "does the DNS that is configured on dakar pod answer? (not measured)",
        "does the VPC's DNS answer from dakar pod and dakar vm? (not measured)",
        "do the cluster's own names resolve from dakar pod? (not measured)",
    ]


def test_whether_an_address_works_is_asked_only_of_one_that_is_told() -> None:
    told = "does region fargo resolve to the same addresses as everybody else? (not measured)"
    assert asked("one-region-of-the-vendor", without="dns")[0] == told
    assert not [q for q in asked("blocked-with-a-frozen-pod", without="http") if "resolves to" in q]


def test_a_silent_neighbour_is_told_as_the_reason() -> None:
    run = explaining.told(explaining.night("poison-in-one-of-three").without_agent("umea-vm2"))
    asked_en = question(run, "neighbours_are_told_otherwise").en
    assert asked_en.startswith("does another VPC of the region resolve to the same address as VPC se?")
    assert asked_en.endswith(" (the vantage points there did not answer)")


def test_green_with_a_silent_region_asks_for_the_silent_region_only() -> None:
    assert asked("silent-region-is-no-proof") == [
        "get vantage point bonn vm (bonn-vm) to answer (no answer within 11 s)"
    ]


def test_a_kind_that_nobody_may_ask_is_to_be_allowed() -> None:
    assert "let the policy of some agent allow the probe api" in asked("quiet-tuesday", without="api")


def test_a_place_in_which_nobody_looks_is_said() -> None:
    only = tuple(a for a in nights.agents() if a.vantage != "vm2")
    run = nights.investigate(nights.vpc_dns_rate_limited, who=only)
    text = question(run, "same_region_fine")
    assert text.en == "does the VPC's DNS answer from another VPC of east? (no vantage point there)"
    assert text.zh == "从 east 的另一个 VPC 问 VPC DNS 正常吗？（那里没有观测点）"


@pytest.mark.parametrize("name", ["所有", "no"])
def test_a_chinese_place_stands_without_spaces(name: str) -> None:
    night = explaining.night("coredns-drowns").without_kind("dns")
    agents = tuple(replace(a, region=name) if a.region == "dakar" else a for a in night.agents)
    seen, more = (
        tuple(replace(o, region=name) if o.region == "dakar" else o for o in part)
        for part in (night.observations, night.more)
    )
    run = explaining.told(replace(night, agents=agents, observations=seen, more=more))
    first = questions(run)[0].text.zh
    assert first == f"{name} pod 自己配置的 DNS 解析正常吗？（没有测）"
