"""A war room on two platforms at once: what is said in either room stands in both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from bot.app.create_room import PATIENCE_S, ask_for_room
from bot.app.parts import Parts, record, say
from bot.app.rooms import room_of
from bot.app.summary import show_summary
from bot.domain.errors import SendFailed
from bot.domain.incident import EntryKind, Incident, Room
from bot.domain.message import Header, Message
from bot.domain.text import Text

PLATFORMS = {"slack": Text("Slack", "Slack"), "wecom": Text("企业微信", "WeCom"), "console": Text("控制台", "console")}


async def open_mirrors(parts: Parts, incident: Incident, *, by: str, members: Sequence[str]) -> None:
    """Where the configuration wants it: the war room on the other platforms as well. What fails is said."""
    for platform in parts.mirror_on:
        if platform != incident.room.partition(":")[0] and platform in parts.chat:
            await open_mirror(parts, incident, platform, by=by, members=members)


async def open_mirror(parts: Parts, incident: Incident, platform: str, *, by: str, members: Sequence[str]) -> str:
    """Make a room on the platform that shows what the incident's room shows; its key, "" where none could be made."""
    async with parts.store.begin() as tx:
        main = await room_of(parts, tx, incident.room)
        known = [key for key in await tx.rooms.mirrors(main.key) if key.startswith(f"{platform}:")]
    if known:
        return known[0]
    try:
        made = await asyncio.wait_for(ask_for_room(parts, incident, main, platform, members), PATIENCE_S)
    except (SendFailed, TimeoutError) as exc:
        why = str(exc) or f"no answer within {PATIENCE_S:g} s"
        where = PLATFORMS.get(platform, Text(platform, platform))
        failed = Text(f"不能在{where.zh}建镜像房间：{why}", f"no mirror of this room on {where.en}: {why}")
        async with parts.store.begin() as tx:
            said = Message(key=f"mirror-{platform}", room=main.key, blocks=(Header(text=failed, tone="warn"),))
            await say(parts, tx, said, incident=incident.id)
        parts.wake()
        return ""
    await bind_mirror(parts, incident, main, made.key, by=by)
    return made.key


async def bind_mirror(parts: Parts, incident: Incident, main: Room, key: str, *, by: str) -> None:
    """From now on the room of this key shows what `main` shows, and what is typed there is about its incident."""
    async with parts.store.begin() as tx:
        current = await tx.incidents.get(incident.id) or incident
        room = await room_of(parts, tx, key)
        holds = current.id if current.is_open else None
        await tx.rooms.save(replace(room, title=main.title, incident=holds, mirror_of=main.mirror_of or main.key))
        platform = key.partition(":")[0]
        where = PLATFORMS.get(platform, Text(platform, platform))
        text = Text(f"战情室也在{where.zh}：{main.title}", f"the war room is on {where.en} as well: {main.title}")
        at = parts.clock.now()
        await record(tx, EntryKind.INCIDENT, text, at=at, actor=by, room=key, incident=current.id, data={"mirror": key})
        await show_summary(parts, tx, current)
        said = Message(key=f"mirrored-{platform}", room=main.key, blocks=(Header(text=text, tone="info"),))
        await say(parts, tx, said, incident=current.id)
    parts.wake()
