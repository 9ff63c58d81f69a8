"""The diag document: the keys that scripts rely on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bot.app.document import document
from tests.diagnosis import nights

KEYS = {
    "playbook",
    "incident",
    "started_at",
    "took_s",
    "agents",
    "observations",
    "verdict",
    "hypotheses",
    "culprit",
    "missing",
    "next",
}


def of(rule: nights.Rule, **more: Any) -> dict[str, Any]:
    run = nights.investigate(rule, **more)
    found = document(run, replace(nights.RUN, incident="INC-1"), took_s=8.4213, lang="en")
    return dict(json.loads(json.dumps(found, allow_nan=False)))


def test_the_nights_document_names_cause_evidence_and_culprit() -> None:
    found = of(nights.vpc_dns_rate_limited, top=nights.CRAWLER)
    assert found.keys() >= KEYS
    assert found["verdict"] == ["vpc_dns_rate_limited"]
    assert found["culprit"]["kind"] == "dns_client"
    assert (found["culprit"]["address"], found["culprit"]["qps"]) == ("10.3.7.21", 2140.0)
    assert (found["took_s"], found["incident"], found["missing"]) == (8.421, "INC-1", [])
    first = found["hypotheses"][0]
    assert first["id"] == "vpc_dns_rate_limited"
    assert first["explains"]
    assert all(e.keys() >= {"text", "weight", "for"} for e in first["evidence"])
    assert first["remedy"]
    assert first["owner"]


@pytest.mark.parametrize("rule", [nights.healthy, nights.two_faults, nights.vantage_faulty, nights.firewall_block])
def test_shares_add_up_and_are_in_order(rule: Callable[..., Any]) -> None:
    shares = [h["share"] for h in of(rule)["hypotheses"]]
    assert abs(sum(shares) - 1) < 0.01
    assert shares == sorted(shares, reverse=True)


def test_an_observation_says_who_saw_what_and_how_often() -> None:
    seen = next(o for o in of(nights.vpc_dns_rate_limited)["observations"] if not o["ok"])
    wanted = {"probe", "kind", "target", "agent", "region", "vantage", "env", "vpc", "ok", "failure", "fault_of"}
    assert seen.keys() >= wanted | {"success_rate", "timings_ms", "detail"}


def test_a_vantage_point_that_is_gone_is_missing_with_its_name() -> None:
    found = of(nights.healthy, who=nights.lost("west-vm"))
    assert [m.partition(":")[0] for m in found["missing"]] == ["west-vm"]
    assert found["culprit"] is None
