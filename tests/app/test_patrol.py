"""Patrols as transcripts: what they keep, what `/diag` makes of it, when they speak up, and when they do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.app.changes import take
from bot.app.parts import Jobs
from bot.app.patrol import LEASE, Patrol
from bot.diagnosis.deep import deep
from bot.domain.change import Change, ChangeKind, Posted
from bot.domain.incident import EntryKind, Incident
from bot.domain.patrol import PatrolRules, Round
from bot.domain.probe import Outcome, ProbeRequest
from bot.testing.clock import FixedClock
from tests.diagnosis import nights
from tests.transcript import Night, a_night

SMS = PatrolRules(playbooks=("sms",))


class Beat:
    """A night on a clock of the test's, with one bot on patrol."""

    def __init__(self, night: Night, clock: FixedClock, rules: PatrolRules) -> None:
        self.night = night
        self.clock = clock
        self.patrol = Patrol(night.parts, rules)

    async def rounds(self, count: int, rule: nights.Rule = nights.healthy) -> None:
        """So many minutes go by, with a round in each."""
        self.night.rule = rule
        for _ in range(count):
            await self.clock.advance(60)
            assert await self.patrol.go()

    async def kept(self) -> list[Round]:
        now = self.clock.now()
        async with self.night.parts.store.begin() as tx:
            return list(await tx.patrols.rounds("sms", since=now - timedelta(days=1), until=now, most=1000))

    async def incidents(self) -> list[Incident]:
        async with self.night.parts.store.begin() as tx:
            return list(await tx.incidents.list())

    async def diag(self) -> dict[str, Any]:
        """The document of `/diag sms`."""
        await self.night.types("/diag sms")
        async with self.night.parts.store.begin() as tx:
            run = await tx.runs.latest(room="console:main", playbook="sms")
        assert run is not None
        assert run.document is not None
        return dict(run.document)


@asynccontextmanager
async def a_beat(folder: Path, rules: PatrolRules = SMS, **more: Any) -> AsyncIterator[Beat]:
    clock = FixedClock()
    async with a_night(folder, clock=clock, **more) as night:
        beat = Beat(night, clock, rules)
        assert not await beat.patrol.go()  # the first round is due in a minute
        yield beat


async def test_a_round_is_kept_with_every_cell_and_asks_little(tmp_path: Path) -> None:
    async with a_beat(tmp_path) as beat:
        await beat.rounds(1)
        (done,) = await beat.kept()
        assert done.red_agents == 0
        assert {s.agent for s in done.samples} == {a.name for a in nights.agents()}
        assert all(s.tries == s.ok for s in done.samples)
        vpc = [r for r in beat.night.agents.asked if r.layer == "dns_vpc" and r.agent.startswith("east-vm")]
        assert sum(int(r.params["tries"]) for r in vpc) <= 4
        assert all(int(r.params["spacing_ms"]) >= 555 for r in vpc)  # under 2 queries/s
        assert await beat.night.timeline() == []
        assert beat.night.shows() == ""


async def test_diag_says_since_when_and_what_was_changed_before(tmp_path: Path) -> None:
    async with a_beat(tmp_path) as beat:
        await beat.rounds(60)
        deploy = Change(
            at=beat.clock.now() - timedelta(minutes=12), kind=ChangeKind.DEPLOY, title="sms-gateway v1.4.2", who="lin"
        )
        await take(beat.night.parts, Posted(source="ci", delivery="", changes=(deploy,)))
        await beat.rounds(8, nights.vpc_dns_rate_limited)
        found = await beat.diag()
        began = beat.clock.now() - timedelta(minutes=7)
        assert found["onset"] == {"from": (began - timedelta(minutes=1)).isoformat(), "to": began.isoformat()}
        assert [(c["title"], c["minutes_before"]) for c in found["changes"]] == [("sms-gateway v1.4.2", 13)]
        shown = beat.night.shows()
        assert "Since: about 00:00 (between 00:00 and 00:01)" in shown
        assert "13 min before: deploy sms-gateway v1.4.2 (lin)" in shown
        assert "从何时起" in beat.night.shows(lang="zh")
        (verdict,) = [e for e in await beat.night.timeline() if e.kind is EntryKind.VERDICT]
        assert verdict.data["onset"] == found["onset"]


async def test_what_is_slow_is_shown_as_slow_and_named(tmp_path: Path) -> None:
    async with a_beat(tmp_path) as beat:
        await beat.rounds(60)
        script = beat.night.agents._script

        def slow(request: ProbeRequest) -> Outcome | None:
            outcome = script(request)
            if outcome is None or request.layer not in ("http", "api_signed"):
                return outcome
            return replace(outcome, timings_ms={"tcp": 5.0, "tls": 5.0, "first_byte": 400.0, "total": 410.0})

        beat.night.agents._script = slow
        found = await beat.diag()
        assert found["verdict"] == ["dependency_slow"]
        assert found["onset"] is None  # nothing is red
        assert "82×" in beat.night.shows()
        assert "API calls take 410 ms, normally 5 ms" in beat.night.shows()


async def test_without_patrols_or_a_change_feed_diag_claims_neither(tmp_path: Path) -> None:
    async with a_beat(tmp_path) as beat:
        beat.night.rule = nights.vpc_dns_rate_limited
        found = await beat.diag()
        assert (found["onset"], found["changes"]) == (None, [])
        assert "Since" not in beat.night.shows()


async def test_by_default_a_failing_patrol_opens_nothing(tmp_path: Path) -> None:
    async with a_beat(tmp_path) as beat:
        await beat.rounds(8, nights.vpc_dns_rate_limited)
        assert await beat.incidents() == []
        assert beat.night.shows() == ""


OPENING = replace(SMS, open_incidents=True)


async def test_three_of_five_rounds_open_one_incident_with_a_full_diag(tmp_path: Path) -> None:
    async with a_beat(tmp_path, OPENING) as beat:
        await beat.rounds(1, nights.vpc_dns_rate_limited)
        await beat.rounds(1)
        await beat.rounds(1, nights.vpc_dns_rate_limited)
        assert await beat.incidents() == []
        await beat.rounds(1, nights.vpc_dns_rate_limited)
        await beat.night.settle()
        (opened,) = await beat.incidents()
        assert (opened.id, opened.opened_by, opened.title) == ("INC-1", "patrol", "SMS cannot be sent")
        shown = beat.night.shows()
        assert "in at least 3 of the last 5 rounds, at least 2 vantage points saw it fail; opened INC-1" in shown
        assert "most likely: DNS of VPC blue is rate-limited" in shown
        assert EntryKind.VERDICT in [e.kind for e in await beat.night.timeline("INC-1")]
        await beat.rounds(5, nights.vpc_dns_rate_limited)
        assert len(await beat.incidents()) == 1


async def test_one_vantage_point_alone_opens_nothing(tmp_path: Path) -> None:
    async with a_beat(tmp_path, OPENING) as beat:
        await beat.rounds(8, nights.vantage_faulty)
        assert await beat.incidents() == []


async def test_after_it_is_resolved_the_same_trouble_must_show_itself_again(tmp_path: Path) -> None:
    async with a_beat(tmp_path, OPENING) as beat:
        await beat.rounds(3, nights.permission_revoked)
        await beat.night.types("/incident resolve")
        await beat.rounds(2, nights.permission_revoked)
        assert len(await beat.incidents()) == 1
        await beat.rounds(1, nights.permission_revoked)
        assert len(await beat.incidents()) == 2


async def test_what_people_have_taken_on_is_not_opened_again(tmp_path: Path) -> None:
    async with a_beat(tmp_path, OPENING) as beat:
        beat.night.rule = nights.permission_revoked
        await beat.night.types("/diag sms")
        await beat.night.types("/incident declare")
        await beat.rounds(6, nights.permission_revoked)
        assert len(await beat.incidents()) == 1


async def test_a_room_that_is_busy_with_another_incident_keeps_it(tmp_path: Path) -> None:
    async with a_beat(tmp_path, OPENING) as beat:
        await beat.night.types("/incident declare the coffee machine")
        await beat.rounds(3, nights.permission_revoked)
        await beat.night.settle()
        newest, _ = await beat.incidents()
        assert newest.origin_room == "console:patrol-sms"
        assert "opened INC-2" in beat.night.shows()
        assert "permission was revoked" in beat.night.shows("console:patrol-sms")
        assert await beat.night.types("/incident status") is None
        assert "INC-1 the coffee machine" in beat.night.shows()


async def test_of_two_bots_one_goes_and_a_bot_that_was_too_slow_writes_nothing(tmp_path: Path) -> None:
    async with a_beat(tmp_path) as beat:
        twin = Patrol(replace(beat.night.parts, jobs=Jobs()), SMS)
        await beat.clock.advance(60)
        claim = await beat.patrol._claim()
        assert claim is not None
        assert not await twin.go()
        await beat.clock.advance(LEASE.total_seconds())
        assert await twin.go()
        await beat.patrol._round(claim, beat.night.parts.playbooks["sms"])
        assert len(await beat.kept()) == 1


async def test_a_silent_region_is_no_sample(tmp_path: Path) -> None:
    async with a_beat(tmp_path, who=nights.lost("west-vm")) as beat:
        await beat.rounds(1)
        (done,) = await beat.kept()
        assert "west-vm" not in {s.agent for s in done.samples}


async def test_a_client_near_the_limit_is_told_once_a_day_with_number_and_limit(tmp_path: Path) -> None:
    rules = replace(SMS, dns_limits={"blue": 2500.0})
    async with a_beat(tmp_path, rules) as beat:
        await beat.rounds(35)  # two deep looks
        line = "10.3.7.21 in blue sends 2140 DNS queries/s, 86% of the VPC's limit of 2500"
        await beat.night.settle()
        assert line in beat.night.shows()
        (entry,) = await beat.night.timeline()
        assert entry.kind is EntryKind.NOTICE
        assert entry.data == {"key": "dns:blue:10.3.7.21", "number": 2140.0, "limit": 2500.0}
        await beat.clock.advance(86_400)
        await beat.rounds(1)
        assert len(await beat.night.timeline()) == 2


def test_a_certificate_is_looked_at_once_from_each_region() -> None:
    asked = [r for r in deep(nights.PLAYBOOKS["sms"], nights.agents()) if r.kind == "tls"]
    assert sorted(r.agent for r in asked) == ["east-pod", "office", "west-vm"]
    assert {r.target for r in asked} == {"https://sms.tencentcloudapi.com"}


@pytest.mark.parametrize("word", ["sms", "cos"])
async def test_only_the_playbooks_that_are_named_are_patrolled(tmp_path: Path, word: str) -> None:
    async with a_beat(tmp_path, PatrolRules(playbooks=(word,))) as beat:
        await beat.rounds(1)
        assert len(await beat.kept()) == (1 if word == "sms" else 0)
