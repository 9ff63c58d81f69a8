"""What the console, the HTTP API and the command line ask of the application."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.app import probe, probe_interrupted, related, timeline
from bot.app.admit import Gate
from bot.app.audit import VIOLATIONS
from bot.app.diag import choose, close_interrupted, select, start
from bot.app.dispatch import KEPT, handle
from bot.app.figures import Figures, figures
from bot.app.incident_moves import investigating
from bot.app.language import MAIN_TITLE, spoken
from bot.app.parts import Call, Parts, collecting, say
from bot.app.plain import plain
from bot.app.ports import Tx
from bot.app.postmortem.command import export
from bot.app.postmortem.evidence import Evidence, evidence
from bot.app.rota import document
from bot.app.timeline import Answer
from bot.app.watch import resume
from bot.diagnosis.adhoc import Adhoc
from bot.domain.command import Command
from bot.domain.errors import PlaybookError, UserError
from bot.domain.incident import EVERYTHING, EntryKind, Incident, Room, Run, Search
from bot.domain.message import File, Header, Message, to_json
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent
from bot.domain.schedule import Schedule, Shift, shifts
from bot.domain.text import Lang, Text, legible, same

MAIN_ROOM = "console:main"
_SAID = re.compile(r"said-[A-Za-z0-9_-]{6,70}\Z")
RUN_WAIT_S = 40.0
OTHERS_EVERY_S = 0.5
"""How often the record is asked whether another bot's run has ended."""


class Service:
    """One object for everything that is not a chat platform.

    `gate` lets agents in; `read_playbook` parses YAML that comes with a request.
    """

    def __init__(self, parts: Parts, *, gate: Gate, read_playbook: Callable[[str], Playbook]) -> None:
        self._parts = parts
        self._gate = gate
        self._read_playbook = read_playbook

    @property
    def lang(self) -> Lang:
        """The language of what has no room."""
        return self._parts.lang

    async def prepare(self) -> None:
        """Make the main room, say what a restart interrupted, and go on with what it only paused."""
        began = self._parts.clock.now()
        self._parts.jobs.start(close_interrupted(self._parts, began=began), key="close-interrupted")
        self._parts.jobs.start(probe_interrupted.close_interrupted(self._parts, began=began), key="close-probes")
        async with self._parts.store.begin() as tx:
            room = await tx.rooms.get(MAIN_ROOM)
            if room is None:
                room = Room(key=MAIN_ROOM, title=MAIN_TITLE.in_(self._parts.lang), lang_chosen=False)
            await tx.rooms.save(spoken(room, room.lang if room.lang_chosen else self._parts.lang))
        await resume(self._parts)

    async def rooms(self) -> Sequence[Room]:
        """The console's rooms, the main one first."""
        async with self._parts.store.begin() as tx:
            return await tx.rooms.list("console")

    async def messages(self, room_key: str) -> Sequence[tuple[Message, int, datetime]]:
        """(message, revision, first said at), oldest first."""
        async with self._parts.store.begin() as tx:
            return await tx.messages.list(room_key)

    async def changed(self, room_key: str, within: timedelta) -> Sequence[tuple[Message, int]]:
        """(message, revision) of what was said or edited lately, by any bot."""
        async with self._parts.store.begin() as tx:
            return await tx.messages.changed(room_key, since=self._parts.clock.now() - within)

    async def say(self, *, room: str, user: str, text: str, message_id: str) -> None:
        """Take in what somebody typed in the console. Raises UserError for an id that is no browser's."""
        if not _SAID.match(message_id):
            raise UserError("bad_message_id", Text("消息编号无效", "the message id is not valid"))
        await handle(self._parts, text, user=user, room=room, message_id=message_id, echo=True)

    async def timeline(
        self,
        *,
        room: str | None = None,
        incident: Incident | None = None,
        options: Mapping[str, str] | None = None,
        words: Sequence[str] = (),
        limit: int = timeline.MOST_SHOWN,
    ) -> Answer:
        """A page of the timeline of an incident or a room, as `/timeline` reads options and words. Raises UserError."""
        asked = timeline.Asked(incident=incident, room=room, options=options or {}, words=words)
        async with self._parts.store.begin() as tx:
            return await timeline.look(self._parts, tx, asked, now=self._parts.clock.now(), limit=limit)

    async def incidents(self, *, search: Search = EVERYTHING) -> Sequence[Incident]:
        """Newest first, 200 at most."""
        async with self._parts.store.begin() as tx:
            return await tx.incidents.list(search=search, limit=200)

    async def incident(self, name: str) -> Incident | None:
        """One incident by id."""
        async with self._parts.store.begin() as tx:
            return await tx.incidents.get(name.upper())

    async def export(self, name: str, *, form: str, lang: Lang | None = None) -> File | None:
        """The postmortem of an incident; None when there is no such incident. Raises UserError."""
        incident = await self.incident(name)
        if incident is None:
            return None
        return await export(self._parts, incident, form=form, lang=lang or self.lang)

    async def verify(self, incident: str, *, printed: Sequence[str] = ()) -> dict[str, Any]:
        """Whether an incident's record is as it was written: {"incident", "ok", "heads", "faults"}."""
        async with self._parts.store.begin() as tx:
            heads = await tx.timeline.heads(incident)
            faults = await tx.timeline.verify(incident, printed=printed)
        return {
            "incident": incident,
            "ok": not faults,
            "heads": [{"chain": h.name, "entries": h.length, "hash": h.hash} for h in heads],
            "faults": [
                {"chain": f.chain, "kind": f.kind.value, "link": f.link, "seq": f.seq, **f.text.to_json()}
                for f in faults
            ],
        }

    async def evidence(self, incident: Incident) -> Evidence:
        """How an incident was understood, and who was called for it."""
        async with self._parts.store.begin() as tx:
            return await evidence(tx, incident, zone=self._parts.timezone, now=self._parts.clock.now())

    async def figures(self, days: int) -> Figures:
        """How the nights of the last so many days went."""
        until = self._parts.clock.now()
        since = until - timedelta(days=days)
        async with self._parts.store.begin() as tx:
            nights = await tx.nights.opened(since=since, until=until)
        titles = {h.id: h.family for h in self._parts.hypotheses}
        return figures(nights, since=since, until=until, zone=self._parts.timezone, titles=titles)

    def playbooks(self) -> Sequence[Playbook]:
        """What can be diagnosed, by name."""
        return sorted(self._parts.playbooks.values(), key=lambda p: p.name)

    def agents(self) -> Sequence[Agent]:
        """Every agent known, lost ones included."""
        return self._parts.agents.agents()

    async def invite(self, name: str, *, ttl_s: float, user: str) -> dict[str, Any]:
        """A single-use token with which one agent enrols: {"token", "name", "expires_at"}. Raises UserError."""
        token, invitation = await self._gate.invite(name, ttl_s=ttl_s, by=user)
        return {"token": token, "name": invitation.name, "expires_at": invitation.expires_at.isoformat()}

    async def forget_agent(self, name: str) -> dict[str, Any] | None:
        """Take an agent's key and its place in the matrix away, and hang up on it if it is connected.

        {"name", "disconnected"}; None if it is unknown.
        """
        # The key first: one that is hung up on dials again at once.
        known = await self._gate.forget(name)
        was = self._parts.agents.forget(name)
        if was is None and not known:
            return None
        return {"name": name, "disconnected": was is not None and was.state != "lost"}

    async def on_call(self) -> list[dict[str, Any]]:
        """Every schedule: who has it since and until when, who follows, and the address of its calendar."""
        now = self._parts.clock.now()
        async with self._parts.store.begin() as tx:
            overrides = await tx.overrides.ending_after(now)
        return [document(s, now, overrides, feed=self._parts.calendar_link(s.name)) for s in self._schedules().values()]

    async def shifts(self, schedule: str, ahead: timedelta) -> Sequence[Shift] | None:
        """The shifts of a schedule from now on; None when there is no such schedule."""
        found, now = self._schedules().get(schedule), self._parts.clock.now()
        if found is None:
            return None
        async with self._parts.store.begin() as tx:
            overrides = await tx.overrides.ending_after(now)
        return shifts(found, now, now + ahead, overrides)

    def _schedules(self) -> Mapping[str, Schedule]:
        return self._parts.directory.schedules

    async def set_language(self, room: str, lang: Lang) -> None:
        """Speak this language in the room from now on."""
        async with self._parts.store.begin() as tx:
            found = await tx.rooms.get(room)
            if found is not None:
                await tx.rooms.save(replace(spoken(found, lang), lang_chosen=True))

    async def diag(
        self, *, playbook: str = "", yaml: str = "", options: Mapping[str, str] | None = None, room: str, user: str
    ) -> str:
        """Start a run in a room; returns its id. Raises UserError."""
        parts = self._parts
        group = () if yaml else related.named(parts, playbook)
        chosen = self._given(yaml) if yaml else None if group else choose(parts, (playbook,) if playbook else ())
        name = chosen.name if chosen else playbook.lower()
        agents = select(parts, dict(options or {}))
        text = f"diag {name}" + "".join(f" {k}={v}" for k, v in (options or {}).items())
        command = Command(verb="diag", args=(name,), options=options or {}, raw=text, user=user, room=room)
        run_id = parts.new_id("run")
        async with parts.store.begin() as tx:
            call = await self._typed(tx, command)
            await investigating(parts, tx, call.room.incident, by=user, room=room)
            if chosen is None:
                then = await related.start(call, tx, name, group, agents, run_id=run_id)
            else:
                then = await start(call, tx, chosen, agents, run_id=run_id)
            await call.record(tx, EntryKind.COMMAND, same(f"/{text}"), run=run_id)
        parts.wake()
        await then()
        return run_id

    async def probe(self, asked: Adhoc, *, room: str, user: str) -> dict[str, Any]:
        """Carry out one probe in a room and wait for its end; returns its document. Raises UserError."""
        parts = self._parts
        self._check_room(room)
        run = probe.prepare(parts, asked.clean())
        text = run.asked.line().removeprefix("/")
        command = Command(verb="probe", raw=text, user=legible(user), room=room)
        async with parts.store.begin() as tx:
            call = await self._typed(tx, command)
            asking, then = await probe.start(call, tx, run)
            await call.record(tx, EntryKind.COMMAND, same(f"/{text}"))
        parts.wake()
        await then()
        await parts.jobs.wait(asking.key, probe.LIFE_S)
        return asking.document(call.room.lang)

    async def _typed(self, tx: Tx, command: Command) -> Call:
        """A command that comes from a program, shown in its room as if somebody had typed it."""
        parts, room = self._parts, command.room
        place = await tx.rooms.get(room)
        if place is None:
            place = Room(key=room, title=room.partition(":")[2] or room, lang=parts.lang, lang_chosen=False)
            await tx.rooms.save(place)
        typed = Header(text=same(f"/{command.raw}"), tone="info")
        await say(parts, tx, Message(key=parts.new_id("msg"), room=room, blocks=(typed,), author=command.user))
        return Call(parts=parts, command=command, room=place, at=parts.clock.now())

    async def run(self, run_id: str, *, wait_s: float = 0.0) -> Run | None:
        """A run by id, waiting up to `wait_s` for its end."""
        clock = self._parts.clock
        until = clock.monotonic() + wait_s
        await self._parts.jobs.wait(run_id, wait_s)
        while True:
            async with self._parts.store.begin() as tx:
                found = await tx.runs.get(run_id)
            left_s = until - clock.monotonic()
            if found is None or found.finished_at is not None or left_s <= 0:
                return found
            # Another bot is at it.
            await clock.sleep(min(OTHERS_EVERY_S, left_s))

    async def command(self, text: str, *, user: str, room: str, lang: Lang | None = None) -> dict[str, Any]:
        """Carry out a chat command and return what was said.

        {"error": code or null, "messages": [{"key", "text", "blocks"}], "run": document or null}
        """
        self._check_room(room)
        with collecting() as said:
            error = await handle(self._parts, text, user=user, room=room)
        if error is not None and error.code == KEPT:
            # What was said is nowhere but in the room: the database is away.
            words = error.text.in_(lang or self._parts.lang)
            return {"error": KEPT, "messages": [{"key": "", "text": words, "blocks": []}], "run": None}
        for key in list(dict.fromkeys(said)):
            await self._parts.jobs.wait(key, RUN_WAIT_S)
        async with self._parts.store.begin() as tx:
            place = await tx.rooms.get(room)
            rows = {m.key: m for m, _, _ in await tx.messages.list(room, limit=500)}
            runs = [r for r in [await tx.runs.get(key) for key in dict.fromkeys(said)] if r is not None]
        spoken = lang or (place.lang if place else self._parts.lang)
        shown = [rows[key] for key in dict.fromkeys(said) if key in rows]
        return {
            "error": error.code if error else None,
            "messages": [{"key": m.key, "text": plain(m.blocks, spoken), "blocks": to_json(m.blocks)} for m in shown],
            "run": runs[0].document if runs else None,
        }

    def counters(self) -> Mapping[str, int]:
        """Counted since the start; a violation that never was is a zero."""
        return {VIOLATIONS: 0, **self._parts.counters}

    async def ready(self) -> str | None:
        """Why the bot cannot work, or None."""
        return await self._parts.store.check()

    def _check_room(self, room: str) -> None:
        if room.partition(":")[0] not in self._parts.chat:
            known = ", ".join(self._parts.chat)
            raise UserError(
                "unknown_room",
                Text(
                    f"房间 “{room}” 不存在；应写成 平台:名字（平台有：{known}）",
                    f'no room "{room}"; write PLATFORM:NAME ({known})',
                ),
            )

    def _given(self, yaml: str) -> Playbook:
        try:
            return self._read_playbook(yaml)
        except PlaybookError as exc:
            raise UserError("bad_playbook", Text(f"剧本有误：{exc}", f"the playbook has a mistake: {exc}")) from exc
