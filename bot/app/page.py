"""`/page [WHO|POLICY]`: make phones ring until somebody acknowledges; and what a phone reports back."""

from __future__ import annotations

from dataclasses import replace

from bot.app.ack import acknowledge
from bot.app.call_card import BY_HAND, show_call
from bot.app.escalation import begin_escalation, escalate_now, named_policy, queue_page, tell
from bot.app.escalation_words import STATES
from bot.app.incident import open_here
from bot.app.incident_moves import called_again
from bot.app.parts import Call, Parts, Then, record
from bot.app.ports import Tx
from bot.app.which_incident import current_incident
from bot.app.who import next_words
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.escalating import PageDue
from bot.domain.escalation import Phase, Way
from bot.domain.incident import EntryKind, Incident, Room
from bot.domain.message import Header
from bot.domain.page import DIGIT_ACK, DIGIT_ESCALATE, CallMade, CallState, CallStatus, Person
from bot.domain.text import Text


async def page(call: Call, tx: Tx) -> Then | None:
    """Call the person named by hand, or begin the policy named; without a name, the policy of the severity.

    Opens an incident when there is none: a page needs something to acknowledge, and at 1 am nobody should have to
    declare it first.
    """
    parts = call.parts
    if not parts.directory.people and not parts.directory.vendors:
        raise UserError(
            "no_people",
            Text(
                "没有配置可以呼叫的人；在 warroom.toml 里加 [[people]]",
                "nobody can be called yet; add [[people]] to warroom.toml",
            ),
        )
    who = _who(parts, call.args)
    if isinstance(who, Person) and not parts.pagers:
        raise UserError(
            "no_pager",
            Text(
                "没有配置电话通道；在 warroom.toml 里加 [[pagers]]",
                "no phone provider is configured; add [[pagers]] to warroom.toml",
            ),
        )
    # Whom to call is what was typed: the policy of the severity is not begun beside it.
    incident = await current_incident(call, tx) or await open_here(call, tx, escalate=False)
    if isinstance(who, Person):
        await page_by_hand(parts, tx, incident, who, by=call.command.user)
    else:
        await _page_policy(call, tx, incident, who)
    return None


async def _page_policy(call: Call, tx: Tx, incident: Incident, name: str) -> None:
    parts = call.parts
    known = await tx.escalations.get(incident.id)
    if known is not None and known.phase is Phase.PAGING and not name:
        following = await next_words(parts, tx, incident, known)
        await call.tell(
            tx,
            Text(
                f"正在按策略 {known.policy} 呼叫；接下来 {following.zh}。/escalate 立即升级",
                f"policy {known.policy} is under way; next: {following.en}. /escalate takes that step now",
            ),
        )
        return
    incident = await called_again(parts, tx, incident, by=call.command.user)
    begun = await begin_escalation(parts, tx, incident, policy=name, actor=call.command.user)
    if begun is None:
        hint = Text("/page 名字 呼叫一个人", "/page NAME calls somebody")
        raise UserError(
            "no_policy",
            Text(f"级别 {incident.severity} 没有呼叫策略；", f"severity {incident.severity} has no policy; ") + hint,
        )


async def page_by_hand(parts: Parts, tx: Tx, incident: Incident, person: Person, *, by: str) -> None:
    """Queue one call outside of any policy; its step is 0."""
    attempt = 1 + sum(c.person == person.name for c in await tx.calls.list(incident.id, step=BY_HAND))
    due = PageDue(person=person, ways=(Way.PHONE,), step=BY_HAND, attempt=attempt)
    made = await queue_page(parts, tx, incident, due, await tx.now())
    said = Text(f"呼叫 {person.name}", f"paging {person.name}")
    data = {"paged": person.name, "key": made.key}
    await record(
        tx, EntryKind.PAGE, said, at=parts.clock.now(), room=incident.room, actor=by, incident=incident.id, data=data
    )
    await show_call(parts, tx, incident, made)


async def phone_reported(parts: Parts, *, pager: str, key: str, status: CallStatus, digits: str) -> bool:
    """What a provider says about a call: shown, recorded, and key 1 acknowledges. False for an unknown page."""
    now = parts.clock.now()
    async with parts.store.begin() as tx:
        placed = await tx.calls.get(key)
        # Of a page that was sent without the database the key does not begin with the incident's id.
        incident = await tx.incidents.get(placed.incident) if placed else None
        call = await tx.calls.get(key)
        if incident is None or call is None:
            return False
        if not await tx.inbox.first(f"call:{pager}:{key}:{status.value}:{digits}", at=now):
            return True
        said = STATES[CallState(status.value)]
        keyed = digits and status is not CallStatus.COMPLETED  # the end of a call repeats what was pressed
        pressed = Text(f"，按了 {digits}", f", pressed {digits}") if keyed else Text("", "")
        line = Text(f"{call.person} 的电话：{said.zh}{pressed.zh}", f"call to {call.person}: {said.en}{pressed.en}")
        facts = {"key": key, "status": status.value, "digits": digits}
        await record(
            tx, EntryKind.CALL, line, at=now, actor=pager, room=incident.room, incident=incident.id, data=facts
        )
        call = await _moved(tx, call, CallState(status.value))
        if incident.is_open and digits in (DIGIT_ACK, DIGIT_ESCALATE):
            await _pressed(parts, tx, incident, call, digits)
        else:
            await show_call(parts, tx, incident, call)
    parts.wake()
    return True


async def _moved(tx: Tx, call: CallMade, state: CallState) -> CallMade:
    """The call as the phone reports it; reports that come late change nothing."""
    if _RANK[state] < _RANK[call.state]:
        return call
    moved = replace(call, state=state)
    await tx.calls.save(moved)
    return moved


_RANK = {
    CallState.SAID: 0,
    CallState.QUEUED: 0,
    CallState.CANCELLED: 0,
    CallState.REFUSED: 0,
    CallState.SENT: 1,
    CallState.RINGING: 2,
    CallState.ANSWERED: 3,
    CallState.BUSY: 4,
    CallState.NO_ANSWER: 4,
    CallState.FAILED: 4,
    CallState.COMPLETED: 5,
}
"""A report of a lower rank than what is known has been overtaken on its way."""


async def _pressed(parts: Parts, tx: Tx, incident: Incident, call: CallMade, digits: str) -> None:
    who = call.person
    if digits == DIGIT_ACK:
        how, room = Text("按键", "by key press"), await _room_of(tx, incident)
        if not await acknowledge(parts, tx, incident, by=who, room=room, how=how, pressed=call.key):
            await show_call(parts, tx, incident, call)
        return
    await show_call(parts, tx, incident, call)
    if await tx.escalations.get(incident.id) is not None:
        await escalate_now(parts, tx, incident, actor=who)
        return
    people = list(parts.directory.people.values())
    names = [person.name for person in people]
    after = people[names.index(who) + 1 :] if who in names else []
    if after:
        await page_by_hand(parts, tx, incident, after[0], by=who)
        return
    line = Text(f"{who} 要求升级，但后面没有别人了", f"{who} asked to escalate, but nobody is next")
    await tell(parts, tx, incident, Header(text=line, tone="warn"))


async def _room_of(tx: Tx, incident: Incident) -> Room:
    return await tx.rooms.get(incident.room) or Room(key=incident.room, title=incident.id, incident=incident.id)


def _who(parts: Parts, args: tuple[str, ...]) -> Person | str:
    """The person that is named, else the name of a policy; "" for none. Raises UserError."""
    if not args:
        return ""
    name = args[0].lstrip("@")
    found = parts.directory.find(name)
    if found is not None:
        return found
    policy = named_policy(parts, name)
    if policy is not None:
        return policy.name
    known = [*parts.directory.people, *parts.directory.policies]
    hint = Text(f"可呼叫：{'、'.join(known)}", f"there are: {', '.join(known)}")
    raise unknown(Text("人", "person"), name, known, hint)
