"""What another probe is expected to tell, before it is asked."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.diagnosis.expressions import Expression
from bot.diagnosis.facts import Scope
from bot.diagnosis.hypothesis import Culprit, Evidence, Finding, Hypothesis, Ranked, Verdict
from bot.diagnosis.worth import candidates, likelihoods
from bot.domain.text import same

SCOPE = Scope(kind="vpc", name="blue", region="east", agents=frozenset({"a"}))


def evidence(when: str, *, yes: float = 2.0, no: float = -2.0) -> Evidence:
    return Evidence(id="e", when=Expression(when), yes=yes, no=no, text=same("-"))


def ranked(name: str, share: float, *unknown: Evidence, asks: tuple[str, ...], culprit: str = "") -> Ranked:
    hypothesis = Hypothesis(
        id=name,
        title=same(name),
        scopes=("vpc",),
        prior=0.0,
        evidence=unknown,
        explains=Expression("true"),
        remedy=same("-"),
        owner=same("-"),
        next=asks,
        culprit=Culprit(kind="dns_client", fields={"address": Expression(culprit)}) if culprit else None,
    )
    findings = tuple(Finding(evidence=e, holds=None, text=same("-")) for e in unknown)
    return Ranked(
        hypothesis=hypothesis,
        scope=SCOPE,
        logit=0.0,
        findings=findings,
        explained=frozenset(),
        facts={"inside": {}},
        share=share,
    )


def verdict(*leaders: Ranked) -> Verdict:
    return Verdict(
        ids=(leaders[0].hypothesis.id,), ranked=leaders, inconclusive_share=1 - sum(r.share for r in leaders)
    )


TOP = evidence("inside.top.share > 0.5")
MTU = evidence("inside.mtu.black_hole")


def test_two_causes_that_are_close_are_worth_a_probe_that_one_of_them_rests_on() -> None:
    (found,) = candidates(
        verdict(ranked("limit", 0.5, TOP, asks=("dns_top",)), ranked("down", 0.4, asks=())), ["dns_top", "mtu"]
    )
    assert (found.kind, found.ranked.hypothesis.id) == ("dns_top", "limit")
    assert found.bits > 0.2


def test_a_clear_leader_is_worth_no_probe() -> None:
    assert candidates(verdict(ranked("limit", 0.999, TOP, asks=("dns_top",))), ["dns_top"]) == []


def test_a_clear_leader_whose_culprit_has_no_name_is_worth_the_probe_that_names_it() -> None:
    leader = ranked("limit", 0.999, TOP, asks=("dns_top",), culprit="inside.top.client")
    (found,) = candidates(verdict(leader), ["dns_top"])
    assert found.kind == "dns_top"


def test_a_probe_whose_evidence_is_known_already_is_worth_nothing() -> None:
    leader = ranked("limit", 0.5, TOP, asks=("dns_top",))
    known = replace(leader, findings=(Finding(evidence=TOP, holds=True, text=same("-")),))
    assert candidates(verdict(known, ranked("down", 0.4, asks=())), ["dns_top"]) == []


def test_what_tells_more_per_second_comes_first() -> None:
    strong, weak = evidence("inside.mtu.black_hole", yes=3, no=-3), evidence("inside.top.share > 0.5", yes=0.5, no=-0.5)
    close = verdict(ranked("hole", 0.45, strong, asks=("mtu",)), ranked("limit", 0.45, weak, asks=("dns_top",)))
    assert [c.kind for c in candidates(close, ["dns_top", "mtu"])] == ["mtu"]


def test_only_what_a_leading_cause_asks_for_is_considered() -> None:
    close = verdict(ranked("limit", 0.5, TOP, MTU, asks=("dns_top",)), ranked("down", 0.4, asks=()))
    assert [c.kind for c in candidates(close, ["mtu"])] == []


@given(st.floats(0.01, 6), st.floats(-6, -0.01))
def test_the_weights_come_back_out_of_the_likelihoods(yes: float, no: float) -> None:
    own, other = likelihoods(evidence("true", yes=yes, no=no))
    assert 0 <= other <= own <= 1
    assert math.log(own / other) == pytest.approx(yes)
    assert math.log((1 - own) / (1 - other)) == pytest.approx(no, abs=1e-6)


def test_weights_of_one_sign_are_no_likelihoods() -> None:
    assert likelihoods(evidence("true", yes=1.0, no=0.0)) == (0.5, 0.5)
