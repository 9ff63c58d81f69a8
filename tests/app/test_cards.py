"""What the group reads: the answer first, then why, then what to do, in both languages."""

from __future__ import annotations

from typing import Any

import pytest

from bot.app.cards import progress_card, verdict_card
from bot.app.plain import plain
from bot.diagnosis.investigation import Investigation
from bot.domain.text import Lang
from tests.diagnosis import nights


def card(lang: Lang, rule: nights.Rule, **more: Any) -> str:
    return plain(verdict_card(nights.investigate(rule, **more), took_s=8.42, incident="INC-42"), lang)


def test_the_first_line_is_the_answer_and_the_second_its_circumstances() -> None:
    first, second, *_ = card("en", nights.vpc_dns_rate_limited, top=nights.CRAWLER).splitlines()
    assert first.startswith("🔴 most likely: DNS of VPC blue is rate-limited by the provider (")
    assert "/diag sms · INC-42 · " in second
    assert second.endswith("took 8.4 s")


@pytest.mark.parametrize(
    ("rule", "zh", "en"),
    [
        (nights.vpc_dns_rate_limited, "被云厂商限频", "rate-limited by the provider"),
        (nights.permission_revoked, "权限", "permission was revoked"),
        (nights.firewall_block, "防火墙", "firewall"),
    ],
)
def test_each_cause_is_said_in_both_languages(rule: nights.Rule, zh: str, en: str) -> None:
    said = {"zh": card("zh", rule), "en": card("en", rule)}
    assert zh in said["zh"].splitlines()[0]
    assert en in said["en"].splitlines()[0]
    assert "为什么" in said["zh"]
    assert "Why" in said["en"]
    assert "现在做" in said["zh"]
    assert "Do now" in said["en"]
    assert "{" not in said["zh"] + said["en"]


def test_what_is_missing_is_said_and_nothing_is_called_healthy_without_it() -> None:
    said = card("en", nights.healthy, who=nights.lost("west-vm", "east-vm2", "office"))
    assert "west vm (west-vm): no data" in said
    assert not said.startswith("🟢")


def test_a_healthy_night_is_green_and_offers_to_ask_again() -> None:
    said = card("en", nights.healthy)
    assert said.startswith("🟢 ")
    assert "[Ask again: /diag sms]" in said
    assert "/warroom" not in said


def test_a_fault_offers_the_next_steps_as_buttons() -> None:
    said = card("zh", nights.vpc_dns_rate_limited, top=nights.CRAWLER)
    for command in ("/warroom open", "/page", "/watch", "/vendor tencent"):
        assert f": {command}]" in said


def test_while_probes_run_the_card_says_how_far_it_is() -> None:
    run = Investigation(nights.PLAYBOOKS["sms"], nights.HYPOTHESES, nights.agents())
    asked = run.start()
    lines = plain(progress_card(run, pending=frozenset()), "en").splitlines()
    assert lines[0] == "⏳ diagnosing: SMS cannot be sent"
    assert any(line.startswith("0/") for line in lines)
    waiting = frozenset((r.agent, r.layer) for r in asked)
    assert "…" in plain(progress_card(run, pending=waiting), "en")
