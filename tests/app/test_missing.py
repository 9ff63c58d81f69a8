"""What is missing is said with what it is: a silent agent, a place nobody looks from, a probe nobody may ask."""

from __future__ import annotations

from dataclasses import replace

from bot.app.cards import headline
from bot.app.missing import missing, said, wanted
from bot.diagnosis.gaps import Gap
from bot.diagnosis.investigation import Investigation
from bot.domain.playbook import Expected
from bot.domain.text import Text
from tests.diagnosis import nights
from tests.diagnosis.nights import HYPOTHESES, PLAYBOOKS, agents, investigate, lost


def test_nothing_missing_is_said_too() -> None:
    assert missing(investigate(nights.healthy)) == Text("无", "nothing")


def test_a_silent_agent_is_told_with_its_reason_in_the_readers_language() -> None:
    gap = Gap(what="agent", name="west-vm", reason="agent_lost: no answer within 11 s", agent=agents()[3])
    assert said(gap) == Text(
        "观测点 west vm (west-vm)：没有数据（11 秒内没有应答）",
        "vantage point west vm (west-vm): no data (no answer within 11 s)",
    )
    assert wanted(gap).zh == "让观测点 west vm (west-vm) 恢复应答（11 秒内没有应答）"


def test_an_agent_that_is_starting_or_leaving_is_said_to_be() -> None:
    for state, zh in (("starting", "还在启动自检"), ("draining", "正在退出"), ("lost", "没有连接")):
        run = investigate(nights.healthy, who=tuple(replace(a, state=state) for a in agents()[3:4]) + agents()[:3])
        assert missing(run).zh == f"观测点 west vm (west-vm)：没有数据（{zh}）"


def test_a_place_that_the_playbook_expects_is_no_agent() -> None:
    sms = replace(PLAYBOOKS["sms"], expect=(Expected(region="north", vantage="pod"), Expected(vantage="edge")))
    run = investigate(nights.healthy, playbook=sms)
    assert [gap.what for gap in run.gaps()] == ["place", "place"]
    assert missing(run).en == (
        "vantage point north pod, which the playbook expects: no agent runs there; "
        "vantage point edge, which the playbook expects: no agent runs there"
    )


def test_a_probe_that_nobody_may_ask_is_called_a_probe() -> None:
    known = tuple(replace(a, kinds=("dns", "tcp", "http")) for a in agents())
    run = Investigation(PLAYBOOKS["sms"], HYPOTHESES, known)
    assert [(gap.what, gap.name) for gap in run.gaps()] == [("probe", "api")]
    assert missing(run) == Text(
        "api 探测：没有观测点的策略允许这种探测", "probe api: no vantage point's policy allows this kind of probe"
    )
    assert headline(run) == Text("还不能下结论：有探测没有人能做", "inconclusive: nobody may ask some of the probes")


def test_names_that_nobody_resolved_are_told_in_one_sentence() -> None:
    run = Investigation(PLAYBOOKS["sms"], HYPOTHESES, agents())
    run.start()
    assert missing(run) == Text(
        "没有人能解析 sms.tencentcloudapi.com、www.qq.com、www.gov.cn，所以没有直连地址去测",
        "nobody resolved sms.tencentcloudapi.com, www.qq.com, www.gov.cn, so their addresses were not tried",
    )


def test_an_inconclusive_headline_says_whether_somebody_is_silent() -> None:
    run = investigate(nights.healthy, who=lost("west-vm"))
    assert headline(run).en == "inconclusive: not every vantage point answered"
