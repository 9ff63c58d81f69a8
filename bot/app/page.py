"""`/page [WHO]`: make somebody's phone ring until it is acknowledged; and what the phone reports back."""

from __future__ import annotations

from dataclasses import replace

from bot.app.ack import acknowledge
from bot.app.incident import current_incident, open_here
from bot.app.outgoing import page_row
from bot.app.parts import Call, Parts, Then, record, say
from bot.app.ports import Tx
from bot.domain.command import Command, unknown
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind, Incident, IncidentState, Room
from bot.domain.message import Button, Buttons, Header, Message, Paragraph, Tone
from bot.domain.page import DIGIT_ACK, DIGIT_ESCALATE, CallStatus, Page, Person
from bot.domain.text import Text

STATUS: dict[CallStatus, tuple[Tone, Text]] = {
    CallStatus.RINGING: ("busy", Text("电话在响", "the phone is ringing")),
    CallStatus.ANSWERED: ("info", Text("已接听", "answered")),
    CallStatus.BUSY: ("warn", Text("占线", "busy")),
    CallStatus.NO_ANSWER: ("warn", Text("没有人接", "no answer")),
    CallStatus.FAILED: ("bad", Text("没有打通", "the call failed")),
    CallStatus.COMPLETED: ("info", Text("通话结束", "the call is over")),
}


async def page(call: Call, tx: Tx) -> Then | None:
    """Queue a call to the person named, or to the first one configured; opens an incident when there is none.

    A page needs something to acknowledge, and at 1 am nobody should have to declare it first.
    """
    parts = call.parts
    person = _who(parts, call.args)
    if not parts.pagers:
        raise UserError(
            "no_pager",
            Text(
                "没有配置电话通道；在 warroom.toml 里加 [[pagers]]",
                "no phone provider is configured; add [[pagers]] to warroom.toml",
            ),
        )
    incident = await current_incident(call, tx) or await open_here(call, tx)
    attempt = 1 + sum(
        1 for e in await tx.timeline.read(incident=incident.id, limit=100_000) if e.data.get("paged") == person.name
    )
    key = f"{incident.id}:1:{person.name}:{attempt}"
    text = (
        f"{incident.severity} {incident.title}。按 1 确认，按 2 升级。"
        if person.lang == "zh"
        else f"{incident.severity} {incident.title}. Press 1 to acknowledge, 2 to escalate."
    )
    queued = Page(
        key=key,
        incident=incident.id,
        severity=incident.severity,
        title=incident.title,
        text=text,
        person=person,
        attempt=attempt,
        epoch=incident.epoch,
        callback_url=parts.callback_url,
        ack_url=parts.ack_link(key),
    )
    await tx.outbox.add(page_row(queued, due_at=call.at))
    said = Text(f"呼叫 {person.name}", f"paging {person.name}")
    await call.record(tx, EntryKind.PAGE, said, paged=person.name, key=key)
    await say(
        parts, tx, _card(call.room.key, key, person.name, "busy", Text("正在呼叫", "calling")), incident=incident.id
    )
    return None


async def phone_reported(parts: Parts, *, pager: str, key: str, status: CallStatus, digits: str) -> bool:
    """What a provider says about a call: shown, recorded, and key 1 acknowledges. False for an unknown page."""
    incident_id, _, rest = key.partition(":")
    who = rest.split(":")[1] if rest.count(":") >= 2 else "?"
    now = parts.clock.now()
    async with parts.store.begin() as tx:
        incident = await tx.incidents.get(incident_id)
        if incident is None:
            return False
        if not await tx.inbox.first(f"call:{pager}:{key}:{status.value}:{digits}", at=now):
            return True
        tone, said = STATUS[status]
        keyed = digits and status is not CallStatus.COMPLETED  # the end of a call repeats what was pressed
        pressed = Text(f"，按了 {digits}", f", pressed {digits}") if keyed else Text("", "")
        line = Text(f"{who} 的电话：{said.zh}{pressed.zh}", f"call to {who}: {said.en}{pressed.en}")
        facts = {"key": key, "status": status.value, "digits": digits}
        await record(
            tx, EntryKind.CALL, line, at=now, actor=pager, room=incident.room, incident=incident.id, data=facts
        )
        room = await _room_of(tx, incident)
        over = incident.acked_at is not None or incident.state is IncidentState.RESOLVED
        if digits == DIGIT_ACK:
            await acknowledge(parts, tx, incident, by=who, room=room, how=Text("按键", "by key press"))
        if not over:
            if digits == DIGIT_ACK:
                tone, said, pressed = "good", Text("已确认", "acknowledged"), Text("", "")
            for place in {incident.room, incident.origin_room}:
                await say(parts, tx, _card(place, key, who, tone, said + pressed), incident=incident.id)
        if digits == DIGIT_ESCALATE:
            await _escalate(parts, tx, incident, room, away_from=who)
    parts.wake()
    return True


async def _escalate(parts: Parts, tx: Tx, incident: Incident, room: Room, *, away_from: str) -> None:
    """Key 2: call the next person in the list. Policies with steps and times come with escalation."""
    names = list(parts.people)
    after = names[names.index(away_from) + 1 :] if away_from in names else []
    if not after:
        line = Text(f"{away_from} 要求升级，但后面没有别人了", f"{away_from} asked to escalate, but nobody is next")
        blocks = (Header(text=line, tone="warn"),)
        await say(parts, tx, Message(key=parts.new_id("msg"), room=incident.room, blocks=blocks), incident=incident.id)
        return
    command = Command(verb="page", args=(after[0],), raw=f"page {after[0]}", user=away_from, room=room.key)
    await page(Call(parts=parts, command=command, room=replace(room, incident=incident.id), at=parts.clock.now()), tx)


async def _room_of(tx: Tx, incident: Incident) -> Room:
    return await tx.rooms.get(incident.room) or Room(key=incident.room, title=incident.id, incident=incident.id)


def _card(room: str, key: str, who: str, tone: Tone, state: Text) -> Message:
    """The page's card; it changes in place as the call goes on."""
    header = Header(text=Text(f"电话 {who}：{state.zh}", f"call to {who}: {state.en}"), tone=tone)
    hint = Paragraph(text=Text("接手后电话不再响", "calls stop as soon as somebody has it"))
    button = Buttons(buttons=(Button(label=Text("我来处理", "I have it"), command="/ack", primary=True),))
    blocks = (header,) if tone == "good" else (header, hint, button)
    return Message(key=f"page-{key}", room=room, blocks=blocks)


def _who(parts: Parts, args: tuple[str, ...]) -> Person:
    if not parts.people:
        raise UserError(
            "no_people",
            Text(
                "没有配置可以呼叫的人；在 warroom.toml 里加 [[people]]",
                "nobody can be called yet; add [[people]] to warroom.toml",
            ),
        )
    if not args:
        return next(iter(parts.people.values()))
    name = args[0].lstrip("@")
    by_name = {known.lower(): person for known, person in parts.people.items()}
    found = by_name.get(name.lower())
    if found is None:
        hint = Text(f"可呼叫：{'、'.join(parts.people)}", f"there are: {', '.join(parts.people)}")
        raise unknown(Text("人", "person"), name, parts.people, hint)
    return found
