"""Whom a target means, and what applies where a team wrote little."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.domain.directory import SEVERITIES, Directory, Severity, Vendor
from bot.domain.escalation import Policy, Step, Target, TargetKind, Way
from bot.domain.page import Person
from bot.domain.schedule import Override, Rotation, Schedule
from bot.domain.text import same

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)
LIN = Person(name="lin", phone="+8613800000001", slack="U01LIN")
CHEN = Person(name="chen", wecom="ChenWei")
ANNA = Person(name="anna", phone="+8675500000000")
ROTATION = Rotation(
    name="base",
    people=("lin", "chen"),
    every=1,
    unit="weeks",
    handover=time(9),
    timezone=ZoneInfo("Asia/Shanghai"),
    start=date(2026, 1, 12),
)
DIRECTORY = Directory(
    people={"lin": LIN, "chen": CHEN},
    schedules={"backend": Schedule(name="backend", layers=(ROTATION,))},
    policies={"backend": Policy(name="backend", steps=(Step(after=timedelta(0), who=()),))},
    vendors={
        "tencent": Vendor(name="tencent", title=same("Tencent Cloud"), people=(ANNA,), phones=("+8695716",)),
        "aliyun": Vendor(name="aliyun", title=same("Alibaba Cloud"), phones=("+8695187", "+8695188")),
    },
)


def who(kind: str, name: str, **more: object) -> list[str]:
    found = DIRECTORY.people_of(Target(kind=TargetKind(kind), name=name), at=AT, **more)  # type: ignore[arg-type]
    return [person.name for person in found]


def test_a_schedule_means_who_is_on_call_and_an_override_who_took_over() -> None:
    swap = Override(
        id="o1", schedule="backend", person="chen", start=AT, until=AT + timedelta(hours=1), by="lin", made_at=AT
    )
    assert who("schedule", "backend") == ["lin"]
    assert who("schedule", "backend", overrides=[swap]) == ["chen"]
    assert who("schedule", "frontend") == []


def test_a_vendor_means_its_people_and_its_lines_where_none_are_known() -> None:
    assert who("vendor", "tencent") == ["anna"]
    assert [(p.name, p.phone) for p in DIRECTORY.vendors["aliyun"].reachable] == [
        ("aliyun", "+8695187"),
        ("aliyun-2", "+8695188"),
    ]


def test_a_role_means_whoever_holds_it_by_name_or_chat_account() -> None:
    assert who("role", "commander") == []
    assert who("role", "commander", roles={"commander": ["@Lin"]}) == ["lin"]
    assert who("role", "responder", roles={"responder": ["chenwei", "stranger"]}) == ["chen", "stranger"]


@pytest.mark.parametrize("word", ["lin", "@LIN", "U01LIN", "u01lin"])
def test_somebody_is_found_by_name_or_account(word: str) -> None:
    assert DIRECTORY.find(word) == LIN
    assert DIRECTORY.find("") is None
    assert DIRECTORY.find("nobody") is None


def test_with_people_only_each_is_called_in_turn_five_minutes_apart_three_times() -> None:
    policy = Directory.of([LIN, CHEN]).policies["default"]
    assert [(s.after, s.who[0].name) for s in policy.steps] == [
        (timedelta(0), "lin"),
        (timedelta(minutes=5), "chen"),
    ]
    assert (policy.rounds, policy.every) == (3, timedelta(minutes=5))
    assert policy.steps[0].by == (Way.CHAT, Way.PHONE)
    assert Directory.of([]).policies == {}


def test_a_severity_has_its_policy_or_the_only_one_and_sev4_wakes_nobody() -> None:
    backend = DIRECTORY.policies["backend"]
    assert DIRECTORY.policy_of("sev1") == backend
    assert DIRECTORY.policy_of("sev4") is None
    assert DIRECTORY.severity("sev9") == Severity(name="sev9")
    two = Directory(
        policies={"default": backend, "night": backend.__class__(name="night", steps=backend.steps)},
        severities={**SEVERITIES, "sev1": Severity(name="sev1", policy="night")},
    )
    assert [p.name if p else None for p in map(two.policy_of, ("sev1", "sev2"))] == ["night", "backend"]
