"""What a run could not see, in words: who is silent and why, who was expected, what nobody may ask."""

from __future__ import annotations

from bot.diagnosis.gaps import Gap
from bot.diagnosis.investigation import Investigation
from bot.domain.silence import silence
from bot.domain.text import Text, join

STATES = {
    "starting": Text("还在启动自检", "still starting up"),
    "draining": Text("正在退出", "is shutting down"),
}


def missing(run: Investigation) -> Text:
    """Who did not answer and what could not be asked; "nothing" is said as well."""
    parts = [said(gap) for gap in run.gaps()]
    if names := run.unlearned():
        parts.append(
            Text(
                f"没有人能解析 {'、'.join(names)}，所以没有直连地址去测",
                f"nobody resolved {', '.join(names)}, so their addresses were not tried",
            )
        )
    return join(parts, zh="；", en="; ") if parts else Text("无", "nothing")


def said(gap: Gap) -> Text:
    """One thing that is missing and why."""
    why, name = reason(gap), called(gap)
    if gap.what == "place":
        return Text(
            f"剧本要求的观测点 {name}：没有运行观测进程",
            f"vantage point {name}, which the playbook expects: no agent runs there",
        )
    if gap.what == "probe":
        return Text(f"{name} 探测：{why.zh}", f"probe {name}: {why.en}")
    return Text(f"观测点 {name}：没有数据（{why.zh}）", f"vantage point {name}: no data ({why.en})")


def wanted(gap: Gap) -> Text:
    """What to do to close it."""
    why, name = reason(gap), called(gap)
    if gap.what == "place":
        return Text(f"在 {name} 运行一个观测进程", f"run an agent at {name}")
    if gap.what == "probe":
        return Text(f"让至少一个观测点的策略允许 {name} 探测", f"let the policy of some agent allow the probe {name}")
    return Text(f"让观测点 {name} 恢复应答（{why.zh}）", f"get vantage point {name} to answer ({why.en})")


def called(gap: Gap) -> str:
    """As people know it: "brno pod (brno-pod)" for an agent, "varna vm2" for a place."""
    if gap.agent is not None:
        return f"{gap.agent.region} {gap.agent.vantage} ({gap.name})"
    if gap.what == "place":
        return " ".join(part for part in gap.name.split("/") if part != "*") or gap.name
    return gap.name


def reason(gap: Gap) -> Text:
    """Why, in both languages."""
    state = gap.agent.state if gap.agent else ""
    return STATES[state] if not gap.reason and state in STATES else silence(gap.reason)


def inconclusive(run: Investigation) -> Text:
    """The headline of a verdict that is none: with what kept it from one, where that is known."""
    kinds = {gap.what for gap in run.gaps()}
    if not kinds:
        return Text("还不能下结论", "inconclusive")
    if kinds == {"probe"}:
        return Text("还不能下结论：有探测没有人能做", "inconclusive: nobody may ask some of the probes")
    return Text("还不能下结论：有观测点没有数据", "inconclusive: not every vantage point answered")
