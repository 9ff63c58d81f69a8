"""`/language zh|en`: what the room reads from now on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.domain.errors import UserError
from bot.domain.incident import Room
from bot.domain.text import LANGS, Lang, Text

MAIN_TITLE = Text("故障群", "incidents")
"""The main room's title as long as nobody gave it another one."""
NAMES: Mapping[str, Lang] = {"zh": "zh", "中文": "zh", "chinese": "zh", "en": "en", "英文": "en", "english": "en"}
NOW = Text("这个房间现在说中文", "this room speaks English now")


async def language(call: Call, tx: Tx) -> Then | None:
    """Choose the room's language; from then on the configuration's does not count here. Raises UserError."""
    lang = NAMES.get(call.command.rest.lower())
    if lang is None:
        known = " / ".join(f"/language {word}" for word in LANGS)
        raise UserError("unknown_language", Text(f"哪种语言？写 {known}", f"which language? write {known}"))
    call.room = replace(spoken(call.room, lang), lang_chosen=True)
    await tx.rooms.save(call.room)
    await call.tell(tx, NOW)
    platform = call.parts.chat.get(call.room.platform)

    async def then() -> None:
        if platform is not None:
            platform.refresh(call.room.key)

    return then


def spoken(room: Room, lang: Lang) -> Room:
    """The room in this language; the title that the bot itself gave the main room goes along."""
    own = room.title in (MAIN_TITLE.zh, MAIN_TITLE.en)
    return replace(room, lang=lang, title=MAIN_TITLE.in_(lang) if own else room.title)
