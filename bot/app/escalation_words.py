"""What the timeline and the room read about an escalation: steps taken, nobody on call, the end of a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bot.app import words
from bot.domain.escalating import Decision, Policies, StepTaken, WhoIs
from bot.domain.escalation import Escalation, Phase, Target, TargetKind, Way
from bot.domain.page import CallMade, CallState
from bot.domain.text import Text, join, same

WAYS: Mapping[Way, Text] = {
    Way.CHAT: Text("群里", "chat"),
    Way.APP: Text("应用消息", "app"),
    Way.PHONE: Text("电话", "phone"),
}
KINDS: Mapping[TargetKind, Text] = {
    TargetKind.PERSON: Text("", ""),
    TargetKind.SCHEDULE: Text("值班表 ", "schedule "),
    TargetKind.VENDOR: Text("厂商 ", "vendor "),
    TargetKind.ROLE: Text("角色 ", "role "),
}
STATES: Mapping[CallState, Text] = {
    CallState.SAID: Text("已在这里提醒", "told here"),
    CallState.QUEUED: Text("正在呼叫", "calling"),
    CallState.SENT: Text("已拨出", "dialled"),
    CallState.REFUSED: Text("打不了：没有通道接受", "cannot be called: no provider takes it"),
    CallState.CANCELLED: Text("没有再呼叫", "not called any more"),
    CallState.RINGING: Text("电话在响", "the phone is ringing"),
    CallState.ANSWERED: Text("已接听", "answered"),
    CallState.BUSY: Text("占线", "busy"),
    CallState.NO_ANSWER: Text("没有人接", "no answer"),
    CallState.FAILED: Text("没有打通", "the call failed"),
    CallState.COMPLETED: Text("通话结束", "the call is over"),
}


def target_words(target: Target) -> Text:
    """A target as people read it: "schedule backend", "lin"."""
    return KINDS[target.kind] + same(target.name)


def began(state: Escalation) -> Text:
    """An escalation begins."""
    return Text(f"按策略 {state.first} 开始呼叫", f"calling people by policy {state.first}")


def steps_taken(decision: Decision) -> Text:
    """One sentence for the timeline: which steps, whom, by what; late steps and gaps are named."""
    parts = [_numbers(decision.taken)]
    if decision.pages:
        people = [same(page.person.name) for page in decision.pages]
        ways = join([WAYS[way] for way in dict.fromkeys(w for page in decision.pages for w in page.ways)])
        named = join(people)
        parts.append(Text(f"呼叫 {named.zh}（{ways.zh}）", f"paging {named.en} ({ways.en})"))
    for step in decision.taken:
        parts += gaps(step)
    return join(parts, zh="；", en="; ")


def _numbers(taken: Sequence[StepTaken]) -> Text:
    last = taken[-1]
    where = f"{last.policy}" + (f" ×{last.round}" if last.round > 1 else "")
    if len(taken) == 1:
        return Text(f"第 {last.step} 步（{where}）", f"step {last.step} ({where})")
    first = taken[0].step
    return Text(
        f"第 {first}–{last.step} 步一起（{where}）：其余的已过时间或没有人可叫",
        f"steps {first}-{last.step} at once ({where}): the others were overdue or reached nobody",
    )


def gaps(step: StepTaken) -> list[Text]:
    """What a step could not do: nobody on call, no number, quiet hours."""
    out = []
    for target in step.nobody:
        who = target_words(target)
        out.append(
            Text(
                f"第 {step.step} 步：{who.zh} 现在没有人，直接到下一步",
                f"step {step.step}: nobody is on call for {who.en}, on to the next step",
            )
        )
    if step.no_phone:
        names = join([same(n) for n in step.no_phone])
        out.append(Text(f"{names.zh} 没有电话号码", f"no phone number of {names.en}"))
    if step.quiet:
        out.append(Text("安静时段，不打电话", "quiet hours: no phone calls"))
    return out


def exhausted(decision: Decision, calls: int, next_: Text) -> Text:
    """The end of a policy, loudly. `calls` were made and nobody has acknowledged."""
    name, many = decision.next.policy, words.count(calls, "次", "call")
    if decision.next.phase is Phase.OVER:
        return Text(
            f"呼叫了 {many.zh}仍没有人接手，策略 {name} 已走完，不会再自动呼叫：/escalate 继续，或 /page 某人",
            f"nobody has acknowledged after {many.en} and policy {name} is at its end; nobody is called any "
            f"more by itself: /escalate goes on, /page NAME calls somebody",
        )
    return Text(
        f"呼叫了 {many.zh}仍没有人接手；从 {name} 的第一步重新开始：{next_.zh}",
        f"nobody has acknowledged after {many.en}; {name} starts again: {next_.en}",
    )


def unacknowledged(who: str, after: timedelta | None) -> Text:
    """An acknowledgement does not count any more."""
    lasted = words.duration(after.total_seconds()) if after else None
    zh = f"{who} 接手后" + (f" {lasted.zh}" if lasted else "很久") + "没有任何动静：重新从第一步开始呼叫"
    since = f"for {lasted.en}" if lasted else "for long"
    return Text(zh, f"{who} has it, and nothing has been said or done {since}: calling from the first step again")


def lost_policy(name: str) -> Text:
    """The configuration has changed under a running escalation."""
    return Text(
        f"策略 {name} 已不在配置里；改用最初的策略，否则一分钟后再看",
        f"policy {name} is not in the configuration any more; going on with the first one, else looking again in a "
        "minute",
    )


def upcoming(state: Escalation, *, policies: Policies, who: WhoIs, local: datetime | None) -> Text:
    """Who is next, and when (`local`: `due_at` on the team's clock)."""
    if state.phase is not Phase.PAGING or state.due_at is None or local is None:
        return Text("没有下一步", "nobody")
    policy = policies(state.policy)
    step = policy.steps[state.index] if policy and state.index < len(policy.steps) else None
    at = f"{local:%H:%M:%S}"
    if step is None:
        return Text(f"{at} 下一轮", f"the next round at {at}")
    names: list[Text] = []
    for target in step.who:
        people = who(target, state.due_at)
        names += [same(p.name) for p in people] or [target_words(target)]
    named = join(list(dict.fromkeys(names)))
    return Text(f"{at} 呼叫 {named.zh}", f"{named.en} at {at}")


def call_line(call: CallMade) -> Text:
    """One call on a card: who, by what, through whom, how it stands."""
    by = join([WAYS[Way(way)] for way in call.ways])
    through = Text(f"（{call.pager}）", f" ({call.pager})") if call.pager else same("")
    state = STATES[call.state]
    return Text(f"@{call.person} {by.zh}：{state.zh}{through.zh}", f"@{call.person} by {by.en}: {state.en}{through.en}")
