"""From rows to a report. Pure: the same rows always give the same report."""

from __future__ import annotations

from dataclasses import replace

from bot.app import incident_words as said
from bot.app import words
from bot.app.escalation_words import STATES, WAYS
from bot.app.postmortem import knowing, lessons, story, times
from bot.app.postmortem.facts import Facts
from bot.app.postmortem.model import Called, Fact, Report, VendorPart
from bot.domain.escalation import Way
from bot.domain.incident import EntryKind, VendorCase
from bot.domain.text import Text, join, percent, same

NOT_RECORDED = Text("没有记录", "not recorded")


def build(facts: Facts) -> Report:
    """The whole report."""
    incident = facts.incident
    return Report(
        incident=incident.id,
        title=incident.title,
        severity=incident.severity,
        state=said.STATES[incident.state],
        zone=words.zone(facts.local(incident.opened_at)),
        opened_at=facts.local(incident.opened_at),
        ended_at=facts.local(facts.recovered_at) if facts.recovered_at else None,
        summary=_summary(facts),
        impact=_impact(facts),
        measures=times.measures(facts),
        moments=tuple(replace(m, at=facts.local(m.at)) for m in times.moments(facts)),
        phases=story.phases(facts),
        snapshots=tuple(replace(s, at=facts.local(s.at)) for s in knowing.snapshots(facts)),
        considered=knowing.considered(facts),
        cause=knowing.cause(facts),
        well=lessons.well(facts),
        hurt=lessons.hurt(facts),
        actions=tuple(facts.actions),
        vendors=tuple(_vendor(facts, case) for case in incident.vendors),
        calls=called(facts),
        runs=tuple(replace(r, at=facts.local(r.at)) for r in knowing.asked(facts)),
        raw=knowing.raw(facts),
        record=story.record(facts),
        heads=tuple(facts.heads),
    )


def without_record(report: Report) -> Report:
    """For places that take no large files: the story without the record behind it."""
    return replace(report, record=(), record_left_out=True)


def _summary(facts: Facts) -> tuple[Fact, ...]:
    """Five lines: what and when, for whom, why, how fast, what now."""
    return (
        Fact(label=Text("发生了什么", "What"), text=_what(facts)),
        Fact(label=Text("影响", "Impact"), text=_hit(facts)),
        Fact(label=Text("原因", "Cause"), text=_why(facts)),
        Fact(label=Text("应对", "Response"), text=_response(facts)),
        Fact(label=Text("之后", "Next"), text=_next(facts)),
    )


def _what(facts: Facts) -> Text:
    incident, over = facts.incident, facts.recovered_at
    began = times.began_at(facts)
    where = f" ({', '.join(incident.environments)})" if incident.environments else ""
    # Within one minute "18:07 to 18:07" reads like a mistake.
    clock = "%H:%M:%S" if over is not None and (over - began).total_seconds() < 120 else "%H:%M"
    since = f"{facts.local(began):%Y-%m-%d {clock}}"
    head = f"{incident.title}{where}, {incident.severity}"
    if over is None:
        return Text(f"{head}：{since} 起，还没有恢复", f"{head}: since {since}, not over yet")
    until = facts.local(over)
    to = f"{until:{clock}}" if until.date() == facts.local(began).date() else f"{until:%m-%d %H:%M}"
    lasted = words.duration((over - began).total_seconds())
    return Text(f"{head}：{since} 至 {to}，历时 {lasted.zh}", f"{head}: from {since} to {to}, {lasted.en}")


def _hit(facts: Facts) -> Text:
    found = said.impact(facts.incident.impact, facts.incident.environments)
    return found if found.en else NOT_RECORDED


def _why(facts: Facts) -> Text:
    cause = knowing.cause(facts)
    if cause is None or not (cause.titles or cause.told):
        return Text("还没有定论", "not settled yet")
    if not cause.titles:
        return join(list(cause.told), zh="；", en="; ")
    named = join(list(cause.titles), zh="；同时，", en="; also: ")
    share = percent(cause.share)
    text = named + Text(f"（{share}）", f" ({share})")
    if not cause.sure:
        text = Text("倾向于：", "leaning to: ") + text
    return text + (Text(f"：{cause.behind.zh}", f": {cause.behind.en}") if cause.behind.en else same(""))


def _response(facts: Facts) -> Text:
    took = {m.id: m for m in times.measures(facts)}
    ack, found, over = (took[k] for k in ("time_to_acknowledge", "time_to_diagnosis", "time_to_recovery"))
    parts = []
    if ack.seconds is not None:
        parts.append(Text(f"{ack.text.zh}有人接手", f"acknowledged after {ack.text.en}"))
    else:
        parts.append(Text("没有人确认接手", "not acknowledged"))
    if found.seconds is not None:
        parts.append(Text(f"{found.text.zh}定位", f"cause named after {found.text.en}"))
    if over.seconds is not None:
        parts.append(Text(f"{over.text.zh}恢复", f"recovered after {over.text.en}"))
    if facts.calls:
        parts.append(Text(f"呼叫 {len(facts.calls)} 次", words.count(len(facts.calls), "次", "call").en))
    return join(parts, zh="，")


def _next(facts: Facts) -> Text:
    left = sum(not one.done for one in facts.actions)
    many = words.count(len(facts.actions), "项", "action item")
    if facts.actions:
        en = f"{left} of them open" if len(facts.actions) > 1 else "open" if left else "done"
        return Text(f"改进项 {many.zh}，{left} 项未完成", f"{many.en}, {en}")
    return Text("还没有登记改进项（/action add）", "no action item is written down yet (/action add)")


def _impact(facts: Facts) -> tuple[Fact, ...]:
    incident = facts.incident
    lasted = next(m for m in times.measures(facts) if m.id == "duration")
    customers = said.named(incident.impact.customers)
    rows = (
        (Text("现象", "What it meant"), same(incident.impact.text)),
        (Text("环境", "Environments"), said.named(incident.environments)),
        (Text("客户", "Customers"), customers),
        (Text("金额", "Amount"), same(incident.impact.amount)),
        (Text("持续", "Duration"), lasted.text if lasted.seconds is not None else Text("还没有恢复", "not over yet")),
    )
    return tuple(Fact(label=label, text=text if text.en else NOT_RECORDED) for label, text in rows)


def _vendor(facts: Facts, case: VendorCase) -> VendorPart:
    lines = [story.line(facts, e) for e in facts.of(EntryKind.VENDOR) if e.data.get("vendor") == case.name]
    took = (case.replied_at - case.asked_at).total_seconds() if case.replied_at else None
    if took is None:
        text = Text("没有记录到回复", "no reply on record")
    else:
        lasted = words.duration(took)
        text = Text(f"{lasted.zh}后首次回复", f"first reply after {lasted.en}")
    return VendorPart(
        name=case.name,
        asked_at=facts.local(case.asked_at),
        ticket=case.ticket,
        first_response_s=took,
        said=text,
        lines=tuple(lines),
    )


def called(facts: Facts) -> tuple[Called, ...]:
    """Every call to somebody and what came of it, the oldest first."""
    return tuple(
        Called(
            at=facts.local(call.sent_at or call.queued_at),
            person=call.person,
            by=join([WAYS[Way(way)] for way in call.ways]),
            through=call.pager,
            outcome=STATES[call.state],
        )
        for call in facts.calls
    )
