"""`/watch`: keep probing lightly until everything is green for a while, then say so and stop the clock."""

from __future__ import annotations

import logging
from datetime import datetime

from bot.app import words
from bot.app.diag import gather
from bot.app.matrix import matrix
from bot.app.parts import Call, Parts, Then, record, say
from bot.app.ports import Tx
from bot.diagnosis.investigation import Investigation
from bot.domain.command import unknown
from bot.domain.errors import StoreUnavailable, UserError
from bot.domain.incident import EntryKind, Room
from bot.domain.message import Block, Button, Buttons, Header, Message, Paragraph
from bot.domain.playbook import Playbook
from bot.domain.text import Text

log = logging.getLogger("warroom.watch")

GREEN_ROUNDS = 5
"""Consecutive all-green rounds that count as recovered: a limit lets some tries through."""
PAUSE_S = 1.0
LONGEST_S = 6 * 3600.0


async def watch(call: Call, tx: Tx) -> Then | None:
    """Watch the room's latest playbook; `stop` ends it."""
    key = f"watch-{call.room.key}"
    if call.args and call.args[0].lower() == "stop":
        stopped = call.parts.jobs.stop(key)
        await call.tell(
            tx, Text("已停止盯守", "stopped watching") if stopped else Text("没有在盯守", "nothing is being watched")
        )
        return None
    playbook, since = await _what(call, tx)
    text = Text(f"盯守 {playbook.name}，直到恢复", f"watching {playbook.name} until it recovers")
    await call.record(tx, EntryKind.WATCH, text, playbook=playbook.name)
    message = call.parts.new_id("watch")
    await call.reply(tx, *_card(text, None, ""), key=message)

    async def then() -> None:
        call.parts.jobs.start(_watch(call, playbook, since, message), key=key)

    return then


async def _what(call: Call, tx: Tx) -> tuple[Playbook, datetime]:
    run = await tx.runs.latest(room=call.room.key)
    name = call.args[0].lower() if call.args else (run.playbook if run else "")
    if not name:
        raise UserError(
            "nothing_to_watch",
            Text("盯什么？先 /diag，或 /watch sms", "watch what? /diag first, or /watch sms"),
        )
    playbook = call.parts.playbooks.get(name)
    if playbook is None:
        hint = Text("/playbooks 列出全部", "/playbooks lists them")
        raise unknown(Text("剧本", "playbook"), name, call.parts.playbooks, hint)
    first = run.started_at if run is not None and run.playbook == name else call.at
    return playbook, first


async def _watch(call: Call, playbook: Playbook, since: datetime, message: str) -> None:
    parts = call.parts
    green = rounds = 0
    started = parts.clock.monotonic()
    while parts.clock.monotonic() - started < LONGEST_S:
        rounds += 1
        investigation = Investigation(playbook, parts.hypotheses, parts.agents.agents(), light=True)
        await gather(parts, investigation, _no_redraw)
        seen = investigation.picture()
        reds = sum(1 for c in seen.cells if c.red)
        dark = len(seen.missing)
        green = green + 1 if reds == 0 and not dark and any(c.tries for c in seen.cells) else 0
        if green >= GREEN_ROUNDS:
            await _recovered(call, investigation, since, message)
            return
        at = parts.local(parts.clock.now())
        state = Text(
            f"第 {rounds} 轮 {at:%H:%M:%S}：{reds} 格异常" + (f"，{dark} 处没有数据" if dark else "")
            if reds or dark
            else f"第 {rounds} 轮 {at:%H:%M:%S}：全绿 {green}/{GREEN_ROUNDS}",
            f"round {rounds}, {at:%H:%M:%S}: {reds} red" + (f", {dark} without data" if dark else "")
            if reds or dark
            else f"round {rounds}, {at:%H:%M:%S}: all green {green} of {GREEN_ROUNDS}",
        )
        await _show(parts, call.room, message, (*_card(state, investigation, playbook.name),))
        await parts.clock.sleep(PAUSE_S)
    await _show(
        parts,
        call.room,
        message,
        (Header(text=Text("盯守超过 6 小时，已停止", "watched for 6 hours; stopped"), tone="warn"),),
    )


async def _recovered(call: Call, investigation: Investigation, since: datetime, message: str) -> None:
    parts = call.parts
    now = parts.clock.now()
    lasted = words.duration((now - since).total_seconds())
    at = parts.local(now)
    text = Text(
        f"{at:%H:%M:%S} 恢复：连续 {GREEN_ROUNDS} 次全绿（从开始诊断起 {lasted.zh}）",
        f"{at:%H:%M:%S} recovered: green {GREEN_ROUNDS} times in a row ({lasted.en} since the first /diag)",
    )
    blocks: list[Block] = [Header(text=text, tone="good")]
    table = matrix(investigation.picture())
    if table:
        blocks.append(table)
    blocks.append(Buttons(buttons=(Button(label=Text("故障已解决", "Resolve"), command="/incident resolve"),)))
    async with parts.store.begin() as tx:
        room = await tx.rooms.get(call.room.key) or call.room
        facts = {"playbook": investigation.playbook.name, "seconds": round((now - since).total_seconds(), 1)}
        await record(tx, EntryKind.RECOVERY, text, at=now, room=room.key, incident=room.incident, data=facts)
        if room.incident is None:
            blocks.pop()
        # A new message and not only an edit: people must be told.
        done = Message(key=parts.new_id("msg"), room=room.key, blocks=tuple(blocks))
        await say(parts, tx, done, incident=room.incident)
        ended = Message(key=message, room=room.key, blocks=(Header(text=Text("盯守结束", "watch ended"), tone="info"),))
        await say(parts, tx, ended, incident=room.incident)
    parts.wake()


async def _show(parts: Parts, room: Room, key: str, blocks: tuple[Block, ...]) -> None:
    try:
        async with parts.store.begin() as tx:
            await say(parts, tx, Message(key=key, room=room.key, blocks=blocks), incident=room.incident)
    except StoreUnavailable as exc:
        log.warning("watch not shown: %s", exc)
        return
    parts.wake()


def _card(state: Text, investigation: Investigation | None, name: str) -> tuple[Block, ...]:
    blocks: list[Block] = [Header(text=state, tone="busy", sub=Text(f"/watch {name}", f"/watch {name}"))]
    table = matrix(investigation.picture()) if investigation is not None else None
    if table:
        blocks.append(table)
    else:
        blocks.append(
            Paragraph(
                text=Text(
                    "每几秒测一轮，全绿 5 轮算恢复", "one round every few seconds; five green ones count as recovered"
                )
            )
        )
    blocks.append(Buttons(buttons=(Button(label=Text("停止盯守", "Stop watching"), command="/watch stop"),)))
    return tuple(blocks)


async def _no_redraw(_pending: frozenset[tuple[str, str]]) -> None:
    return
