"""Commands in: one transaction accepts each, its use case writes into it, and work that takes longer follows."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.app import (
    ack,
    action,
    agents,
    escalate,
    helping,
    incident,
    language,
    note,
    oncall,
    page,
    playbooks,
    probe,
    related,
    similar,
    timeline,
    vendor,
    warroom,
    watch,
)
from bot.app.access import check_access
from bot.app.escalation import touched
from bot.app.outgoing import chat_row
from bot.app.parts import Call, Parts, Then, answering, record, say
from bot.app.ports import Tx
from bot.app.postmortem.command import postmortem
from bot.app.rooms import room_of
from bot.domain import command as commands
from bot.domain.access import Level, needed
from bot.domain.command import Command, unknown
from bot.domain.errors import SendFailed, StoreBusy, StoreUnavailable, UserError
from bot.domain.incident import EntryKind, Room
from bot.domain.message import Block, Header, Message, Paragraph
from bot.domain.text import Text, legible, same

log = logging.getLogger("warroom")

MOST_TRIES = 3
"""Of a command that another one was in the way of."""
A_MOMENT = timedelta(microseconds=1)
UseCase = Callable[[Call, Tx], Awaitable[Then | None]]

VERBS: Mapping[str, UseCase] = {
    "diag": related.diag,
    "probe": probe.probe,
    "watch": watch.watch,
    "incident": incident.incident,
    "warroom": warroom.warroom,
    "page": page.page,
    "ack": ack.ack,
    "escalate": escalate.escalate,
    "oncall": oncall.oncall,
    "vendor": vendor.vendor,
    "note": note.note,
    "action": action.action,
    "similar": similar.similar,
    "timeline": timeline.timeline,
    "postmortem": postmortem,
    "agents": agents.agents,
    "playbooks": playbooks.playbooks,
    "language": language.language,
    "help": helping.help_,
}
"""One line for each command."""


async def handle(
    parts: Parts,
    text: str,
    *,
    user: str,
    room: str,
    message_id: str | None = None,
    echo: bool = False,
    level: Level = Level.ADMIN,
    beside: bool = False,
) -> UserError | None:
    """Carry out one line of chat. Everything visible is said in the room; an error is said and returned.

    `message_id` is the platform's id: the same one again does nothing. With `echo` the line itself is kept as a
    message of the user's, for platforms whose history is ours to keep. `level` is what the user may do. `beside`
    returns as soon as the line is recorded; what takes longer goes on.
    """
    arrived = _Arrived(
        text=legible(text),
        user=legible(user),
        room=room,
        at=parts.clock.now(),
        message_id=message_id,
        echo=echo,
        level=level,
        beside=beside,
    )
    with answering(room, message_id or ""):
        try:
            return await _insist(parts, arrived)
        except StoreUnavailable as exc:
            log.error("%r by %s is not recorded: %s", text[:80], user, exc)
            kept = await _keep(parts, arrived)
            error = _kept(str(exc)) if kept else _not_recorded(str(exc))
            await _say_directly(parts, room, _error_blocks(error), answers=message_id or "")
            return error


async def _insist(parts: Parts, arrived: _Arrived) -> UserError | None:
    """Again where somebody else's command was in the way: two merges into each other lock in opposite orders."""
    for _ in range(MOST_TRIES - 1):
        try:
            return await _handle(parts, arrived)
        except StoreBusy as exc:
            log.warning("%r by %s goes again: %s", arrived.text[:80], arrived.user, exc)
    return await _handle(parts, arrived)


async def _handle(parts: Parts, arrived: _Arrived) -> UserError | None:
    at, room = arrived.at, arrived.room
    try:
        # One transaction: a message that counts as taken in was carried out, or it comes again and is then.
        async with parts.store.begin() as tx:
            place = await _accept(parts, tx, arrived)
            if place is None:
                return None
            command = commands.parse(arrived.text, user=arrived.user, room=room, message_id=arrived.message_id)
            await check_access(parts, tx, command, place, arrived.level)
            if place.incident is not None:
                await touched(tx, parts, await tx.incidents.get(place.incident))
            # What a command does comes after it was typed, also on a clock that stands still.
            call = Call(parts=parts, command=command, room=place, at=at + A_MOMENT)
            case = _case(command)
            await _mirror_line(parts, tx, arrived, place)
            then = await case(call, tx)
            # Recorded last, because the command may have opened the incident or begun the run it belongs to.
            await call.record(tx, EntryKind.COMMAND, same(f"/{command.raw}"), at=at, run=call.run)
    except UserError as error:
        await _refuse(parts, arrived, error)
        return error
    parts.wake()
    if then is not None and arrived.beside:
        parts.jobs.start(_follow(parts, then))
    elif then is not None:
        await _follow(parts, then)
    return None


async def _follow(parts: Parts, then: Then) -> None:
    await then()
    parts.wake()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Arrived:
    """A line of chat as it came in."""

    text: str
    user: str
    room: str
    at: datetime
    message_id: str | None
    echo: bool
    level: Level = Level.ADMIN
    beside: bool = False


async def _accept(parts: Parts, tx: Tx, arrived: _Arrived) -> Room | None:
    """Take the line in and return its room; None when it was taken in before."""
    key = f"{arrived.room}:{arrived.user}:{arrived.message_id}"
    if arrived.message_id and not await tx.inbox.first(key, at=arrived.at):
        return None
    place = await room_of(parts, tx, arrived.room)
    if arrived.echo:
        said = Message(
            key=arrived.message_id or parts.new_id("said"),
            room=arrived.room,
            blocks=(Paragraph(text=same(arrived.text)),),
            author=arrived.user,
        )
        await say(parts, tx, said)
    return place


async def _mirror_line(parts: Parts, tx: Tx, arrived: _Arrived, room: Room) -> None:
    """What was typed stands on its own platform already; where a room is mirrored the others see it, too."""
    if arrived.echo or room.incident is None or len(parts.chat) < 2:
        return
    for mirror in await tx.rooms.mirrors(room.key):
        text = Paragraph(text=same(arrived.text.strip()), label=same(arrived.user))
        line = Message(key=parts.new_id("line"), room=mirror, blocks=(text,), author=arrived.user)
        await tx.messages.put(line, at=arrived.at)
        await tx.outbox.add(chat_row(line, due_at=arrived.at, incident=room.incident))


async def _refuse(parts: Parts, arrived: _Arrived, error: UserError) -> None:
    """Record and say why not; what the command had begun to write is rolled back by now."""
    async with parts.store.begin() as tx:
        place = await _accept(parts, tx, arrived)
        if place is None:
            return
        refused = same(f"{arrived.text.strip()[:200]} → ") + error.text
        await record(
            tx,
            EntryKind.COMMAND,
            refused,
            at=arrived.at,
            actor=arrived.user,
            room=arrived.room,
            incident=place.incident,
            data={"error": error.code},
        )
        message = Message(key=parts.new_id("msg"), room=arrived.room, blocks=_error_blocks(error))
        await say(parts, tx, message, incident=place.incident)
    parts.wake()


def _case(command: Command) -> UseCase:
    case = VERBS.get(command.verb)
    if case is None:
        hint = Text("/help 列出全部命令", "/help lists them all")
        raise unknown(Text("命令", "command"), command.verb, VERBS, hint)
    return case


def _error_blocks(error: UserError) -> tuple[Block, ...]:
    return (Header(text=error.text, tone="warn"),)


KEPT = "not_yet_recorded"
"""The code of the answer to a command that waits in the spool."""
SPOOLED = ("ack",)
"""Verbs that stop phones: they are kept beside the database while that is away, and carried out later."""


async def _keep(parts: Parts, arrived: _Arrived) -> bool:
    user, room = arrived.user, arrived.room
    try:
        command = commands.parse(arrived.text, user=user, room=room)
    except UserError:
        return False
    if command.verb not in SPOOLED or needed(command) > arrived.level:
        return False
    # Typed twice within a minute it is one, as the platform delivers it twice; another command is another one.
    words = hashlib.sha256(command.raw.encode()).hexdigest()[:12]
    ident = arrived.message_id or f"spooled-{int(parts.clock.now().timestamp() // 60)}-{words}"
    row = {"text": arrived.text, "user": user, "room": room, "message_id": ident, "echo": arrived.echo}
    return await parts.keep("command", f"{room}:{user}:{ident}:{command.raw}", row)


async def merge_command(parts: Parts, row: Mapping[str, Any]) -> None:
    """Carry out a command that was kept. Raises StoreUnavailable."""
    words = {name: row[name] for name in ("text", "user", "room", "message_id", "echo")}
    await _handle(parts, _Arrived(**words, at=parts.clock.now()))


def _kept(reason: str) -> UserError:
    return UserError(
        KEPT,
        Text(
            f"记下了，但还没有写进数据库（现在不可写：{reason}）；恢复后自动执行，本机不再因新告警打电话",
            f"noted, not yet recorded: the database is away ({reason}). It is carried out when it is back, and until "
            "then this bot calls nobody about new alerts",
        ),
    )


def _not_recorded(reason: str) -> UserError:
    return UserError(
        "store_unavailable",
        Text(
            f"数据库现在不可写，这条命令没有执行，已有记录没有丢失。请稍后再试（{reason}）",
            f"the database cannot be written just now; this command was not carried out and nothing recorded "
            f"before is lost. Try again in a moment ({reason})",
        ),
    )


async def _say_directly(parts: Parts, room: str, blocks: tuple[Block, ...], *, answers: str) -> None:
    """Past the outbox, which is in the database that is away."""
    place = Room(key=room, title=room, lang=parts.lang)
    platform = parts.chat.get(place.platform)
    if platform is None:
        return
    try:
        await platform.put(Message(key=parts.new_id("msg"), room=room, blocks=blocks, answers=answers), place, None)
    except SendFailed as exc:
        log.error("nor can it be said in %s: %s", room, exc)
