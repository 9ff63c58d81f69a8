"""Likeness of incidents, by values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.diagnosis.fingerprint import Fingerprint, fingerprint, likeness
from bot.diagnosis.similar import Memory, similar, terms
from tests.diagnosis import nights

AT = datetime(2026, 1, 15, 15, 0, tzinfo=UTC)


def seen(rule: nights.Rule) -> Fingerprint:
    return fingerprint(nights.investigate(rule).picture())


def memory(name: str, words: str = "", **more: object) -> Memory:
    return Memory(incident=name, title=words, words=words, opened_at=AT, **more)  # type: ignore[arg-type]


def test_the_same_night_is_wholly_alike_and_a_healthy_one_is_like_nothing() -> None:
    limited = seen(nights.vpc_dns_rate_limited)
    assert likeness(limited, limited, {}) == 1.0
    assert likeness(limited, seen(nights.healthy), {}) == 0.0
    assert not seen(nights.healthy)


def test_nights_of_another_kind_are_less_alike_than_the_same_kind_with_a_place_missing() -> None:
    limited = seen(nights.vpc_dns_rate_limited)
    fewer = fingerprint(nights.investigate(nights.vpc_dns_rate_limited, who=nights.lost("office", "west-vm")).picture())
    others = (nights.permission_revoked, nights.firewall_block, nights.certificate_expired, nights.coredns_overload)
    assert likeness(limited, fewer, {}) > max(likeness(limited, seen(other), {}) for other in others)


def test_a_fingerprint_survives_its_journey_through_json() -> None:
    limited = seen(nights.vpc_dns_rate_limited)
    assert Fingerprint.from_json(limited.to_json()) == limited
    assert Fingerprint.from_json({}) == Fingerprint(failed={}, how={})


def test_chinese_and_english_words_are_found_without_spaces_and_without_case() -> None:
    assert set(terms("SMS 验证码收不到")) == {"sms", "验证", "证码", "码收", "收不", "不到"}
    found = similar(memory("", "验证码 SMS"), [memory("INC-1", "用户收不到 sms 验证码"), memory("INC-2", "disk full")])
    assert [one.memory.incident for one in found] == ["INC-1"]


def test_of_two_that_are_equally_alike_the_later_comes_first_and_one_is_not_like_itself() -> None:
    old, new = memory("INC-1", "codes"), replace(memory("INC-2", "codes"), opened_at=AT + timedelta(days=1))
    assert [one.memory.incident for one in similar(memory("INC-3", "codes"), [old, new])] == ["INC-2", "INC-1"]
    assert [one.memory.incident for one in similar(old, [old, new])] == ["INC-2"]


def test_a_settled_cause_counts_by_the_share_it_has_now() -> None:
    limited = seen(nights.vpc_dns_rate_limited)
    a, b = (memory(name, fingerprint=limited, causes=(cause,)) for name, cause in (("INC-1", "x"), ("INC-2", "y")))
    now = memory("", fingerprint=limited, beliefs={"x": 0.9, "y": 0.1})
    assert [one.memory.incident for one in similar(now, [a, b])] == ["INC-1", "INC-2"]
