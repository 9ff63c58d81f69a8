"""Escalation: one transaction for each step that is due. Decide, queue the pages, write the record, set the timer.

There is no I/O in such a transaction, so a crash rolls it back and another bot takes it up. Locks are taken in one
order everywhere: the incident, its escalation, then calls and outbox.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime

from bot.app import escalation_words as said
from bot.app.call_card import show_step
from bot.app.outgoing import page_row
from bot.app.parts import Parts, record, say
from bot.app.ports import Tx
from bot.app.rooms import places, thread_in
from bot.app.who import next_words, policies_of, who_of
from bot.domain.errors import StoreUnavailable
from bot.domain.escalating import Decision, PageDue, begin, decide, held, hurried, over
from bot.domain.escalation import Escalation, Phase, Policy
from bot.domain.incident import EntryKind, Incident
from bot.domain.message import Block, Header, Message
from bot.domain.page import CallMade, CallState, Page, Person, page_key
from bot.domain.text import Text, join

log = logging.getLogger("warroom.escalation")

RETRY_S = 1.0
"""How long after the database refused the loop looks again; the tick would do so too."""
BUSY_S = 0.05
"""A due timer whose incident somebody else has locked is looked at again after this."""


class Escalator:
    """Takes the steps that are due, for as long as `run` runs; any number of bots may do so on one database.

    `wake_in` asks for a call of `wake` after so many seconds: the exact moment of the next step. Ticks come beside it.
    """

    def __init__(self, parts: Parts, wake_in: Callable[[float], None]) -> None:
        self._parts = parts
        self._wake_in = wake_in
        self._wake = asyncio.Event()
        self._looked = parts.clock.monotonic()

    def silent_s(self) -> float:
        """Seconds since this bot last looked for steps with success."""
        return self._parts.clock.monotonic() - self._looked

    def wake(self) -> None:
        """Something may be due: look now."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set and `wake` called."""
        while not stop.is_set():
            self._wake.clear()
            try:
                while not stop.is_set() and await take_due(self._parts):
                    pass
                await self._set_alarm()
                self._looked = self._parts.clock.monotonic()
            except StoreUnavailable as exc:
                log.warning("cannot look for steps that are due: %s", exc)
                self._wake_in(RETRY_S)
            except Exception:
                # The loop that wakes people up ends when it is told to, and for nothing else.
                log.exception("a step that is due could not be taken")
                self._wake_in(RETRY_S)
            await self._wake.wait()

    async def _set_alarm(self) -> None:
        async with self._parts.store.begin() as tx:
            left = await tx.escalations.next_in()
        if left is not None:
            self._wake_in(max(BUSY_S, left.total_seconds()))


async def take_due(parts: Parts) -> bool:
    """Take the steps of one escalation that is due; False when none is."""
    async with parts.store.begin() as tx:
        state = await tx.escalations.claim()
        if state is None:
            return False
        incident = await tx.incidents.get(state.incident)
        if incident is None:
            raise LookupError(f"escalation of {state.incident}, which is no incident")
        await advance(parts, tx, incident, state)
    parts.wake()
    return True


_adopted: ContextVar[tuple[Escalation, Sequence[CallMade]] | None] = ContextVar("adopted", default=None)


@contextmanager
def adopting(state: Escalation, calls: Sequence[CallMade]) -> Iterator[None]:
    """The escalation that begins meanwhile takes this one over: it ran without the database."""
    token = _adopted.set((state, calls))
    try:
        yield
    finally:
        _adopted.reset(token)


async def begin_escalation(
    parts: Parts, tx: Tx, incident: Incident, *, policy: str = "", actor: str = "warroom"
) -> Escalation | None:
    """Start calling people about an incident, in the transaction that opens it or asks for it.

    `policy` "" is that of its severity. One that runs already goes on, unless a policy is named: then that one begins
    from its first step. None when the severity has no policy. Call `parts.wake` after the commit.
    """
    chosen = parts.directory.policies.get(policy) if policy else parts.directory.policy_of(incident.severity)
    known = await tx.escalations.get(incident.id)
    if chosen is None or not chosen.steps:
        return known
    if known is not None and known.phase is Phase.PAGING and not policy:
        return known
    if known is None and (spooled := _adopted.get()) is not None:
        return await _adopt(parts, tx, incident, *spooled)
    now = await tx.now()
    # Also where its row is gone: a key that was used is never used again.
    step = known.step if known else max((c.step for c in await tx.calls.list(incident.id)), default=0)
    state = begin(incident.id, chosen, severity=incident.severity, epoch=incident.epoch, now=now, step=step)
    await tx.escalations.begin(state)
    words = said.began(state)
    data = {"policy": state.first, "severity": state.severity}
    await _record(tx, incident, words, at=now, actor=actor, data=data)
    if incident.acked_at is not None:
        return await _once(parts, tx, incident, state)
    return await advance(parts, tx, incident, state)


async def _adopt(parts: Parts, tx: Tx, incident: Incident, state: Escalation, calls: Sequence[CallMade]) -> Escalation:
    """Go on where it stood; calls that were made keep their keys, those nobody took are queued now."""
    now = await tx.now()
    adopted = replace(state, incident=incident.id, epoch=incident.epoch)
    await tx.escalations.begin(adopted)
    for call in calls:
        person = parts.directory.find(call.person)
        if call.state is CallState.QUEUED and person is not None:
            page = page_of(parts, incident, person, step=call.step, attempt=call.attempt)
            await tx.outbox.add(page_row(replace(page, key=call.key, ack_url=parts.ack_link(call.key)), due_at=now))
        await tx.calls.add(replace(call, incident=incident.id, epoch=incident.epoch))
    names = join([Text(call.person, call.person) for call in calls])
    words = Text(
        f"数据库不可用期间已呼叫：{names.zh or '无'}", f"called while the database was away: {names.en or 'nobody'}"
    )
    data = {"policy": state.first, "spooled": [call.key for call in calls]}
    await _record(tx, incident, words, at=now, data=data)
    for step in dict.fromkeys(call.step for call in calls):
        await show_step(parts, tx, incident, adopted, step)
    return await advance(parts, tx, incident, adopted)


async def escalate_now(parts: Parts, tx: Tx, incident: Incident, *, actor: str) -> Escalation | None:
    """Take the next step now. Begins where nothing has begun; an incident somebody has gets one step more."""
    state = await tx.escalations.get(incident.id)
    if state is None:
        return await begin_escalation(parts, tx, incident, actor=actor)
    now = await tx.now()
    words = Text(f"{actor} 要求升级", f"{actor} asked to escalate")
    await _record(tx, incident, words, at=now, actor=actor, data={"asked": True})
    if incident.acked_at is not None:
        return await _once(parts, tx, incident, state)
    return await advance(parts, tx, incident, hurried(state, now))


async def advance(parts: Parts, tx: Tx, incident: Incident, state: Escalation) -> Escalation:
    """Take what is due of an escalation that is locked with its incident, and write where it stands."""
    now = await tx.now()
    if not incident.escalates:
        state = over(state)
    elif incident.acked_at is not None and state.phase is Phase.PAGING:
        state = hold(parts, incident, state, now)
    else:
        state = replace(state, severity=incident.severity, epoch=incident.epoch)
        decision = decide(state, policies=policies_of(parts), who=await who_of(parts, tx, incident), now=now)
        if decision.unacknowledged:
            incident = await _unacknowledge(parts, tx, incident, now)
        await _carry_out(parts, tx, incident, decision, now)
        return decision.next
    await tx.escalations.save(state)
    return state


def hold(parts: Parts, incident: Incident, state: Escalation, now: datetime) -> Escalation:
    """Somebody has the incident: the timer is when that stops to count."""
    after = parts.directory.severity(incident.severity).unack_after
    return held(state, epoch=incident.epoch, until=now + after if after else None)


async def touched(tx: Tx, parts: Parts, incident: Incident | None) -> None:
    """Somebody did something about the incident: an acknowledgement goes on counting from now."""
    if incident is None or incident.acked_at is None:
        return
    state = await tx.escalations.get(incident.id)
    if state is not None and state.phase is Phase.HELD:
        await tx.escalations.save(hold(parts, incident, state, await tx.now()))


async def _once(parts: Parts, tx: Tx, incident: Incident, state: Escalation) -> Escalation:
    """One step for an incident that somebody has: people are called in, and the acknowledgement stands."""
    now = await tx.now()
    state = replace(state, epoch=incident.epoch, severity=incident.severity)
    asked = hurried(replace(state, phase=Phase.PAGING), now)
    decision = decide(asked, policies=policies_of(parts), who=await who_of(parts, tx, incident), now=now)
    then = hold(parts, incident, decision.next, now)
    await _carry_out(parts, tx, incident, replace(decision, next=then, exhausted=False), now)
    return then


async def _unacknowledge(parts: Parts, tx: Tx, incident: Incident, now: datetime) -> Incident:
    words = said.unacknowledged(incident.acked_by or "?", parts.directory.severity(incident.severity).unack_after)
    nobodys = replace(incident, acked_at=None, acked_by=None)
    await tx.incidents.save(nobodys)
    await _record(tx, incident, words, at=now, data={"unacknowledged": incident.acked_by})
    mention = Text(f"@{incident.acked_by} ", f"@{incident.acked_by} ") if incident.acked_by else Text("", "")
    await tell(parts, tx, incident, Header(text=mention + words, tone="bad"))
    return nobodys


async def _carry_out(parts: Parts, tx: Tx, incident: Incident, decision: Decision, now: datetime) -> None:
    await tx.escalations.save(decision.next)
    if decision.lost_policy:
        words = said.lost_policy(decision.lost_policy)
        await _record(tx, incident, words, at=now, data={"lost_policy": decision.lost_policy})
        await tell(parts, tx, incident, Header(text=words, tone="warn"))
    calls = [await queue_page(parts, tx, incident, due, now) for due in decision.pages]
    if decision.taken:
        last = decision.taken[-1]
        words = said.steps_taken(decision)
        data = {
            "policy": last.policy,
            "round": last.round,
            "steps": [step.step for step in decision.taken],
            "pages": [{"key": c.key, "person": c.person, "ways": list(c.ways), "step": c.step} for c in calls],
            "next": decision.next.due_at.isoformat() if decision.next.due_at else None,
        }
        await _record(tx, incident, words, at=now, data=data)
        before = decision.taken[0].step - 1
        if before:
            # Its card says no longer who is next, and offers nothing any more.
            await show_step(parts, tx, incident, decision.next, before)
        await show_step(parts, tx, incident, decision.next, last.step)
        gaps = list(dict.fromkeys(gap for step in decision.taken for gap in said.gaps(replace(step, quiet=False))))
        if gaps:
            await tell(parts, tx, incident, Header(text=join(gaps, zh="；", en="; "), tone="warn"))
    if decision.exhausted:
        await _exhausted(parts, tx, incident, decision, now)


async def queue_page(parts: Parts, tx: Tx, incident: Incident, due: PageDue, now: datetime) -> CallMade:
    """One page: its call, which is returned, and the outbox row where a phone is to ring."""
    call = due.call(incident.id, epoch=incident.epoch, at=now)
    if call.state is CallState.QUEUED:
        page = page_of(parts, incident, due.person, step=due.step, attempt=due.attempt)
        await tx.outbox.add(page_row(page, due_at=now))
    await tx.calls.add(call)
    return call


def page_of(parts: Parts, incident: Incident, person: Person, *, step: int, attempt: int) -> Page:
    """The page to one person."""
    key = page_key(incident.id, step=step, person=person.name, attempt=attempt)
    text = (
        f"{incident.severity} {incident.title}。按 1 确认，按 2 升级。"
        if person.lang == "zh"
        else f"{incident.severity} {incident.title}. Press 1 to acknowledge, 2 to escalate."
    )
    return Page(
        key=key,
        incident=incident.id,
        severity=incident.severity,
        title=incident.title,
        text=text,
        person=person,
        step=step,
        attempt=attempt,
        epoch=incident.epoch,
        callback_url=parts.callback_url,
        ack_url=parts.ack_link(key),
        meeting_url=parts.meeting(incident.id),
    )


async def _exhausted(parts: Parts, tx: Tx, incident: Incident, decision: Decision, now: datetime) -> None:
    then = decision.next
    following = await next_words(parts, tx, incident, then)
    words = said.exhausted(decision, len(then.called), following)
    ended = then.phase is Phase.OVER
    await _record(tx, incident, words, at=now, data={"exhausted": then.policy, "again": not ended})
    await tell(parts, tx, incident, Header(text=Text(f"{incident.id}：", f"{incident.id}: ") + words, tone="bad"))


async def tell(parts: Parts, tx: Tx, incident: Incident, *blocks: Block) -> None:
    """Say something new in the incident's rooms."""
    for place in await places(tx, incident):
        message = Message(key=parts.new_id("msg"), room=place, blocks=blocks, thread=thread_in(place, incident))
        await say(parts, tx, message, incident=incident.id)


async def _record(
    tx: Tx, incident: Incident, words: Text, *, at: datetime, data: Mapping[str, object], actor: str = "warroom"
) -> None:
    await record(
        tx, EntryKind.ESCALATION, words, at=at, room=incident.room, actor=actor, incident=incident.id, data=data
    )


def named_policy(parts: Parts, word: str) -> Policy | None:
    """A policy by name, capitals aside."""
    return next((p for name, p in parts.directory.policies.items() if name.lower() == word.lower()), None)
