"""What is known of an incident and changes: its severity, impact, the latest update, and when the next one is due."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.app import incident_words as said
from bot.app import timers, words
from bot.app.escalation import tell
from bot.app.grading import call_people, regrade
from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.app.summary import clock, show_summary
from bot.app.times import read_length
from bot.app.which_incident import need_incident, take_id
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind, Impact, Incident, StatusUpdate
from bot.domain.message import Header, Paragraph
from bot.domain.severity import graver
from bot.domain.text import Text, same

LENGTH = 1000
"""Of a status update and of an impact; /note takes more."""
MOST_NAMES = 50
LONGEST_SNOOZE_S = 24 * 3600


async def update(call: Call, tx: Tx, current: Incident, text: str) -> None:
    """Tell everybody how it stands; the next update is due after the severity's time."""
    _check_length(text)
    told = StatusUpdate(text=text, by=call.command.user, at=call.at)
    then = timers.update_asked(call.parts, replace(current, update=told), await tx.now())
    await save(call, tx, then, same(text), update=text)
    by = call.command.user
    head = Header(text=Text(f"{then.id} 进展（{by}）", f"{then.id} update by {by}"), tone="info")
    await tell(call.parts, tx, then, head, Paragraph(text=same(text)))


async def sev(call: Call, tx: Tx, typed: list[str]) -> Then | None:
    """Change the severity. A graver one calls people as it says; one that calls nobody stops the calls."""
    current = await need_incident(call, tx, take_id(typed))
    _check_open(current)
    known = call.parts.directory.severities
    word = typed[0].lower() if typed else ""
    wanted = f"sev{word}" if word.isdigit() else word
    if wanted not in known:
        names = ", ".join(known)
        raise unknown(Text("级别", "severity"), word or "-", known, Text(f"可用：{names}", f"there are: {names}"))
    if wanted == current.severity:
        raise UserError("same_severity", Text(f"{current.id} 已经是 {wanted}", f"{current.id} is {wanted} already"))
    then = await regrade(call.parts, tx, current, wanted)
    text = said.regraded(then, was=current.severity)
    await save(call, tx, then, text, severity=wanted, was=current.severity)
    await tell(call.parts, tx, then, Header(text=text, tone="bad" if graver(wanted, current.severity) else "info"))
    await call_people(call.parts, tx, then, was=current.severity, by=call.command.user)
    return None


async def impact(call: Call, tx: Tx, typed: list[str]) -> Then | None:
    """Say what is broken for whom: TEXT [customers=a,b] [amount=N] [env=a,b]; what is left out stays as it was."""
    current = await need_incident(call, tx, take_id(typed))
    options, rest = {}, []
    for word in typed:
        key, eq, value = word.partition("=")
        if eq and key.lower() in ("customers", "customer", "amount", "env"):
            options[key.lower().removesuffix("s")] = value
        else:
            rest.append(word)
    if not typed:
        raise UserError(
            "no_impact",
            Text(
                "影响是什么？例如 /incident impact 验证码收不到 customers=acme,globex amount=3000/h",
                "what is the impact? for example /incident impact no login codes customers=acme,globex amount=3000/h",
            ),
        )
    _check_length(" ".join(rest))
    was = current.impact
    now = Impact(
        text=" ".join(rest) or was.text,
        customers=listed(options["customer"]) if "customer" in options else was.customers,
        amount=options.get("amount", was.amount),
    )
    env = listed(options["env"]) if "env" in options else current.environments
    then = replace(current, impact=now, environments=env)
    text = Text(f"{then.id} 影响：", f"impact of {then.id}: ") + said.impact(now, env)
    await save(call, tx, then, text, impact=now.text, customers=list(now.customers), amount=now.amount, env=list(env))
    await call.tell(tx, text)
    return None


async def snooze(call: Call, tx: Tx, typed: list[str]) -> Then | None:
    """Ask for nothing for a while: no status update, no commander."""
    current = await need_incident(call, tx, take_id(typed))
    _check_open(current)
    length = read_length("".join(typed) or "30m")
    if length.total_seconds() > LONGEST_SNOOZE_S:
        raise UserError(
            "too_long",
            Text("最多推迟 24 小时；例如 /incident snooze 2h", "at most 24 hours; for example /incident snooze 2h"),
        )
    until = await tx.now() + length
    nag = until if current.commander_due_at else None
    then = replace(current, update_due_at=until, commander_due_at=nag, snoozed=until)
    lasts = words.duration(length.total_seconds())
    at = clock(call.parts, until)
    text = Text(
        f"{then.id} 的提醒推迟 {lasts.zh}，到 {at}", f"reminders of {then.id} are off for {lasts.en}, until {at}"
    )
    await save(call, tx, then, text, snoozed=until.isoformat())
    await call.tell(tx, text)
    return None


def listed(value: str) -> tuple[str, ...]:
    """Names as people list them: "a,b" or "a，b"."""
    names = [name.strip() for name in value.replace("，", ",").replace("、", ",").split(",")]
    return tuple(dict.fromkeys(filter(None, names)))[:MOST_NAMES]


async def save(call: Call, tx: Tx, then: Incident, text: Text, **data: Any) -> None:
    """Write the incident, its line on the timeline and its summary."""
    await tx.incidents.save(then)
    await call.record(tx, EntryKind.INCIDENT, text, incident=then.id, **data)
    await show_summary(call.parts, tx, then)


def _check_open(incident: Incident) -> None:
    if not incident.is_open:
        state = said.STATES[incident.state]
        raise UserError(
            "wrong_state",
            Text(
                f"{incident.id} {state.zh}；先 /incident reopen {incident.id}",
                f"{incident.id} is {state.en}; /incident reopen {incident.id} first",
            ),
        )


def _check_length(text: str) -> None:
    if len(text) > LENGTH:
        raise UserError(
            "too_long",
            Text(
                f"太长（{len(text)} 字，最多 {LENGTH}）；细节用 /note 记",
                f"that is {len(text)} characters; at most {LENGTH}, and /note takes the rest",
            ),
        )
