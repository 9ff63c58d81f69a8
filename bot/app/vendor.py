"""`/vendor NAME [ticket T-1 | replied TEXT]`: whom to talk to, the evidence for them, their ticket, their answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from bot.app.evidence import evidence_pack
from bot.app.parts import Call, Parts, Then, say
from bot.app.ports import Tx
from bot.app.summary import show_summary
from bot.app.which_incident import current_incident, need_incident
from bot.app.words import duration
from bot.domain.command import unknown
from bot.domain.directory import Vendor
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind, Incident, Room, Run, VendorCase
from bot.domain.message import Block, Bullets, Header, Message, Paragraph
from bot.domain.text import Text, same

TICKET_LENGTH = 80


async def vendor(call: Call, tx: Tx) -> Then | None:
    """Show whom to talk to and send the evidence, or keep the ticket, or that they have answered."""
    typed = call.command.rest.split()
    run = await call.latest_run(tx)
    name = typed.pop(0).lower() if typed else _vendor_of(call, run)
    known = _known(call.parts)
    if name not in known:
        hint = Text(f"有：{'、'.join(sorted(known))}", f"there are: {', '.join(sorted(known))}")
        raise unknown(Text("厂商", "vendor"), name or "-", known, hint)
    word = typed.pop(0).lower() if typed else ""
    if word in ANSWERS:
        await ANSWERS[word](call, tx, name, " ".join(typed))
        return None
    if word:
        hint = Text(f"/vendor {name}、ticket 单号、replied 内容", f"/vendor {name}, ticket NUMBER, replied TEXT")
        raise unknown(Text("动作", "action"), word, ANSWERS, hint)
    await _ask(call, tx, name, run)
    return None


def _known(parts: Parts) -> set[str]:
    named = {name.lower() for name in parts.directory.vendors}
    return {p.vendor.lower() for p in parts.playbooks.values() if p.vendor} | set(parts.vendors) | named


def vendor_named(parts: Parts, name: str) -> Vendor | None:
    """What the directory knows of a company, capitals aside."""
    return next((v for v in parts.directory.vendors.values() if v.name.lower() == name.lower()), None)


async def _ask(call: Call, tx: Tx, name: str, run: Run | None) -> None:
    """Post the evidence of the room's latest run into the vendor's room, and say that it was done."""
    parts = call.parts
    contacts = vendor_named(parts, name)
    if run is None or run.document is None:
        text = Text("还没有证据可发；先 /diag", "there is no evidence to send yet; /diag first")
        if contacts is None:
            raise UserError("no_evidence", text)
        await call.reply(tx, *about(contacts), Paragraph(text=text))
        return
    key = parts.vendors.get(name) or (contacts.room if contacts else "") or f"{call.room.platform}:vendor-{name}"
    fresh = Room(key=key, title=f"{name} support", lang=call.room.lang, lang_chosen=call.room.lang_chosen)
    room = await tx.rooms.get(key) or fresh
    await tx.rooms.save(room)
    incident = await current_incident(call, tx)
    case = _case(incident, name)
    known_as = " · ".join(filter(None, (incident.id if incident else "", case.ticket if case else "")))
    pack = evidence_pack(run, run.document, zone=parts.timezone, case=known_as)
    await say(parts, tx, Message(key=f"pack-{run.id}", room=key, blocks=pack), incident=call.room.incident)
    text = Text(f"证据已发到厂商群 “{room.title}”", f'evidence sent to the vendor\'s room "{room.title}"')
    await call.record(tx, EntryKind.VENDOR, text, run=run.id, vendor=name, room=key)
    await call.reply(tx, *(about(contacts) if contacts else ()), Paragraph(text=text))
    if incident is not None and case is None:
        await _keep(call, tx, incident, VendorCase(name=name, asked_at=call.at))


def about(contacts: Vendor) -> tuple[Block, ...]:
    """Whom to talk to at another company: people with their numbers, lines, group, and what was bought."""
    lines = [same(f"{p.name} {p.phone}".strip()) for p in contacts.people]
    lines += [Text(f"热线 {phone}", f"line {phone}") for phone in contacts.phones]
    for label, value in (
        (Text("群", "group"), contacts.room),
        (Text("服务计划", "support plan"), contacts.plan),
        (Text("开工单", "open a ticket"), contacts.ticket_url),
    ):
        if value:
            lines.append(label + Text("：", ": ") + same(value))
    nothing = Text("值班文件里没有联系方式", "the on-call files name no contacts")
    return (Header(text=contacts.title, tone="info"), Bullets(items=tuple(lines) or (nothing,)))


async def _ticket(call: Call, tx: Tx, name: str, words: str) -> None:
    """The number of the ticket at the vendor."""
    if not words or len(words) > TICKET_LENGTH:
        raise UserError(
            "no_ticket",
            Text(
                f"单号是什么（最多 {TICKET_LENGTH} 字）？例如 /vendor {name} ticket T-123",
                f"which ticket (at most {TICKET_LENGTH} characters)? for example /vendor {name} ticket T-123",
            ),
        )
    incident = await need_incident(call, tx)
    case = _case(incident, name) or VendorCase(name=name, asked_at=call.at)
    text = Text(f"{name} 工单 {words}", f"{name} ticket {words}")
    await call.record(tx, EntryKind.VENDOR, text, vendor=name, ticket=words)
    await call.tell(tx, text)
    await _keep(call, tx, incident, replace(case, ticket=words))


async def _replied(call: Call, tx: Tx, name: str, words: str) -> None:
    """The vendor has answered; the first time counts."""
    incident = await need_incident(call, tx)
    case = _case(incident, name) or VendorCase(name=name, asked_at=incident.opened_at)
    first = case.replied_at is None
    took = (call.at - case.asked_at).total_seconds()
    lasted = duration(took)
    text = Text(f"{name} 回复", f"{name} replied")
    if first:
        text += Text(f"（{lasted.zh}后首次回复）", f" (the first time, after {lasted.en})")
    if words:
        text += Text("：", ": ") + same(words)
    data: dict[str, Any] = {"reply": words, **({"time_to_first_response_s": round(took, 1)} if first else {})}
    await call.record(tx, EntryKind.VENDOR, text, vendor=name, **data)
    await call.tell(tx, text)
    await _keep(call, tx, incident, replace(case, replied_at=case.replied_at or call.at))


ANSWERS: Mapping[str, Callable[[Call, Tx, str, str], Awaitable[None]]] = {"ticket": _ticket, "replied": _replied}


def _case(incident: Incident | None, name: str) -> VendorCase | None:
    return next((c for c in incident.vendors if c.name == name), None) if incident else None


async def _keep(call: Call, tx: Tx, incident: Incident, case: VendorCase) -> None:
    """Put the case on the incident, in place of what it was."""
    cases = {c.name: c for c in incident.vendors} | {case.name: case}
    then = replace(incident, vendors=tuple(cases.values()))
    await tx.incidents.save(then)
    await show_summary(call.parts, tx, then)


def _vendor_of(call: Call, run: Run | None) -> str:
    playbook = call.parts.playbooks.get(run.playbook) if run else None
    return playbook.vendor if playbook else ""
