"""Who is called, by what, and when: the decision, as time passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from bot.domain.escalating import (
    Decision,
    PageDue,
    begin,
    decide,
    held,
    hurried,
    is_quiet,
    over,
    passed_over,
)
from bot.domain.escalation import Escalation, Phase, Policy, QuietHours, Step, Target, TargetKind, Way
from bot.domain.page import Person

START = datetime(2026, 1, 15, 15, 0, tzinfo=UTC)
NAMES = ("lin", "chen", "wang", "boss")


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def step(after: float, *names: str, by: tuple[Way, ...] = (Way.CHAT, Way.PHONE)) -> Step:
    who = tuple(
        Target(kind=TargetKind.SCHEDULE, name=n[1:]) if n.startswith("#") else Target(kind=TargetKind.PERSON, name=n)
        for n in names
    )
    return Step(after=minutes(after), who=who, by=by)


def policy(*steps: Step, name: str = "backend", **facts: object) -> Policy:
    return Policy(name=name, steps=steps, **facts)  # type: ignore[arg-type]


class Night:
    """An escalation and a clock: `at(m)` moves to that minute and takes what is due."""

    def __init__(
        self,
        *policies: Policy,
        severity: str = "sev1",
        on_call: Mapping[str, Sequence[str]] | None = None,
        no_phone: Sequence[str] = (),
    ) -> None:
        self.policies = {p.name: p for p in policies}
        self.on_call = on_call or {}
        self.no_phone = no_phone
        self.state: Escalation = begin("INC-1", policies[0], severity=severity, epoch=0, now=START)
        self.last = Decision(next=self.state)

    def who(self, target: Target, _at: datetime) -> Sequence[Person]:
        names = self.on_call.get(target.name, ()) if target.kind is TargetKind.SCHEDULE else (target.name,)
        return [Person(name=n, phone="" if n in self.no_phone else "+86138") for n in names]

    def at(self, minute: float) -> list[str]:
        self.last = decide(self.state, policies=self.policies.get, who=self.who, now=START + minutes(minute))
        self.state = self.last.next
        return [f"{p.person.name}:{p.step}" for p in self.last.pages]

    @property
    def due(self) -> float | None:
        return None if self.state.due_at is None else (self.state.due_at - START) / minutes(1)


def test_each_step_is_taken_at_its_time_and_counts_on() -> None:
    night = Night(policy(step(0, "lin"), step(5, "chen"), step(10, "wang")))
    assert night.at(0) == ["lin:1"]
    assert night.at(4.9) == []
    assert night.at(5) == ["chen:2"]
    assert night.at(14.9) == []
    assert night.at(15) == ["wang:3"]


def test_a_first_step_can_wait() -> None:
    night = Night(policy(step(3, "lin")))
    assert night.at(2.9) == []
    assert night.at(3) == ["lin:1"]


def test_after_the_last_step_the_next_round_begins_and_after_the_last_round_the_next_level() -> None:
    leads = policy(step(1, "boss"), name="leads")
    night = Night(policy(step(0, "lin"), step(5, "chen"), rounds=2, every=minutes(10), then="leads"), leads)
    seen = [(m, night.at(m)) for m in range(60)]
    assert [(m, pages) for m, pages in seen if pages][:5] == [
        (0, ["lin:1"]),
        (5, ["chen:2"]),
        (15, ["lin:3"]),
        (20, ["chen:4"]),
        (31, ["boss:5"]),
    ]


def test_the_last_level_of_a_loud_severity_starts_again_from_its_first_step_and_says_so() -> None:
    night = Night(policy(step(0, "lin"), then="leads"), policy(step(0, "boss"), step(5, "wang"), name="leads"))
    assert [night.at(m) for m in (0, 5)] == [["lin:1"], ["boss:2"]]
    assert night.at(10) == ["wang:3"]
    assert night.last.exhausted
    assert (night.state.policy, night.state.phase, night.due) == ("leads", Phase.PAGING, 15)
    assert night.at(15) == ["boss:4"]
    assert list(night.state.called) == ["lin", "boss", "wang", "boss"]


@pytest.mark.parametrize(("severity", "stops"), [("sev3", False), ("sev1", True)])
def test_a_low_severity_or_a_policy_that_stops_ends(severity: str, stops: bool) -> None:
    night = Night(policy(step(0, "lin"), stops=stops), severity=severity)
    assert night.at(0) == ["lin:1"]
    assert night.last.exhausted
    assert (night.state.phase, night.due) == (Phase.OVER, None)
    assert night.at(600) == []


def test_a_bot_that_was_away_for_an_hour_calls_each_person_once_and_names_the_steps() -> None:
    night = Night(policy(step(0, "lin"), step(5, "chen"), rounds=20, every=minutes(5)))
    assert night.at(0) == ["lin:1"]
    assert night.at(61) == ["chen:12", "lin:13"]
    assert [t.step for t in night.last.taken] == list(range(2, 14))
    assert [t.due_at for t in night.last.taken] == sorted(t.due_at for t in night.last.taken)


def test_whoever_is_called_late_has_the_whole_time_to_answer() -> None:
    night = Night(policy(step(0, "lin"), step(5, "chen"), step(5, "wang")))
    night.at(0)
    assert night.at(9) == ["chen:2"]
    assert night.due == 14


def test_a_moment_late_moves_nothing() -> None:
    night = Night(policy(step(0, "lin"), step(5, "chen"), step(5, "wang")))
    night.at(0)
    night.at(5 + 0.5 / 60)
    assert night.due == 10


def test_when_nobody_is_on_call_the_step_says_so_and_the_next_one_is_taken_at_once() -> None:
    night = Night(policy(step(0, "#night"), step(5, "chen")))
    assert night.at(0) == ["chen:2"]
    assert [(t.step, [n.name for n in t.nobody]) for t in night.last.taken] == [(1, ["night"]), (2, [])]


def test_when_no_step_reaches_anybody_the_next_round_waits_its_time() -> None:
    night = Night(
        policy(step(0, "#night"), step(5, "#day"), rounds=2, every=minutes(10), then="leads"),
        policy(step(0, "boss"), name="leads"),
    )
    assert night.at(0) == []
    assert night.due == 10
    assert night.at(10) == ["boss:5"]


def test_levels_that_name_each_other_and_reach_nobody_do_not_spin() -> None:
    night = Night(policy(step(0, "#x"), name="a", then="b"), policy(step(0, "#x"), name="b", then="a"))
    assert night.at(0) == []
    assert night.due is not None
    assert night.due > 0


def test_without_a_number_the_chat_is_used_and_nobody_waits_for_a_phone_that_cannot_ring() -> None:
    night = Night(policy(step(0, "lin"), step(5, "chen")), no_phone=["lin"])
    assert night.at(0) == ["lin:1", "chen:2"]
    assert [p.ways for p in night.last.pages] == [(Way.CHAT,), (Way.CHAT, Way.PHONE)]
    assert night.last.taken[0].no_phone == ("lin",)


def test_somebody_named_twice_is_called_once() -> None:
    night = Night(policy(step(0, "lin", "#night"), step(0, "lin", by=(Way.APP,))), on_call={"night": ["lin", "chen"]})
    assert night.at(0) == ["chen:1", "lin:2"]
    (lin,) = [p for p in night.last.pages if p.person.name == "lin"]
    assert lin == PageDue(person=lin.person, ways=(Way.CHAT, Way.PHONE, Way.APP), step=2)


QUIET = QuietHours(start=time(23), end=time(8), timezone="Asia/Shanghai")


@pytest.mark.parametrize(
    ("hour", "quiet"), [(14, False), (15, True), (23, True), (0, False), (6, False)]
)  # UTC; Shanghai is eight hours ahead
def test_quiet_hours_cross_midnight(hour: int, quiet: bool) -> None:
    assert is_quiet(QUIET, "sev3", START.replace(hour=hour)) is quiet


def test_in_quiet_hours_a_low_severity_is_not_phoned_and_a_high_one_is() -> None:
    quiet = policy(step(0, "lin"), quiet=QUIET)
    low, high = Night(quiet, severity="sev3"), Night(quiet, severity="sev1")
    assert (low.at(0), high.at(0)) == (["lin:1"], ["lin:1"])
    assert low.last.pages[0].ways == (Way.CHAT,)
    assert low.last.taken[0].quiet
    assert Way.PHONE in high.last.pages[0].ways


def test_a_step_by_phone_only_goes_by_chat_in_quiet_hours() -> None:
    night = Night(policy(step(0, "lin", by=(Way.PHONE,)), quiet=QUIET), severity="sev4")
    night.at(0)
    assert night.last.pages[0].ways == (Way.CHAT,)


def test_while_somebody_has_it_nobody_is_called_and_then_it_begins_again_under_new_keys() -> None:
    night = Night(policy(step(0, "lin"), step(5, "chen")))
    night.at(0)
    night.state = held(night.state, epoch=1, until=START + minutes(31))
    assert night.at(30) == []
    assert night.at(31) == ["lin:2"]
    assert night.last.unacknowledged
    assert (night.state.phase, night.due) == (Phase.PAGING, 36)


def test_an_acknowledgement_without_an_end_stays() -> None:
    night = Night(policy(step(0, "lin")))
    night.at(0)
    night.state = held(night.state, epoch=1, until=None)
    assert night.at(100_000) == []


def test_asked_for_the_next_step_comes_now_and_the_one_after_it_in_its_time() -> None:
    night = Night(policy(step(0, "lin"), step(5, "chen"), step(5, "wang")))
    night.at(0)
    night.state = hurried(night.state, START + minutes(1))
    assert night.at(1) == ["chen:2"]
    assert night.due == 6


def test_asked_for_after_its_end_the_last_level_is_gone_through_again() -> None:
    night = Night(policy(step(0, "lin"), stops=True))
    night.at(0)
    night.state = hurried(night.state, START + minutes(9))
    assert night.at(9) == ["lin:2"]


def test_a_page_nobody_takes_brings_the_next_step_now_but_not_the_same_people_again() -> None:
    night = Night(policy(step(0, "lin"), step(5, "chen"), rounds=3, every=minutes(5)))
    night.at(0)
    night.state = passed_over(night.state, START + minutes(0.1))
    assert night.at(0.1) == ["chen:2"]
    before = night.state
    assert passed_over(before, START + minutes(0.2)) is before


def test_a_page_nobody_takes_brings_the_next_level_now() -> None:
    night = Night(policy(step(0, "lin"), then="leads"), policy(step(0, "boss"), name="leads"))
    night.at(0)
    night.state = passed_over(night.state, START + minutes(0.1))
    assert night.at(0.1) == ["boss:2"]


def test_a_policy_that_left_the_configuration_gives_way_to_the_first_one_or_is_looked_for_again() -> None:
    night = Night(policy(step(0, "lin"), then="leads"), policy(step(0, "boss"), name="leads"))
    night.at(0)
    assert night.state.policy == "leads"
    del night.policies["leads"]
    assert night.at(5) == []
    assert night.last.lost_policy == "leads"
    assert night.at(5) == ["lin:2"]
    night.policies.clear()
    night.at(10)
    assert (night.last.lost_policy, night.due) == ("backend", 11)


def test_a_policy_that_got_shorter_goes_on_with_its_next_round() -> None:
    night = Night(policy(step(0, "lin"), step(5, "chen"), rounds=2))
    night.at(0)
    night.policies["backend"] = policy(step(0, "wang"), rounds=2)
    assert night.at(5) == []
    assert night.at(10) == ["wang:2"]


def test_what_is_over_stays_over() -> None:
    night = Night(policy(step(0, "lin")))
    night.state = over(night.state)
    assert night.at(1000) == []
    assert night.state == replace(night.state, due_at=None)
