"""The card of a step: who is being called, through whom, how each call stands, who is next. It changes in place."""

from __future__ import annotations

from collections.abc import Sequence

from bot.app import escalation_words as said
from bot.app.incident_words import STATES
from bot.app.parts import Parts, say
from bot.app.ports import Direct, Tx
from bot.app.rooms import thread_in
from bot.app.summary import show_summary
from bot.app.who import next_words
from bot.domain.escalation import Escalation, Phase, Way
from bot.domain.incident import Incident, Room
from bot.domain.message import Block, Bullets, Button, Buttons, Header, Message, Paragraph, Tone
from bot.domain.page import CALL_ALIVE, CallMade, CallState
from bot.domain.text import Text, join, same

MOST_CARDS = 20
"""Cards of older steps have ended long ago and are left as they are."""
_STILL_RINGS = CALL_ALIVE - {CallState.SENT}
"""Of an older step: a call of which nothing was heard since it was dialled is taken for over."""
BY_HAND = 0
"""The step of pages that somebody asked for by hand."""


async def show_step(parts: Parts, tx: Tx, incident: Incident, state: Escalation | None, step: int) -> None:
    """Draw the card of a step in the incident's rooms, and to those who are reached directly; and the summary."""
    await _draw_step(parts, tx, incident, state, step)
    await show_summary(parts, tx, incident)


async def _draw_step(parts: Parts, tx: Tx, incident: Incident, state: Escalation | None, step: int) -> None:
    calls = await tx.calls.list(incident.id, step=step)
    current = state if state is not None and state.step == step and state.phase is Phase.PAGING else None
    following = await next_words(parts, tx, incident, current) if current and not taken_by(incident) else None
    blocks = _step_blocks(incident, step, calls, following)
    if following and (meeting := parts.meeting(incident.id)):
        blocks = (*blocks, Paragraph(text=same(meeting), label=Text("语音会议", "Meeting")))
    places = [incident.room, incident.origin_room]
    for call in calls:
        places += await _direct(parts, tx, incident, call)
    for place in dict.fromkeys(places):
        message = Message(
            key=f"step-{incident.id}-{step}",
            room=place,
            blocks=blocks,
            thread=thread_in(place, incident) if place == incident.origin_room else "",
            mention=tuple(dict.fromkeys(filter(None, (_account(parts, place, call.person) for call in calls)))),
        )
        await say(parts, tx, message, incident=incident.id)


def _account(parts: Parts, place: str, name: str) -> str:
    """Somebody's account on the platform of a room; "" for none."""
    person = parts.directory.find(name)
    return person.account(place.partition(":")[0]) if person else ""


async def show_call(parts: Parts, tx: Tx, incident: Incident, call: CallMade) -> None:
    """Draw the card this call stands on, and the summary."""
    await _draw_call(parts, tx, incident, call)
    await show_summary(parts, tx, incident)


async def _draw_call(parts: Parts, tx: Tx, incident: Incident, call: CallMade) -> None:
    if call.step != BY_HAND:
        await _draw_step(parts, tx, incident, await tx.escalations.get(incident.id), call.step)
        return
    for place in dict.fromkeys((incident.room, incident.origin_room)):
        await say(parts, tx, hand_card(place, incident, call), incident=incident.id)


async def show_all(parts: Parts, tx: Tx, incident: Incident) -> None:
    """Draw the summary and the cards of calls under the present or the last epoch: somebody has it, or it is over."""
    calls = [c for c in await tx.calls.list(incident.id) if c.epoch >= incident.epoch - 1]
    state = await tx.escalations.get(incident.id)
    for call in [c for c in calls if c.step == BY_HAND][-MOST_CARDS:]:
        await _draw_call(parts, tx, incident, call)
    for step in list(dict.fromkeys(c.step for c in calls if c.step != BY_HAND))[-MOST_CARDS:]:
        await _draw_step(parts, tx, incident, state, step)
    await show_summary(parts, tx, incident)


def hand_card(room: str, incident: Incident, call: CallMade) -> Message:
    """The card of a page by hand."""
    taken = taken_by(incident)
    state, tone = said.STATES[call.state], _tone(call)
    if taken and call.state is not CallState.COMPLETED:
        state, tone = Text("已确认", "acknowledged"), "good"
    header = Header(text=Text(f"电话 {call.person}：{state.zh}", f"call to {call.person}: {state.en}"), tone=tone)
    if taken:
        return Message(key=f"page-{call.key}", room=room, blocks=(header,))
    hint = Paragraph(text=Text("接手后电话不再响", "calls stop as soon as somebody has it"))
    return Message(key=f"page-{call.key}", room=room, blocks=(header, hint, buttons(incident)))


def taken_by(incident: Incident) -> Text | None:
    """Who has it, or that it is over; None while people are to be called."""
    if not incident.is_open:
        return STATES[incident.state]
    if incident.acked_at is not None:
        return Text(f"{incident.acked_by} 已接手", f"{incident.acked_by} has it")
    return None


def _step_blocks(incident: Incident, step: int, calls: Sequence[CallMade], following: Text | None) -> tuple[Block, ...]:
    """`following` says who is next, while this is the last step taken."""
    names = join([same(call.person) for call in calls])
    what = same(f"{incident.id} {incident.title}")
    number = Text(f"第 {step} 步", f"step {step}") + same(f" · {incident.severity}")
    lines: tuple[Block, ...] = (Bullets(items=tuple(said.call_line(call) for call in calls)),) if calls else ()
    taken = taken_by(incident)
    if taken:
        return (Header(text=taken + same(" · ") + what, tone="good", sub=number), *lines)
    if not calls:
        head, tone = Text(f"{what.zh}：没有人可呼叫", f"{what.en}: nobody to call"), "warn"
    elif following or any(call.state in _STILL_RINGS for call in calls):
        head, tone = Text(f"{what.zh}：呼叫 {names.zh}", f"{what.en}: calling {names.en}"), "busy"
    else:
        head, tone = Text(f"{what.zh}：{names.zh} 没有接手", f"{what.en}: {names.en} did not take it"), "warn"
    blocks: tuple[Block, ...] = (Header(text=head, tone=_as_tone(tone), sub=number), *lines)
    if following is None:
        return blocks
    return (*blocks, Paragraph(text=following, label=Text("接下来", "Next")), buttons(incident))


def buttons(incident: Incident) -> Buttons:
    """Take it, or call the next one."""
    return Buttons(
        buttons=(
            Button(label=Text("我来处理", "I have it"), command=f"/ack {incident.id}", primary=True),
            Button(label=Text("现在升级", "Escalate now"), command=f"/escalate {incident.id}"),
        )
    )


def _tone(call: CallMade) -> Tone:
    if call.state in (CallState.REFUSED, CallState.FAILED):
        return "bad"
    if call.state in (CallState.BUSY, CallState.NO_ANSWER, CallState.CANCELLED):
        return "warn"
    return "info" if call.state in (CallState.ANSWERED, CallState.COMPLETED) else "busy"


def _as_tone(word: str) -> Tone:
    return "busy" if word == "busy" else "warn"


async def _direct(parts: Parts, tx: Tx, incident: Incident, call: CallMade) -> list[str]:
    """The rooms in which a platform talks to this person alone, where the call goes by app."""
    person = parts.directory.find(call.person)
    if Way.APP.value not in call.ways or person is None:
        return []
    keys = [key for p in parts.chat.values() if isinstance(p, Direct) and (key := p.direct_room(person))]
    for key in keys:
        known = await tx.rooms.get(key)
        if known is None:
            await tx.rooms.save(Room(key=key, title=person.name, lang=person.lang, incident=incident.id))
    return keys
