"""Why an agent told nothing, in both languages: agents and the hub give their reasons in English.

A reason that is none of these is quoted as it came, in Chinese after the failure's own name.
"""

from __future__ import annotations

import re

from bot.domain.failure import Failure
from bot.domain.failure_words import failure_words
from bot.domain.text import Text

_SAID: tuple[tuple[str, str, str], ...] = (
    (r"", "没有连接", "not connected"),
    (r"not connected", "没有连接", "not connected"),
    (r"no answer", "没有应答", "no answer"),
    (r"no answer within ([\d.]+) s", r"\1 秒内没有应答", r"no answer within \1 s"),
    (r"no answer by the deadline", "到截止时间还没有应答", "no answer by the deadline"),
    (r"silent for ([\d.]+) s", r"\1 秒没有动静", r"silent for \1 s"),
    (r"(?:connection )?closed", "连接断开了", "its connection was closed"),
    (r"connection broke while sending", "连接断开了", "its connection broke"),
    (r"the agent connected again", "中途断线重连", "it lost its connection and came back"),
    (r"the agent does not read what it is sent", "它不接收发给它的请求", "it does not read what it is sent"),
    (r"it was forgotten", "已从名单中移除", "it was taken off the list"),
    (r"NATS: (.+)", r"NATS 连接出错：“\1”", r"NATS: \1"),
    (r"the job cannot be sent: (.+)", r"请求发不出去：“\1”", r"the request cannot be sent: \1"),
    (
        r"its policy allows no probe of this playbook",
        "它的策略不允许这个剧本的任何探测",
        "its policy allows no probe of this playbook",
    ),
    (
        r"no vantage point may ask this kind of probe",
        "没有观测点的策略允许这种探测",
        "no vantage point's policy allows this kind of probe",
    ),
    (r"the agent's policy permits only (.+)", r"它的策略只允许 \1", r"its policy allows only \1"),
    (r"no key for (\S+) on this agent", r"它没有 \1 的密钥", r"it has no key for \1"),
    (
        r"the agent's budget of probes per second is used up",
        "它每秒的探测额度用完了",
        "its budget of probes per second is used up",
    ),
    (r"the agent's DNS budget is used up", "它的 DNS 查询额度用完了", "its DNS budget is used up"),
    (r"as many jobs as this agent holds are waiting already", "它的任务队列满了", "its queue of jobs is full"),
    (r"the probe did not finish within ([\d.]+) s", r"探测 \1 秒内没有做完", r"the probe did not finish within \1 s"),
    (r"too many getaddrinfo calls hang", "太多系统解析调用卡住了", "too many calls of the system's resolver hang"),
)
_KNOWN = tuple((re.compile(pattern), zh, en) for pattern, zh, en in _SAID)


def silence(reason: str) -> Text:
    """A reason as the hub or an agent gives it ("no answer within 11 s", "policy_denied: no rule ...") in words."""
    word, _, rest = reason.partition(": ")
    failure = word if word in Failure.__members__.values() else ""
    told = rest if failure else reason
    if failure and (not told or failure != Failure.AGENT_LOST):
        named = failure_words(failure)
        return named if not told else named + _bracketed(_sentence(told) or _quoted(told))
    return _sentence(told) or _quoted(told)


def _sentence(reason: str) -> Text | None:
    for pattern, zh, en in _KNOWN:
        if found := pattern.fullmatch(reason):
            return Text(found.expand(zh), found.expand(en))
    return None


def _quoted(reason: str) -> Text:
    return Text(f"原文：“{reason}”", reason)


def _bracketed(text: Text) -> Text:
    return Text(f"（{text.zh}）", f" ({text.en})")
