"""A lying agent may be wrong; it may not break a run."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.app.cards import progress_card, verdict_card
from bot.app.document import document
from bot.app.evidence import evidence_pack
from bot.diagnosis.investigation import Investigation
from bot.domain.incident import Run
from bot.domain.message import from_json, to_json
from bot.domain.probe import observe
from bot.wire.details import believable
from tests.diagnosis import nights
from tests.wire.strategies import json_objects

FIELDS = [
    *("tries", "ok", "failures", "answers", "code", "date_skew_ms", "each", "rcodes"),
    *("resolvers", "clients", "qps", "timeouts", "p50_ms", "reason"),
    *("total", "counts", "samples", "value", "series", "pods", "changes", "components", "incidents", "lacking"),
    *("hops", "reached", "path_mtu", "black_hole", "reported_by", "offset_ms", "stratum", "loss"),
]
JUNK: list[Any] = [
    None,
    True,
    -1,
    1e308,
    10**30,
    10**400,
    float("nan"),
    float("inf"),
    "\ud800<b>",
    [],
    {},
    [1, "a", None],
    [[]],
    [{}],
    {"dns_timeout": "x"},
    {"dns_timeout": -4, "gremlins": 3},
    [{"address": None, "qps": "fast", "share": None}],
    [{"address": "192.0.2.1"}],
]


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), st.sampled_from(JUNK) | json_objects, max_size=8))
def test_a_detail_made_believable_stays_as_it_is_and_is_json(detail: dict[str, Any]) -> None:
    once = believable(detail)
    json.dumps(once, allow_nan=False).encode()
    assert believable(once) == once


def test_honest_details_pass_unchanged() -> None:
    honest = {
        "tries": 20,
        "ok": 2,
        "failures": {"dns_timeout": 18},
        "answers": ["192.0.2.1"],
        "each": [{"ms": None, "failure": "dns_timeout", "resolver": "10.0.0.2:53"}],
        "clients": [{"address": "10.3.7.21", "qps": 2140.5, "share": 0.96, "distinct": 900, "nxdomain_share": None}],
        "certificate": {"subject": "CN=x", "days_left": -3},
    }
    assert believable(honest) == honest


def test_honest_details_of_paths_and_clocks_pass_unchanged() -> None:
    hop = {"ttl": 1, "address": None, "sent": 3, "received": 0, "loss": 1.0, "min_ms": None, "jitter_ms": None}
    far = {"ttl": 2, "address": "10.0.0.1", "sent": 3, "received": 3, "loss": 0.0, "said": "prohibited"}
    for honest in (
        {"method": "icmp", "proto": "icmp", "hops": [hop, far], "reached": False, "lacking": ["CAP_NET_RAW missing"]},
        {"path_mtu": 1400, "local_mtu": 1500, "black_hole": True, "capped": False, "tries": 40},
        {"offset_ms": -4.3e12, "uncertainty_ms": 21.5, "delay_ms": 0.4, "stratum": 2, "leap": 0, "reference_id": "GPS"},
        {"loss": 0.25, "min_ms": 0.1, "avg_ms": 0.2, "max_ms": 0.3, "mdev_ms": 0.05, "size": 1472, "df": True},
    ):
        assert believable(honest) == honest


def test_a_path_that_is_made_up_is_dropped_and_named() -> None:
    seen = believable({"hops": [{"ttl": 0}], "black_hole": "yes", "path_mtu": -1, "offset_ms": float("nan")})
    assert seen == {"malformed": ["hops", "black_hole", "path_mtu", "offset_ms"]}


def test_a_field_of_the_wrong_shape_is_dropped_and_named() -> None:
    assert believable({"tries": "many", "answers": 7, "ok": 3}) == {"ok": 3, "malformed": ["tries", "answers"]}
    assert believable({"tries": 2, "ok": 5}) == {"malformed": ["ok", "tries"]}


@pytest.mark.parametrize("seed", range(40))
def test_a_run_among_liars_still_ends_with_an_answer(seed: int) -> None:
    dice = random.Random(seed)
    run = Investigation(nights.PLAYBOOKS["sms"], nights.HYPOTHESES, nights.agents())
    by_name = {a.name: a for a in nights.agents()}
    queue, elapsed = list(run.start()), 0.0
    while queue:
        for request in queue:
            told = nights.outcome(request, by_name[request.agent], nights.vpc_dns_rate_limited)
            if dice.random() < 0.4:
                lies = {field: dice.choice(JUNK) for field in dice.sample(FIELDS, 4)}
                told = replace(told, ok=dice.random() < 0.5, detail=believable({**told.detail, **lies}))
            run.take(observe(request, by_name[request.agent], told, at=nights.AT, took_ms=1.0))
        elapsed += 3.0
        queue = list(run.more(elapsed_s=elapsed))
    progress_card(run, pending=frozenset())
    card = verdict_card(run, took_s=1.0, incident=None)
    assert from_json(json.loads(json.dumps(to_json(card)))) == card
    found = document(run, nights.RUN, took_s=1.0, lang="zh")
    json.dumps(found, allow_nan=False)
    of = Run(id="r", playbook="sms", room="x:y", user="u", started_at=nights.AT)
    assert evidence_pack(of, found, zone=ZoneInfo("UTC"))
    assert run.verdict().ids
