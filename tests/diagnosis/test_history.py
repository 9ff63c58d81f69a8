"""What is normal, since when, and what was changed before: how the verdict uses what patrols and change feeds know."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.adapters.playbooks import read_playbook
from bot.diagnosis import replay
from bot.diagnosis.facts import facts, scopes
from bot.diagnosis.history import NOTHING, History, recall
from bot.diagnosis.investigation import Investigation
from bot.diagnosis.rank import picture
from bot.domain.change import Change, ChangeKind
from bot.domain.failure import Failure
from bot.domain.patrol import Sample
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent, ProbeRequest
from tests.diagnosis import nights
from tests.diagnosis.nights import AT, PLAYBOOKS

OWN = read_playbook("""
playbook: shop
title: {zh: 商城, en: shop}
targets: {pay: "https://pay.example", shop: "https://shop.example"}
own: shop
controls: [https://www.example.org]
probe:
  - dns: {of: pay}
  - http: {to: pay}
  - http: {to: shop, path: /healthz}
""")


def investigate(
    rule: nights.Rule,
    history: History = NOTHING,
    *,
    playbook: Playbook | None = None,
    slower: Callable[[ProbeRequest], float] = lambda _: 1.0,
) -> Investigation:
    """Play a night, some probes taking a multiple of their usual time."""
    known = {a.name: a for a in nights.agents()}
    run = Investigation(playbook or PLAYBOOKS["sms"], nights.HYPOTHESES, tuple(known.values()), history=history)
    queue, elapsed = list(run.start()), 0.0
    while queue:
        for request in queue:
            seen = nights.see(request, known[request.agent], rule)
            times = {name: ms * slower(request) for name, ms in seen.timings_ms.items()}
            if request.kind == "http":
                times |= {"tcp": 5.0, "tls": 5.0, "first_byte": times["total"]}
            run.take(replace(seen, timings_ms=times))
        elapsed += 3.0
        queue = list(run.more(elapsed_s=elapsed))
    return run


def samples(*, red: frozenset[str] = frozenset(), since: datetime = AT) -> Sequence[Sample]:
    """Three hours of rounds with normal times; the `red` layers fail from `since` on."""
    normal = investigate(nights.healthy).picture().cells
    return [
        Sample(at=at, agent=c.agent, layer=c.layer, tries=2, ok=0 if c.layer in red and at >= since else 2, ms=c.ms)
        for n in range(180)
        for at in [AT - timedelta(minutes=180 - n)]
        for c in normal
    ]


def everything(run: Investigation) -> Any:
    seen = run.picture()
    return facts(seen, scopes("everywhere", seen.agents)[0])


def change(minutes: float, kind: ChangeKind = ChangeKind.DEPLOY, **words: str) -> Change:
    return Change(at=AT - timedelta(minutes=minutes), kind=kind, title="sms-gateway v1.4.2", **words)


def is_pinned(request: ProbeRequest) -> bool:
    return request.layer in ("http", "api_signed")


def test_slow_but_not_down_is_told_from_healthy_by_what_is_normal() -> None:
    normal = recall(samples(), now=AT, until=AT)
    slow = investigate(nights.healthy, normal, slower=lambda r: 60.0 if is_pinned(r) else 1.0)
    assert slow.verdict().ids == ("dependency_slow",)
    assert slow.verdict().share > 0.6
    assert investigate(nights.healthy, normal).verdict().ids == ("healthy",)
    assert investigate(nights.healthy, normal, slower=lambda _: 2.0).verdict().ids == ("healthy",)


def test_without_a_baseline_slow_is_unknown_and_not_claimed() -> None:
    run = investigate(nights.healthy, slower=lambda r: 60.0 if is_pinned(r) else 1.0)
    assert run.verdict().ids == ("healthy",)
    assert "slow" not in everything(run)["all"]["http"]
    assert "baseline_ms" not in everything(run)["all"]["http"]


def test_when_everything_is_slow_the_dependency_is_not_blamed() -> None:
    run = investigate(nights.healthy, recall(samples(), now=AT, until=AT), slower=lambda _: 60.0)
    assert "dependency_slow" not in run.verdict().ids


def test_a_group_is_slow_when_each_of_its_vantage_points_is() -> None:
    def one_place(request: ProbeRequest) -> float:
        return 60.0 if request.agent == "east-vm" else 1.0

    run = investigate(nights.healthy, recall(samples(), now=AT, until=AT), slower=one_place)
    told = everything(run)["all"]["http"]
    assert (told["slow"], told["some_slow"]) == (False, True)
    assert told["baseline_ms"] == nights.GOOD_MS
    assert run.verdict().ids == ("healthy",)


def own_is_broken(request: ProbeRequest, _agent: Agent) -> tuple[int, Failure] | None:
    return (0, Failure.HTTP_STATUS) if request.layer == "service" else None


def test_our_own_endpoint_red_with_every_dependency_green_is_our_own_fault() -> None:
    run = investigate(own_is_broken, playbook=OWN)
    assert run.verdict().ids == ("own_service_fault",)
    assert run.verdict().leaders()[0].explained == {(a.name, "service", "") for a in nights.agents()}


def test_a_deploy_just_before_speaks_for_our_own_fault_and_its_absence_against() -> None:
    def share(changes: Sequence[Change] | None) -> float:
        seen = [
            Sample(at=AT - timedelta(minutes=m), agent=a.name, layer="service", tries=2, ok=0 if m < 12 else 2)
            for m in range(60)
            for a in nights.agents()
        ]
        run = investigate(own_is_broken, recall(seen, now=AT, until=AT, changes=changes), playbook=OWN)
        return next(r.share for r in run.verdict().ranked if r.hypothesis.id == "own_service_fault")

    assert share((change(20),)) > share(None) > share(())


def test_when_a_dependency_fails_as_well_our_own_service_is_not_the_cause() -> None:
    def all_down(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
        return own_is_broken(request, agent) or nights.vendor_outage_global(request, agent)

    assert investigate(all_down, playbook=OWN).verdict().ids[0] == "vendor_outage_global"


def test_the_onset_is_that_of_what_is_red_now_and_changes_count_before_it() -> None:
    began = AT - timedelta(minutes=12)
    history = recall(
        samples(red=frozenset({"api_signed"}), since=began),
        now=AT,
        until=AT - timedelta(minutes=30),
        changes=[
            change(24, who="lin"),
            change(24, ChangeKind.PERMISSION, env="prod"),
            change(24, ChangeKind.CONFIG, env="staging"),  # nobody looks from there
            change(90),  # too long before
            change(5),  # after it began
        ],
    )
    run = investigate(nights.permission_revoked, history)
    onset = run.picture().onset
    assert onset is not None
    assert (onset.after, onset.by) == (began - timedelta(minutes=1), began)
    assert everything(run)["changes"] == {
        "deploys": 1,
        "permissions": 1,
        "configs": 0,
        "others": 0,
        "nearest_minutes": 12.0,
    }


def test_a_recording_keeps_what_the_verdict_rests_on() -> None:
    normal = recall(samples(), now=AT, until=AT, changes=[change(5, who="lin")])
    run = investigate(nights.healthy, normal, slower=lambda r: 60.0 if is_pinned(r) else 1.0)
    night = {
        "agents": [a.to_json() for a in run.agents],
        "observations": [o.to_json() for o in run.observations()],
        "recalled": json.loads(json.dumps(run.recalled())),
    }
    kept = replay.read("night", night)
    again = kept.judge(nights.HYPOTHESES)
    assert again.ids == run.verdict().ids == ("dependency_slow",)
    assert again.share == pytest.approx(run.verdict().share)
    assert kept.history.changes == normal.changes


def test_changes_that_a_probe_found_count_like_those_that_were_posted() -> None:
    red = samples(red=frozenset({"api_signed"}), since=AT - timedelta(minutes=12))
    seen = nights.see(
        ProbeRequest(id="c", probe="changes", kind="changes", layer="changes", target="sms", agent="east-vm"),
        nights.agents()[1],
        nights.healthy,
    )
    rows = [change(20).to_json(), {"at": "yesterday", "kind": "deploy", "title": "x"}, {"kind": "deploy"}]
    observations = investigate(nights.permission_revoked).observations()
    pictured = picture(
        [*observations, replace(seen, detail={"changes": rows})], nights.agents(), (), recall(red, now=AT, until=AT)
    )
    assert pictured.changes == (change(20),)


def test_without_a_feed_or_an_onset_changes_are_unknown() -> None:
    red = samples(red=frozenset({"api_signed"}), since=AT - timedelta(minutes=12))
    no_feed = investigate(nights.permission_revoked, recall(red, now=AT, until=AT))
    assert everything(no_feed)["changes"] == {}
    no_patrols = investigate(nights.permission_revoked, recall([], now=AT, until=AT, changes=[change(5)]))
    assert everything(no_patrols)["changes"] == {}
    assert no_patrols.picture().onset is None
    green = investigate(nights.healthy, recall(red, now=AT, until=AT, changes=[change(5)]))
    assert green.picture().onset is None
