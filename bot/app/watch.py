"""`/watch`: keep probing lightly until everything is green for a while, then say so and stop the clock.

The room's row is the truth: a watch goes on after a restart as long as the row is there, and ends when it is not.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from bot.app import words
from bot.app.gather import Gathering
from bot.app.matrix import matrix
from bot.app.parts import Call, Parts, Then, record, say
from bot.app.ports import Tx
from bot.diagnosis.investigation import Investigation
from bot.domain.command import unknown
from bot.domain.errors import StoreUnavailable, UserError
from bot.domain.incident import EntryKind, Watch
from bot.domain.message import Block, Button, Buttons, Header, Message, Paragraph, to_json
from bot.domain.playbook import Playbook
from bot.domain.text import Text, same

log = logging.getLogger("warroom.watch")

GREEN_ROUNDS = 5
"""Consecutive all-green rounds that count as recovered: a limit lets some tries through."""
PAUSE_S = 1.0
LONGEST = timedelta(hours=6)
ENDED = Text("盯守结束", "watch ended")


async def watch(call: Call, tx: Tx) -> Then | None:
    """Watch the room's latest playbook; `stop` ends it."""
    parts = call.parts
    if call.args and call.args[0].lower() == "stop":
        stopped = await end_watch(parts, tx, call.room.key)
        await call.tell(
            tx, Text("已停止盯守", "stopped watching") if stopped else Text("没有在盯守", "nothing is being watched")
        )
        return None
    playbook, since = await _what(call, tx)
    await end_watch(parts, tx, call.room.key)
    begun = Watch(
        room=call.room.key, playbook=playbook.name, message=parts.new_id("watch"), since=since, started_at=call.at
    )
    await tx.watches.save(begun)
    text = Text(f"盯守 {playbook.name}，直到恢复", f"watching {playbook.name} until it recovers")
    await call.record(tx, EntryKind.WATCH, text, playbook=playbook.name)
    await call.reply(tx, *_card(text, None, ""), key=begun.message)

    async def then() -> None:
        _go_on(parts, begun, playbook)

    return then


async def end_watch(parts: Parts, tx: Tx, room: str, why: Text = ENDED) -> bool:
    """End the room's watch and say so on its card; its loop notices. False when there is none."""
    known = await tx.watches.get(room)
    if known is None or not await tx.watches.remove(known):
        return False
    await say(parts, tx, Message(key=known.message, room=room, blocks=(Header(text=why, tone="info"),)))
    return True


async def resume(parts: Parts) -> None:
    """Go on with the watches that a stop of the bot cut off. Raises StoreUnavailable."""
    async with parts.store.begin() as tx:
        for known in await tx.watches.list():
            playbook = parts.playbooks.get(known.playbook)
            if playbook is not None:
                _go_on(parts, known, playbook)
                continue
            gone = Text(f"剧本 {known.playbook} 已不存在，盯守结束", f"playbook {known.playbook} is gone; watch ended")
            await end_watch(parts, tx, known.room, gone)
    parts.wake()


def _go_on(parts: Parts, known: Watch, playbook: Playbook) -> None:
    parts.jobs.start(_watch(parts, known, playbook), key=f"watch-{known.room}")


async def _what(call: Call, tx: Tx) -> tuple[Playbook, datetime]:
    run = await call.latest_run(tx)
    latest = str((run.document or {}).get("lead") or run.playbook) if run else ""  # of several, the surest that fails
    name = call.args[0].lower() if call.args else latest
    if not name:
        raise UserError(
            "nothing_to_watch",
            Text("盯什么？先 /diag，或 /watch sms", "watch what? /diag first, or /watch sms"),
        )
    playbook = call.parts.playbooks.get(name)
    if playbook is None:
        hint = Text("/playbooks 列出全部", "/playbooks lists them")
        raise unknown(Text("剧本", "playbook"), name, call.parts.playbooks, hint)
    first = run.started_at if run is not None and latest == name else call.at
    return playbook, first


async def _watch(parts: Parts, known: Watch, playbook: Playbook) -> None:
    green = rounds = 0
    watched = True
    while watched:
        rounds += 1
        investigation = Investigation(playbook, parts.hypotheses, parts.agents.agents(), light=True)
        gathering = Gathering(parts, investigation)
        try:
            await gathering.answered(_no_redraw)
        finally:
            gathering.close()
        seen = investigation.picture()
        reds = sum(1 for c in seen.cells if c.red)
        dark = len(seen.missing)
        green = green + 1 if reds == 0 and not dark and any(c.tries for c in seen.cells) else 0
        try:
            if green >= GREEN_ROUNDS:
                watched = not await _recovered(parts, known, investigation)
            elif parts.clock.now() - known.started_at > LONGEST:
                watched = not await _gave_up(parts, known)
            else:
                state = _state(parts, rounds, reds=reds, dark=dark, green=green)
                watched = await _show(parts, known, _card(state, investigation, playbook.name))
        except StoreUnavailable as exc:
            # Whatever there was to say is said by a later round.
            log.warning("watch of %s not shown: %s", known.room, exc)
        parts.wake()
        if watched:
            await parts.clock.sleep(PAUSE_S)


def _state(parts: Parts, rounds: int, *, reds: int, dark: int, green: int) -> Text:
    at = parts.local(parts.clock.now())
    begins = Text(f"第 {rounds} 轮 {at:%H:%M:%S}：", f"round {rounds}, {at:%H:%M:%S}: ")
    if not reds and not dark:
        return begins + Text(f"全绿 {green}/{GREEN_ROUNDS}", f"all green {green} of {GREEN_ROUNDS}")
    without = Text(f"，{dark} 处没有数据", f", {dark} without data") if dark else same("")
    return begins + Text(f"{reds} 格异常", f"{reds} red") + without


async def _recovered(parts: Parts, known: Watch, investigation: Investigation) -> bool:
    """Say and record it, once however many bots watch. True: this watch is over, by us or by somebody else."""
    now = parts.clock.now()
    lasted = words.duration((now - known.since).total_seconds())
    at = parts.local(now)
    text = Text(
        f"{at:%H:%M:%S} 恢复：连续 {GREEN_ROUNDS} 次全绿（从开始诊断起 {lasted.zh}）",
        f"{at:%H:%M:%S} recovered: green {GREEN_ROUNDS} times in a row ({lasted.en} since the first /diag)",
    )
    blocks: list[Block] = [Header(text=text, tone="good")]
    table = matrix(investigation.picture())
    if table:
        blocks.append(table)
    async with parts.store.begin() as tx:
        if not await tx.watches.remove(known):
            return True
        room = await tx.rooms.get(known.room)
        incident = room.incident if room else None
        facts: dict[str, Any] = {"playbook": known.playbook, "seconds": round((now - known.since).total_seconds(), 1)}
        if table:
            (facts["matrix"],) = to_json((table,))
        await record(tx, EntryKind.RECOVERY, text, at=now, room=known.room, incident=incident, data=facts)
        if incident is not None:
            blocks.append(Buttons(buttons=(Button(label=Text("故障已解决", "Resolve"), command="/incident resolve"),)))
        # A new message and not only an edit: people must be told.
        done = Message(key=parts.new_id("msg"), room=known.room, blocks=tuple(blocks))
        await say(parts, tx, done, incident=incident)
        ended = Message(key=known.message, room=known.room, blocks=(Header(text=ENDED, tone="info"),))
        await say(parts, tx, ended, incident=incident)
    return True


async def _gave_up(parts: Parts, known: Watch) -> bool:
    """Nobody looks at this any more. True: this watch is over."""
    text = Text("盯守超过 6 小时，已停止", "watched for 6 hours; stopped")
    async with parts.store.begin() as tx:
        if await tx.watches.remove(known):
            room = await tx.rooms.get(known.room)
            incident = room.incident if room else None
            await record(tx, EntryKind.WATCH, text, at=parts.clock.now(), room=known.room, incident=incident)
            blocks = (Header(text=text, tone="warn"),)
            await say(parts, tx, Message(key=known.message, room=known.room, blocks=blocks), incident=incident)
    return True


async def _show(parts: Parts, known: Watch, blocks: tuple[Block, ...]) -> bool:
    """Edit the card; False when the watch was ended meanwhile."""
    async with parts.store.begin() as tx:
        current = await tx.watches.get(known.room)
        if current is None or current.message != known.message:
            return False
        await say(parts, tx, Message(key=known.message, room=known.room, blocks=blocks))
    return True


def _card(state: Text, investigation: Investigation | None, name: str) -> tuple[Block, ...]:
    blocks: list[Block] = [Header(text=state, tone="busy", sub=same(f"/watch {name}".rstrip()))]
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
