"""The summary of an incident: one message under a fixed key in each of its rooms, edited whenever something changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.app import incident_words as said
from bot.app import words
from bot.app.escalation_words import STATES as CALL_STATES
from bot.app.parts import Parts, say
from bot.app.ports import Tx
from bot.app.rooms import places, summary_key
from bot.domain.incident import Incident, IncidentState, Run
from bot.domain.message import Block, Bullets, Button, Buttons, Header, Message, Paragraph, Tone
from bot.domain.page import CallMade
from bot.domain.text import Text, join, same

MOST_CALLED = 8
TONES: dict[IncidentState, Tone] = {IncidentState.MITIGATED: "warn", IncidentState.RESOLVED: "good"}


async def show_summary(parts: Parts, tx: Tx, incident: Incident) -> None:
    """Draw it anew in the incident's rooms; call this after whatever changes the incident."""
    blocks = await summary(parts, tx, incident)
    for place in await places(tx, incident):
        message = Message(key=summary_key(incident.id), room=place, blocks=blocks, pinned=place == incident.room)
        await say(parts, tx, message, incident=incident.id)


async def summary(parts: Parts, tx: Tx, incident: Incident) -> tuple[Block, ...]:
    """How an incident stands: the answer first, then who does what, then where to read on."""
    run = await _latest_run(tx, incident)
    calls = await tx.calls.list(incident.id)
    tone: Tone = "bad" if incident.escalates else TONES.get(incident.state, "info")
    head = Header(text=said.title_of(incident), tone=tone, sub=_standing(parts, incident))
    labelled = (
        (Text("影响", "Broken for"), said.impact(incident.impact, incident.environments)),
        (Text("结论", "Verdict"), _verdict(parts, run)),
        (Text("角色", "Roles"), said.roles(incident)),
        (Text("接手", "On it"), _acked(parts, incident)),
        (Text("呼叫过", "Called"), _called(calls)),
        (Text("厂商", "Vendor"), vendors(parts, incident)),
        (Text("最近进展", "Last update"), _update(parts, incident)),
        (Text("下次进展", "Next update"), _due(parts, incident)),
        (Text("并入", "Merged into"), same(incident.merged_into or "")),
    )
    facts = tuple(label + Text("：", ": ") + text for label, text in labelled if text.en)
    return (head, Bullets(items=facts), *_links(parts, incident), Buttons(buttons=_buttons(incident, run)))


async def _latest_run(tx: Tx, incident: Incident) -> Run | None:
    """The newest of its runs that found something."""
    runs = [run for key in incident.rooms if (run := await tx.runs.latest(room=key)) and run.incident == incident.id]
    return max(runs, key=lambda run: run.started_at, default=None)


def _standing(parts: Parts, incident: Incident) -> Text:
    """Severity, state, since when, and how long it lasted once it is over."""
    since = parts.local(incident.opened_at)
    at = f"{since:%m-%d %H:%M} {words.zone(since)}"
    state = said.STATES[incident.state]
    standing = Text(
        f"{incident.severity} · {state.zh} · {at} 起 · {incident.opened_by} 登记",
        f"{incident.severity} · {state.en} · since {at} · declared by {incident.opened_by}",
    )
    if incident.resolved_at is None or incident.is_open:
        return standing
    lasted = words.duration((incident.resolved_at - incident.opened_at).total_seconds())
    return standing + Text(f" · 历时 {lasted.zh}", f" · lasted {lasted.en}")


def clock(parts: Parts, at: datetime) -> str:
    """A moment of the night, as "23:05"."""
    return f"{parts.local(at):%H:%M}"


def _verdict(parts: Parts, run: Run | None) -> Text:
    if run is None or run.document is None:
        return same("")
    headline = run.document.get("texts", {}).get("headline")
    text = Text(**headline) if headline else same(str(run.document.get("headline", "")))
    return same(f"{clock(parts, run.finished_at or run.started_at)} ") + text


def _acked(parts: Parts, incident: Incident) -> Text:
    if incident.acked_at is None:
        return Text("还没有人接手", "nobody has acknowledged yet") if incident.is_open else same("")
    at = clock(parts, incident.acked_at)
    return Text(f"{incident.acked_by}，{at}", f"{incident.acked_by} since {at}")


def _called(calls: Sequence[CallMade]) -> Text:
    """Each person once, with what came of the latest call."""
    latest = {call.person: CALL_STATES[call.state] for call in calls}
    shown = [Text(f"{name}（{state.zh}）", f"{name} ({state.en})") for name, state in latest.items()]
    more = len(shown) - MOST_CALLED
    if more > 0:
        shown = [*shown[-MOST_CALLED:], Text(f"另外 {more} 人", f"{more} more")]
    return join(shown)


def vendors(parts: Parts, incident: Incident) -> Text:
    """Each company asked, its ticket, and how long it took to answer."""
    out = []
    for case in incident.vendors:
        ticket = f" {case.ticket}" if case.ticket else ""
        if case.replied_at is None:
            asked = clock(parts, case.asked_at)
            out.append(
                Text(
                    f"{case.name}{ticket}：{asked} 已联系，还没有回复", f"{case.name}{ticket}: asked {asked}, no reply"
                )
            )
        else:
            took = words.duration((case.replied_at - case.asked_at).total_seconds())
            out.append(
                Text(f"{case.name}{ticket}：{took.zh}后首次回复", f"{case.name}{ticket}: first reply after {took.en}")
            )
    return join(out, zh="；", en="; ")


def _update(parts: Parts, incident: Incident) -> Text:
    if incident.update is None:
        return same("")
    return same(f"{clock(parts, incident.update.at)} {incident.update.text} ({incident.update.by})")


def _due(parts: Parts, incident: Incident) -> Text:
    if incident.update_due_at is None or not incident.is_open:
        return same("")
    at = clock(parts, incident.update_due_at)
    # A snooze moves the timer to its own end; a later reminder is an ordinary one again.
    if incident.snoozed is not None and abs(incident.snoozed - incident.update_due_at) < timedelta(seconds=1):
        return Text(f"{at}（已推迟）", f"{at} (snoozed)")
    return same(at)


def _links(parts: Parts, incident: Incident) -> tuple[Block, ...]:
    links = []
    if incident.is_open and (meeting := parts.meeting(incident.id)):
        links.append(Paragraph(text=same(meeting), label=Text("语音会议", "Meeting")))
    if parts.public_url:
        url = f"{parts.public_url}/incidents/{incident.id}"
        links.append(Paragraph(text=same(url), label=Text("控制台与时间线", "Console and timeline")))
    return tuple(links)


def _buttons(incident: Incident, run: Run | None) -> tuple[Button, ...]:
    """What can be done next, by id, so that a button in a room that has gone on to something else does no harm."""
    if incident.merged_into:
        return (Button(label=Text("时间线", "Timeline"), command=f"/timeline {incident.id}"),)
    buttons = []
    if incident.is_open:
        if incident.acked_at is None:
            buttons.append(Button(label=Text("我来处理", "I have it"), command=f"/ack {incident.id}", primary=True))
            buttons.append(Button(label=Text("呼叫值班", "Page on-call"), command=f"/escalate {incident.id}"))
        if incident.commander is None:
            buttons.append(
                Button(label=Text("我来指挥", "I command"), command=f"/incident role {incident.id} commander")
            )
        if run is None and incident.playbook:
            buttons.append(Button(label=Text("诊断", "Diagnose"), command=f"/diag {incident.playbook}"))
        if incident.state is not IncidentState.MITIGATED:
            buttons.append(Button(label=Text("已缓解", "Mitigated"), command=f"/incident mitigate {incident.id}"))
        buttons.append(Button(label=Text("已解决", "Resolved"), command=f"/incident resolve {incident.id}"))
        buttons.append(Button(label=Text("晚点提醒", "Snooze 30m"), command=f"/incident snooze {incident.id} 30m"))
    else:
        buttons.append(Button(label=Text("重新打开", "Reopen"), command=f"/incident reopen {incident.id}"))
        if incident.state is IncidentState.RESOLVED:
            buttons.append(Button(label=Text("关闭", "Close"), command=f"/incident close {incident.id}"))
    return (*buttons, Button(label=Text("时间线", "Timeline"), command=f"/timeline {incident.id}"))
