"""A war room of its own for an incident: asked of the platform outside any transaction, then the incident moves in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from bot.app.alert_card import show_alerts
from bot.app.parts import Parts, record, say
from bot.app.ports import Tx
from bot.app.summary import show_summary
from bot.app.who import who_of
from bot.domain.chat import Made, NewRoom
from bot.domain.errors import SendFailed
from bot.domain.incident import EntryKind, Incident, Room
from bot.domain.message import Header, Message, Paragraph
from bot.domain.text import Text, same

TITLE_LENGTH = 50
PATIENCE_S = 10.0
"""How long a platform may take; a monitoring system or a person waits for it."""


async def create_room(parts: Parts, incident: Incident, beside: Room, *, by: str, members: Sequence[str]) -> None:
    """Make the room on the platform of `beside`, where it is announced; where none can be made, that is said."""
    try:
        made = await asyncio.wait_for(ask_for_room(parts, incident, beside, beside.platform, members), PATIENCE_S)
    except (SendFailed, TimeoutError) as exc:
        why = str(exc) or f"no answer within {PATIENCE_S:g} s"
        async with parts.store.begin() as tx:
            text = Text(
                f"不能新建房间（{why}）；这个房间就是 {incident.id} 的战情室",
                f"no room can be created ({why}); this room is the war room of {incident.id}",
            )
            await _say(parts, tx, incident, beside.key, Paragraph(text=text))
        parts.wake()
        return
    key, title = made.key, _title(incident)
    async with parts.store.begin() as tx:
        current = replace(await tx.incidents.get(incident.id) or incident, room=key)
        # One that was resolved meanwhile gets its room for the record, and the room is free.
        holds = current.id if current.is_open else None
        room = Room(key=key, title=title, lang=beside.lang, incident=holds, lang_chosen=beside.lang_chosen)
        await tx.rooms.save(room)
        await tx.incidents.save(current)
        text = Text(f"战情室已建：{title}", f"war room opened: {title}")
        at = parts.clock.now()
        data = {"room": key, "members": list(members), "left_out": list(made.left_out)}
        await record(tx, EntryKind.INCIDENT, text, at=at, actor=by, room=key, incident=current.id, data=data)
        await show_summary(parts, tx, current)
        await show_alerts(parts, tx, current)
        await _bring_verdict(parts, tx, current, beside)
        go_on = Paragraph(text=Text(f"在房间 “{title}” 里继续", f'go on in the room "{title}"'))
        await _say(parts, tx, current, beside.key, Header(text=text, tone="info"), go_on)
        if made.note:
            await _say(parts, tx, current, key, Paragraph(text=same(made.note)))
    parts.wake()


def _account(parts: Parts, name: str, on: str) -> str:
    """Somebody's account there, as written down or as they were met; "" for none."""
    person = parts.directory.find(name)
    if on == "console":
        return person.name if person else ""  # It has no accounts: people go by their names there.
    return (person.account(on) if person else "") or parts.met.get((on, name), "")


async def ask_for_room(parts: Parts, incident: Incident, beside: Room, on: str, members: Sequence[str]) -> Made:
    """A room for the incident on a platform, in the language of `beside`. Raises SendFailed."""
    platform = parts.chat.get(on)
    if platform is None:
        raise SendFailed(f"the platform {on} is not configured")
    accounts = (_account(parts, name, on) for name in members)
    wanted = NewRoom(
        incident=incident.id,
        title=_title(incident),
        lang=beside.lang,
        members=tuple(dict.fromkeys(filter(None, accounts))),
        topic=f"{incident.severity} · {incident.title}",
        link=parts.public_url,
    )
    return await platform.create_room(wanted)


async def first_called(parts: Parts, tx: Tx, incident: Incident) -> list[str]:
    """Whom the first step of the severity's policy reaches now: those who should be in the room."""
    policy = parts.directory.policy_of(incident.severity)
    who, now = await who_of(parts, tx, incident), await tx.now()
    targets = policy.steps[0].who if policy and policy.steps else ()
    return list(dict.fromkeys(person.name for target in targets for person in who(target, now)))


def _title(incident: Incident) -> str:
    """A room's title as WeCom takes it (50 characters), cut with an ellipsis."""
    title = f"{incident.id} {incident.title}"
    return title if len(title) <= TITLE_LENGTH else f"{title[: TITLE_LENGTH - 1].rstrip()}…"


async def _bring_verdict(parts: Parts, tx: Tx, incident: Incident, beside: Room) -> None:
    """Show the latest verdict in the new room as well, so that nobody has to scroll back."""
    run = await tx.runs.latest(room=beside.key)
    if run is None:
        return
    for message, _, _ in await tx.messages.list(beside.key):
        if message.key == run.id:
            copy = Message(key=run.war_key, room=incident.room, blocks=message.blocks)
            await say(parts, tx, copy, incident=incident.id)


async def _say(parts: Parts, tx: Tx, incident: Incident, room: str, *blocks: Header | Paragraph) -> None:
    await say(parts, tx, Message(key=parts.new_id("msg"), room=room, blocks=blocks), incident=incident.id)
