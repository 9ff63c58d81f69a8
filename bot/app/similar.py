"""`/similar [INC-n] [WORDS]`: earlier incidents like this one, why, and what helped. Said unasked when one opens."""

from __future__ import annotations

import logging
from dataclasses import replace

from bot.app import words
from bot.app.memory import beliefs, earlier, memory_of, print_of
from bot.app.parts import Call, Parts, Then, say
from bot.app.ports import Tx
from bot.app.postmortem.collect import collect
from bot.app.rooms import places
from bot.app.which_incident import by_id, take_id
from bot.diagnosis.similar import Memory, Similar
from bot.diagnosis.similar import similar as rank
from bot.domain.errors import StoreUnavailable
from bot.domain.incident import Incident, Run
from bot.domain.message import Block, Bullets, Button, Buttons, Header, Message
from bot.domain.text import Text, join, percent, same

log = logging.getLogger("warroom.memory")

MOST, UNASKED = 5, 3


async def similar(call: Call, tx: Tx) -> Then | None:
    """Compare the incident named, the room's incident, or the room's last run and the words that are given."""
    typed = list(call.args)
    name = take_id(typed) or call.room.incident
    incident = await by_id(tx, name) if name else None
    now = await _now(call.parts, tx, incident, await call.latest_run(tx))
    if typed:
        now = replace(now, words=f"{now.words} {' '.join(typed)}".strip())
    found = rank(now, await earlier(call.parts, tx, incident.id if incident else None), most=MOST)
    if found:
        await call.reply(tx, *card(call.parts, found))
        return None
    if not now.words and not now.fingerprint:
        hint = Text(
            "和什么比？先 /diag，或写出现象：/similar 验证码收不到",
            "like what? run /diag first, or say what it looks like: /similar codes do not arrive",
        )
        await call.reply(tx, Header(text=hint, tone="warn"))
        return None
    await call.reply(tx, Header(text=Text("没有找到相似的故障", "no earlier incident is like it"), tone="info"))
    return None


async def recollect(parts: Parts, name: str) -> None:
    """Say in the incident's rooms which earlier ones it is like, in place of what was said before; or nothing."""
    try:
        async with parts.store.begin() as tx:
            incident = await tx.incidents.look(name)
            if incident is None or not incident.is_open:
                return
            now = await _now(parts, tx, incident, None)
            found = rank(now, await earlier(parts, tx, name), most=UNASKED)
            if not found:
                return
            for room in await places(tx, incident):
                blocks = card(parts, found)
                await say(parts, tx, Message(key=f"similar-{name}", room=room, blocks=blocks), incident=name)
    except StoreUnavailable as exc:
        log.warning("%s is not compared with earlier incidents: %s", name, exc)
        return
    parts.wake()


async def _now(parts: Parts, tx: Tx, incident: Incident | None, run: Run | None) -> Memory:
    """What is known at this moment, as it would be remembered; without an incident, what the room's last run saw."""
    if incident is not None:
        return memory_of(await collect(parts, tx, incident))
    now = Memory(incident="", title="", opened_at=parts.clock.now())
    if run is None or run.document is None or "observations" not in run.document:
        return now
    seen = print_of(run.id, run.document)
    return replace(now, service=run.playbook, fingerprint=seen, beliefs=beliefs(run.document))


def card(parts: Parts, found: list[Similar]) -> tuple[Block, ...]:
    """The earlier incidents, each with why, cause and what helped."""
    best = found[0].memory
    title = Text(f"像 {best.incident} {best.title}", f"like {best.incident} {best.title}")
    share = percent(found[0].likeness)
    items = tuple(_line(parts, one) for one in found)
    buttons = tuple(
        Button(label=same(one.memory.incident), command=f"/timeline {one.memory.incident}") for one in found
    )
    header = Header(text=title, tone="info", sub=Text(f"相似 {share}", f"{share} alike"))
    return (header, Bullets(items=items), Buttons(buttons=buttons))


def _line(parts: Parts, one: Similar) -> Text:
    memory = one.memory
    day = f"{parts.local(memory.opened_at):%Y-%m-%d}"
    head = f"{memory.incident} {memory.title} · {day} · {percent(one.likeness)}"
    told = [Text(f"因为{zh}", f"because {en}") for zh, en in [_pair(one)] if en]
    if memory.cause.en:
        told.append(Text(f"当时的原因：{memory.cause.zh}", f"cause then: {memory.cause.en}"))
    if memory.fix.en:
        told.append(Text(f"当时有用的：{memory.fix.zh}", f"what helped then: {memory.fix.en}"))
    if memory.lasted_s is not None:
        lasted = words.duration(memory.lasted_s)
        told.append(Text(f"历时 {lasted.zh}", f"it took {lasted.en}"))
    rest = join(told, zh="；", en="; ")
    return Text(f"{head}：{rest.zh}", f"{head}: {rest.en}")


def _pair(one: Similar) -> tuple[str, str]:
    reasons = join(list(one.why), zh="、", en=", ")
    return reasons.zh, reasons.en
