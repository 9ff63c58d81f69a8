"""`/diag PLAYBOOK`: ask every vantage point at once, show it filling in, say the cause."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.app.before import onset_of
from bot.app.cards import headline, progress_card, verdict_card
from bot.app.document import culprit_of, document
from bot.app.gather import DEADLINE_S, LATE_S, Gathering
from bot.app.parts import Call, Parts, Then, put_unrecorded, record, say, say_progress
from bot.app.ports import Tx
from bot.app.recall import RECALL_S, recall_into
from bot.app.similar import recollect
from bot.app.summary import show_summary
from bot.app.words import ELSEWHERE
from bot.diagnosis.investigation import Investigation
from bot.domain.command import unknown
from bot.domain.errors import StoreUnavailable, UserError
from bot.domain.incident import EntryKind, Incident, Room, Run
from bot.domain.message import Button, Buttons, Header, Message
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent
from bot.domain.text import Text, percent, same

log = logging.getLogger("warroom.diag")

LOST_AFTER_S = 3 * DEADLINE_S
"""A run without an end after so long has lost its bot."""
FILTERS = {
    "region": Text("地域", "region"),
    "vantage": Text("观测位置", "vantage"),
    "env": Text("环境", "env"),
    "vpc": same("VPC"),
    "agent": Text("观测点", "agent"),
}


async def diag(call: Call, tx: Tx) -> Then | None:
    """Check what is asked, record the run, and investigate after the commit."""
    playbook = choose(call.parts, call.args)
    agents = select(call.parts, dict(call.command.options))
    return await start(call, tx, playbook, agents)


async def start(call: Call, tx: Tx, playbook: Playbook, agents: Sequence[Agent], *, run_id: str = "") -> Then:
    """Record a run and its first message; returns what begins the probing."""
    parts = call.parts
    run = await open_run(call, tx, playbook.name, run_id=run_id)
    investigation = Investigation(playbook, parts.hypotheses, agents)
    first = call.message(*progress_card(investigation, pending=frozenset()), key=run.id)
    await say(parts, tx, first, incident=run.incident)

    async def then() -> None:
        parts.jobs.start(_investigate(parts, run, investigation, call.room), key=run.id)

    return then


async def open_run(call: Call, tx: Tx, name: str, *, run_id: str = "") -> Run:
    """Record that a run of this playbook, or group of them, begins in the room of the call."""
    run = Run(
        id=run_id or call.parts.new_id("run"),
        playbook=name,
        room=call.room.key,
        user=call.command.user,
        started_at=call.at,
        incident=call.room.incident,
    )
    await tx.runs.save(run)
    call.run = run.id
    return run


def choose(parts: Parts, args: Sequence[str]) -> Playbook:
    """The playbook that is named. Raises UserError."""
    hint = Text("/playbooks 列出全部", "/playbooks lists them")
    if not args:
        names = "、".join(parts.playbooks)
        raise UserError(
            "missing_playbook",
            Text(
                f"要诊断哪个服务？例如 /diag {next(iter(parts.playbooks), 'sms')}（有：{names}）",
                f"which service? for example /diag {next(iter(parts.playbooks), 'sms')} "
                f"(there are: {', '.join(parts.playbooks)})",
            ),
        )
    found = parts.playbooks.get(args[0].lower())
    if found is None:
        raise unknown(Text("剧本", "playbook"), args[0], parts.playbooks, hint)
    return found


def select(parts: Parts, options: dict[str, str]) -> Sequence[Agent]:
    """The agents that `region=`, `vantage=`, `env=`, `vpc=`, `agent=` leave. Raises UserError."""
    agents = list(parts.agents.agents())
    for key, value in options.items():
        if key not in FILTERS:
            hint = Text("可用：" + "、".join(FILTERS), "there are: " + ", ".join(FILTERS))
            raise unknown(Text("参数", "option"), key, FILTERS, hint)
        field = "name" if key == "agent" else key
        known = sorted({getattr(a, field) for a in agents if getattr(a, field)})
        wanted = value.split(",")
        for word in wanted:
            if word not in known:
                names = ", ".join(known) or "-"
                raise unknown(FILTERS[key], word, known, Text(f"现有：{names}", f"there are: {names}"))
        agents = [a for a in agents if getattr(a, field) in wanted]
    if not any(a.state == "ready" for a in agents):
        none = Text(
            "没有在线的观测点；先在各处运行 warroom agent，/agents 可以看到它们",
            "no agent is connected; run `warroom agent` where you want to look from, /agents shows them",
        )
        raise UserError("no_agents", none + ELSEWHERE if parts.agents_meet_one_bot else none)
    return agents


async def close_interrupted(parts: Parts, *, began: datetime) -> None:
    """Say of runs that a stop of the bot cut off that they were; nobody should wait for their end.

    `began` is when this bot did: what is older and unfinished was cut off, unless another bot works on the same
    database. Then it looks twice, because a run that began just now may be that bot's, and going well.
    """
    for wait_s in (0.0,) if parts.alone else (0.0, LOST_AFTER_S):
        await parts.clock.sleep(wait_s)
        before = began if parts.alone else parts.clock.now() - timedelta(seconds=LOST_AFTER_S)
        try:
            async with parts.store.begin() as tx:
                for run in await tx.runs.unfinished(before=before):
                    await _interrupted(parts, tx, run)
        except StoreUnavailable as exc:
            log.warning("interrupted runs were not looked for: %s", exc)
        parts.wake()


async def _interrupted(parts: Parts, tx: Tx, run: Run) -> None:
    now = parts.clock.now()
    await tx.runs.save(replace(run, finished_at=now))
    what = f"/diag {run.playbook}"
    text = Text(f"{what} 被重启打断；请再来一次", f"{what} was interrupted by a restart; ask again")
    again = Button(label=Text("再测一次", "Ask again"), command=what)
    blocks = (Header(text=text, tone="warn"), Buttons(buttons=(again,)))
    await say(parts, tx, Message(key=run.id, room=run.room, blocks=blocks), incident=run.incident)
    await record(
        tx, EntryKind.PROBES, text, at=now, room=run.room, incident=run.incident, run=run.id, data={"interrupted": True}
    )


async def _investigate(parts: Parts, run: Run, investigation: Investigation, room: Room) -> None:
    began = parts.clock.monotonic()
    # Beside the probes: a database that hangs must not keep them waiting.
    recalling = asyncio.create_task(recall_into(parts, investigation, incident=run.incident))
    gathering = Gathering(parts, investigation, late_s=LATE_S)
    try:
        await gathering.answered(lambda pending: _redraw(parts, run, investigation, pending))
        await asyncio.wait([recalling], timeout=RECALL_S)
        took_s = parts.clock.monotonic() - began
        concluded = await _conclude(parts, run, investigation, room, took_s=took_s)
    except StoreUnavailable as exc:
        log.error("run %s could not be recorded: %s", run.id, exc)
        took_s = parts.clock.monotonic() - began
        card = verdict_card(investigation, took_s=took_s, incident=run.incident, zone=parts.timezone)
        await put_unrecorded(parts, Message(key=run.id, room=room.key, blocks=card), room)
        gathering.close()
        return
    except BaseException:
        gathering.close()
        raise
    finally:
        recalling.cancel()
    if concluded.incident is not None:
        parts.jobs.start(recollect(parts, concluded.incident), key=f"similar-{concluded.incident}")
    if not gathering.done:
        work = _fill_in(parts, concluded, investigation, gathering, room, took_s=took_s)
        parts.jobs.start(work, key=f"late-{run.id}")


async def _fill_in(
    parts: Parts, run: Run, investigation: Investigation, gathering: Gathering, room: Room, *, took_s: float
) -> None:
    """Put answers that come after the verdict into the card that stands there, and say if they change it."""
    said = investigation.verdict().ids
    came: list[str] = []
    try:
        while (seen := await gathering.late()) is not None:
            came.append(seen.agent)
            while await gathering.more_at_once():
                pass
            async with parts.store.begin() as tx:
                changed = investigation.verdict().ids != said
                said = investigation.verdict().ids
                await _show(parts, tx, run, investigation, room, took_s=took_s)
                if changed:
                    await _record_verdict(tx, run, investigation, at=parts.clock.now())
            parts.wake()
        if came:
            agents = ", ".join(dict.fromkeys(came))
            text = Text(
                f"/diag {run.playbook}：{len(came)} 项迟到的应答（{agents}）已补入",
                f"/diag {run.playbook}: {len(came)} late answers ({agents}) filled in",
            )
            async with parts.store.begin() as tx:
                await record(
                    tx,
                    EntryKind.PROBES,
                    text,
                    at=parts.clock.now(),
                    room=run.room,
                    incident=run.incident,
                    run=run.id,
                    data={"late": len(came)},
                )
    except StoreUnavailable as exc:
        log.warning("late answers to run %s are not shown: %s", run.id, exc)
    finally:
        gathering.close()


async def _redraw(parts: Parts, run: Run, investigation: Investigation, pending: frozenset[tuple[str, str]]) -> None:
    message = Message(key=run.id, room=run.room, blocks=progress_card(investigation, pending=pending))
    await say_progress(parts, message, incident=run.incident)


async def _conclude(parts: Parts, run: Run, investigation: Investigation, room: Room, *, took_s: float) -> Run:
    """Record what was found and say it, in one transaction; returns the run as it was kept."""
    async with parts.store.begin() as tx:
        # The room may have got an incident while the probes ran.
        current = await tx.rooms.get(room.key) or room
        run = replace(run, incident=run.incident or current.incident, finished_at=parts.clock.now())
        incident = await tx.incidents.get(run.incident) if run.incident else None
        await _record_probes(tx, run, investigation, at=parts.clock.now())
        await _record_verdict(tx, run, investigation, at=parts.clock.now())
        await _show(parts, tx, run, investigation, current, took_s=took_s)
        if incident is not None:
            await show_summary(parts, tx, incident)
            await _show_in_war_room(parts, tx, run, investigation, incident, took_s=took_s)
    parts.wake()
    return run


async def _show(parts: Parts, tx: Tx, run: Run, investigation: Investigation, room: Room, *, took_s: float) -> None:
    """Keep the document and put the card, in place of what stood there."""
    found = document(investigation, run, took_s=took_s, lang=room.lang, zone=parts.timezone)
    await tx.runs.save(replace(run, document=found))
    card = verdict_card(investigation, took_s=took_s, incident=run.incident, zone=parts.timezone)
    await say(parts, tx, Message(key=run.id, room=room.key, blocks=card), incident=run.incident)


async def _show_in_war_room(
    parts: Parts, tx: Tx, run: Run, investigation: Investigation, incident: Incident, *, took_s: float
) -> None:
    """A run that began before the war room was made is read there as well."""
    if run.room == incident.room or run.room not in incident.rooms:
        return
    card = verdict_card(investigation, took_s=took_s, incident=run.incident, zone=parts.timezone)
    await say(parts, tx, Message(key=run.war_key, room=incident.room, blocks=card), incident=incident.id)


async def _record_probes(tx: Tx, run: Run, investigation: Investigation, *, at: datetime) -> None:
    """One line for the timeline: what was asked."""
    done, total = investigation.progress()
    reds = sum(1 for c in investigation.picture().cells if c.red)
    text = Text(
        f"/diag {run.playbook}：{len(investigation.agents)} 个观测点，{done}/{total} 项检查，{reds} 格异常",
        f"/diag {run.playbook}: {len(investigation.agents)} vantage points, {done}/{total} checks, {reds} cells red",
    )
    data = {"checks": total, "done": done, "red": reds}
    await record(tx, EntryKind.PROBES, text, at=at, room=run.room, incident=run.incident, run=run.id, data=data)


async def _record_verdict(tx: Tx, run: Run, investigation: Investigation, *, at: datetime) -> None:
    """One line for the timeline: what it means."""
    verdict = investigation.verdict()
    shares = {r.hypothesis.id: percent(r.share) for r in verdict.ranked[:3] if r.share >= 0.01}
    data = {"verdict": list(verdict.ids), "shares": shares, "culprit": culprit_of(investigation)}
    data["onset"] = onset_of(investigation)
    text = headline(investigation)
    await record(tx, EntryKind.VERDICT, text, at=at, room=run.room, incident=run.incident, run=run.id, data=data)
