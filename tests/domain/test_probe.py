"""Requests, observations, and the interval behind a success rate."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, Observation, Outcome, ProbeRequest, observe, wilson

AT = datetime(2026, 1, 15, 15, 0, tzinfo=UTC)
REQUEST = ProbeRequest(id="7", probe="dns/api/vpc", kind="dns", layer="dns_vpc", target="sms.example", agent="sh-vm")
AGENT = Agent(name="sh-vm", region="shanghai", vantage="vm", env="prod", vpc="blue")
FAILED = Outcome(
    ok=False,
    failure=Failure.DNS_TIMEOUT,
    fault_of=FaultOf.RESOLVER,
    success_rate=0.1,
    timings_ms={"dns": 12.5},
    detail={"tries": 20, "ok": 2},
)


def test_an_outcome_gets_its_place_in_the_matrix() -> None:
    seen = observe(REQUEST, AGENT, FAILED, at=AT, took_ms=5000)
    assert (seen.region, seen.vantage, seen.vpc, seen.layer, seen.tries) == ("shanghai", "vm", "blue", "dns_vpc", 20)


def test_an_observation_survives_json() -> None:
    seen = observe(REQUEST, AGENT, FAILED, at=AT, took_ms=5000)
    assert Observation.from_json(json.loads(json.dumps(seen.to_json()))) == seen


@pytest.mark.parametrize(
    "broken", [{"failure": "bad_luck"}, {"fault_of": "nobody"}, {"at": "yesterday"}, {"took_ms": "x"}]
)
def test_a_malformed_observation_is_refused(broken: dict[str, str]) -> None:
    row = observe(REQUEST, AGENT, FAILED, at=AT, took_ms=5000).to_json()
    with pytest.raises(ValueError, match=r".+"):
        Observation.from_json({**row, **broken})
    del row["probe"]
    with pytest.raises(KeyError):
        Observation.from_json(row)


@pytest.mark.parametrize(
    ("ok", "tries", "low", "high"),
    [(0, 0, 0, 1), (2, 20, 0.0279, 0.3010), (20, 20, 0.8389, 1), (0, 20, 0, 0.1611)],
)
def test_few_tries_leave_a_wide_interval(ok: int, tries: int, low: float, high: float) -> None:
    assert wilson(ok, tries) == (pytest.approx(low, abs=2e-4), pytest.approx(high, abs=2e-4))


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_rate_and_stays_within_0_and_1(counted: tuple[int, int]) -> None:
    ok, tries = counted
    low, high = wilson(ok, tries)
    assert 0 <= low <= ok / tries <= high <= 1
