"""Right, within two, Brier, false alarms, and the table."""

from __future__ import annotations

from typing import Any

import pytest

from bot.lab.netns import report
from bot.lab.netns.judge import half, judge, score
from bot.lab.netns.models import ExpectModel


def said(*verdict: str, culprit: dict[str, Any] | None = None, took_s: float = 6.0, **shares: float) -> dict[str, Any]:
    hypotheses = [{"id": name, "share": share} for name, share in shares.items()]
    return {"verdict": list(verdict), "hypotheses": hypotheses, "culprit": culprit, "took_s": took_s}


def wanted(*verdict: str, **more: Any) -> ExpectModel:
    return ExpectModel.model_validate({"verdict": list(verdict), **more})


def test_a_sure_and_right_verdict_scores_almost_nothing() -> None:
    found = judge("n", wanted("resolver_down"), said("resolver_down", resolver_down=0.9, inconclusive=0.1))
    assert found.right
    assert found.within_two
    assert found.brier == pytest.approx(0.1**2 + 0.1**2)
    assert not found.confidently_wrong


def test_a_sure_and_wrong_one_scores_almost_two() -> None:
    found = judge("n", wanted("healthy"), said("firewall_block", firewall_block=0.95, healthy=0.05))
    assert (found.right, found.within_two, found.false_alarm) == (False, True, True)
    assert found.brier == pytest.approx(0.95**2 * 2)
    assert found.confidently_wrong == "firewall_block"


def test_two_faults_are_worth_half_each_and_both_must_be_named() -> None:
    both = wanted("resolver_down", "throttled")
    assert judge("n", both, said("throttled", "resolver_down", resolver_down=0.5, throttled=0.5)).brier == 0
    one = judge("n", both, said("throttled", resolver_down=0.3, throttled=0.6, healthy=0.1))
    assert (one.right, one.within_two) == (False, True)


def test_one_cause_at_two_places_counts_once() -> None:
    document = said("slow", slow=0.5)
    document["hypotheses"] += [{"id": "slow", "share": 0.4}]
    assert judge("n", wanted("slow"), document).shares == {"slow": 0.9}


def test_inconclusive_on_a_healthy_world_is_wrong_and_no_false_alarm() -> None:
    found = judge("n", wanted("healthy"), said("inconclusive", inconclusive=0.7, healthy=0.3))
    assert (found.right, found.false_alarm) == (False, False)


@pytest.mark.parametrize(
    ("culprit", "right"),
    [
        ({"kind": "dns_client", "address": "10.0.0.9", "qps": 900}, True),
        ({"kind": "dns_client", "address": "10.0.0.9", "qps": 100}, False),
        ({"kind": "dns_client", "address": "10.0.0.8", "qps": 900}, False),
        (None, False),
    ],
)
def test_the_right_cause_with_the_wrong_culprit_is_not_right(culprit: dict[str, Any] | None, right: bool) -> None:
    expect = wanted("limit", culprit={"kind": "dns_client", "address": "10.0.0.9", "qps": 1000})
    assert judge("n", expect, said("limit", culprit=culprit, limit=1.0)).right is right


def test_a_verdict_that_must_never_come_is_marked_harmful() -> None:
    found = judge("n", wanted("a", never=["b"]), said("b", b=0.5, a=0.5))
    assert found.harmful == ("b",)
    assert "harmful" in report.line(found)[-1]


def test_the_halves_are_chosen_by_the_names_alone() -> None:
    halves = [half(f"night-{n}") for n in range(200)]
    assert halves == [half(f"night-{n}") for n in range(200)]
    assert 70 < halves.count("tuning") < 130


def test_the_score_counts_what_it_says() -> None:
    runs = [
        judge("one", wanted("a"), said("a", a=1.0, took_s=4), queries={"vpc": 40, "other": 8}),
        judge("two", wanted("healthy"), said("a", a=0.9, healthy=0.1, took_s=8), queries={"vpc": 160}),
        judge("three", wanted("healthy"), said("healthy", healthy=1.0, took_s=5)),
    ]
    found = score(runs)
    assert (found.runs, found.top1, found.healthy, found.healthy_right, found.false_alarms) == (3, 0.6667, 2, 1, 1)
    assert (found.median_s, found.worst_s, found.queries_per_minute) == (5, 8, 1200)
    text = report.text(runs)
    assert "top-1 right" in text
    assert "false alarm" in text


def test_one_scenario_is_its_own_document_and_several_come_with_their_scores() -> None:
    run = judge("one", wanted("a"), said("a", a=1.0))
    assert report.document([{"scenario": {}}], [run], {}) == {"scenario": {}}
    several = report.document([{}, {}], [run, run], {"third": "no nft"})
    assert several["failed"] == {"third": "no nft"}
    assert several["score"]["all"]["runs"] == 2
    assert report.document([], [], {"only": "broken"}) == {"runs": [], "failed": {"only": "broken"}, "score": {}}
