"""`/postmortem [INC-n] [md|html|pdf|json|jsonl] [zh|en]`: the report, or the record, as a file in the room."""

from __future__ import annotations

import json
import logging

from bot.app.parts import Call, Parts, Then, say
from bot.app.ports import Tx
from bot.app.postmortem.build import build, without_record
from bot.app.postmortem.collect import collect
from bot.app.postmortem.model import VERSION
from bot.app.postmortem.scribe import FORMS, RECORD, Scribe
from bot.app.which_incident import last_incident, take_id
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.incident import Incident, Room
from bot.domain.message import Block, Bullets, Button, Buttons, File, Header, Message
from bot.domain.text import LANGS, Lang, Text

log = logging.getLogger("warroom.postmortem")

LARGEST = 700_000
"""Characters of a file in a chat; a longer record stays where `warroom export` fetches it."""


async def postmortem(call: Call, tx: Tx) -> Then | None:
    """Say that it is being written, and write it after the commit: nobody waits for the database meanwhile."""
    typed = [word.lower() for word in call.args]
    name = take_id(typed)
    form, lang = _wanted(typed, call.room.lang)
    incident = await last_incident(call, tx, name)
    key = call.parts.new_id("postmortem")
    writing = Text(f"正在写 {incident.id} 的复盘", f"writing the postmortem of {incident.id}")
    await call.reply(tx, Header(text=writing, tone="busy"), key=key)

    async def then() -> None:
        call.parts.jobs.start(_write(call.parts, incident, call.room, key, form, lang), key=key)

    return then


def _wanted(typed: list[str], lang: Lang) -> tuple[str, Lang]:
    """(form, language) among the words. Raises UserError for any other word."""
    form = "md"
    for word in typed:
        if word in (*FORMS, RECORD):
            form = word
        elif word in LANGS:
            lang = "zh" if word == "zh" else "en"
        else:
            known = (*FORMS, RECORD, *LANGS)
            hint = Text(f"可用：{'、'.join(known)}", f"there are: {', '.join(known)}")
            raise unknown(Text("格式", "format"), word, known, hint)
    return form, lang


async def record_lines(parts: Parts, incident: Incident) -> File:
    """The record itself, one JSON document a line: what it is of and the heads of its chains, then every entry."""
    async with parts.store.begin() as tx:
        heads = [{"chain": h.name, "entries": h.length, "hash": h.hash} for h in await tx.timeline.heads(incident.id)]
        lines = await tx.timeline.lines(incident.id)
    first = {"version": VERSION, "incident": incident.id, "entries": len(lines), "heads": heads}
    content = "\n".join([json.dumps(first, ensure_ascii=False), *lines, ""])
    title = Text(f"{incident.id} 全部记录", f"the record of {incident.id}")
    return File(name=f"{incident.id}.jsonl", title=title, content=content, media_type="application/x-ndjson")


async def export(parts: Parts, incident: Incident, *, form: str, lang: Lang, largest: int | None = None) -> File:
    """The report of an incident as a file. Raises UserError, StoreUnavailable."""
    if form == RECORD:
        file = await record_lines(parts, incident)
        if largest is not None and len(file.content) > largest:
            command = f"warroom export {incident.id} --format {RECORD}"
            raise UserError("too_large", Text(f"记录太长，群里放不下：{command}", f"too long for a chat: {command}"))
        return file
    scribe = _scribe(parts)
    async with parts.store.begin() as tx:
        facts = await collect(parts, tx, incident)
    report = build(facts)
    file = await scribe.write(report, form=form, lang=lang)
    if largest is not None and len(file.content) > largest:
        file = await scribe.write(without_record(report), form=form, lang=lang)
    return file


def _scribe(parts: Parts) -> Scribe:
    if parts.scribe is None:
        raise UserError("no_scribe", Text("这个机器人没有配置复盘", "this bot writes no postmortems"))
    return parts.scribe


async def _write(parts: Parts, incident: Incident, room: Room, key: str, form: str, lang: Lang) -> None:
    try:
        file = await export(parts, incident, form=form, lang=lang, largest=LARGEST)
    except UserError as exc:
        blocks: tuple[Block, ...] = (Header(text=exc.text, tone="warn"),)
    else:
        blocks = _card(incident, file, form, lang)
    async with parts.store.begin() as tx:
        await say(parts, tx, Message(key=key, room=room.key, blocks=blocks), incident=room.incident)
    parts.wake()


def _card(incident: Incident, file: File, form: str, lang: Lang) -> tuple[Block, ...]:
    title = Text(f"{incident.id} 复盘", f"postmortem of {incident.id}")
    other = "en" if lang == "zh" else "zh"
    other, speaks = ("en", Text("英文版", "In English")) if lang == "zh" else ("zh", Text("中文版", "In Chinese"))
    more = [
        Button(label=Text(f"要 {one}", f"As {one}"), command=f"/postmortem {incident.id} {one} {lang}")
        for one in FORMS
        if one not in (form, "json")
    ]
    more.append(Button(label=speaks, command=f"/postmortem {incident.id} {form} {other}"))
    hints = (
        Text("改进项：/action add 事项 @负责人 due=日期", "action items: /action add TEXT @OWNER due=DATE"),
        Text(
            "/note well: … 和 /note hurt: … 会写进“做得好的”和“痛在哪里”",
            "/note well: ... and /note hurt: ... go into it",
        ),
    )
    return (Header(text=title, tone="info"), file, Bullets(items=hints, folded=True), Buttons(buttons=tuple(more)))
