"""Reasons of the hub and of agents, said in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.domain.silence import silence
from bot.domain.text import Text

ADAPTERS = Path(__file__).parents[2] / "bot" / "adapters" / "agents"


@pytest.mark.parametrize(
    ("reason", "zh", "en"),
    [
        ("", "没有连接", "not connected"),
        ("not connected", "没有连接", "not connected"),
        ("no answer within 4.5 s", "4.5 秒内没有应答", "no answer within 4.5 s"),
        ("agent_lost: no answer by the deadline", "到截止时间还没有应答", "no answer by the deadline"),
        ("agent_lost", "观测点没有应答", "agent does not answer"),
        ("silent for 45 s", "45 秒没有动静", "silent for 45 s"),
        ("connection closed", "连接断开了", "its connection was closed"),
        ("NATS: timeout", "NATS 连接出错：“timeout”", "NATS: timeout"),
        (
            "policy_denied: the agent's policy permits only dns, tcp",
            "被观测点策略拒绝（它的策略只允许 dns, tcp）",
            "refused by the agent's policy (its policy allows only dns, tcp)",
        ),
        ("no_credential: no key for tencent on this agent", "观测点没有密钥（它没有 tencent 的密钥）", ""),
    ],
)
def test_a_known_reason_is_told_in_both_languages(reason: str, zh: str, en: str) -> None:
    found = silence(reason)
    assert found.zh == zh
    assert found.en == en or not en


def test_a_reason_nobody_foresaw_is_quoted_under_the_failures_own_name() -> None:
    assert silence("agent_error: OSError 24") == Text(
        "观测点自身出错（原文：“OSError 24”）", "agent's own error (OSError 24)"
    )
    assert silence("it blew up") == Text("原文：“it blew up”", "it blew up")


def test_every_way_the_hub_loses_an_agent_is_known() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in ADAPTERS.glob("*.py"))
    broken = re.findall(r'LinkBroken\(f?"([^"]+)"\)', source)
    lost = re.findall(r'_drop\(\w+, "([^"]+)"\)', source) + re.findall(r'_lost\(request, "([^"]+)"\)', source)
    assert len(broken) >= 4
    assert len(lost) >= 3
    for reason in (*broken, *lost):
        said = re.sub(r"\{[^}]*\}", "12", reason)
        assert not silence(said).zh.startswith("原文"), said
