"""`/diag vendor:NAME` and `/diag all`: several playbooks at once, under the DNS budget of one, and one card."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any

from bot.app import diag as single
from bot.app import reasons
from bot.app.cards import buttons, doing, headline, ranking, todo, tone
from bot.app.document import culprit_of, document
from bot.app.gather import REDRAW_S, Gathering
from bot.app.incident_moves import investigating
from bot.app.matrix import matrix
from bot.app.parts import Call, Parts, Then, put_unrecorded, record, say, say_progress
from bot.app.ports import Tx
from bot.app.recall import RECALL_S, recall_into
from bot.app.summary import show_summary
from bot.diagnosis.hypothesis import HEALTHY
from bot.diagnosis.investigation import Investigation
from bot.domain.command import unknown
from bot.domain.errors import StoreUnavailable
from bot.domain.incident import EntryKind, Room, Run
from bot.domain.message import Block, Bullets, Button, Buttons, Header, Message, Progress
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent
from bot.domain.text import Text, same

log = logging.getLogger("warroom.diag")

VENDOR = "vendor:"
ALL = "all"


async def diag(call: Call, tx: Tx) -> Then | None:
    """One playbook, or the group that is named."""
    playbooks = named(call.parts, call.args[0] if call.args else "")
    await investigating(call.parts, tx, call.room.incident, by=call.command.user, room=call.room.key)
    if not playbooks:
        return await single.diag(call, tx)
    agents = single.select(call.parts, dict(call.command.options))
    return await start(call, tx, call.args[0].lower(), playbooks, agents)


def named(parts: Parts, word: str) -> tuple[Playbook, ...]:
    """The playbooks of a group; none where the word names no group. Raises UserError for an unknown vendor."""
    word, known = word.lower(), tuple(parts.playbooks.values())
    if word == ALL and ALL not in parts.playbooks:
        return known
    if not word.startswith(VENDOR):
        return ()
    vendor, vendors = word.removeprefix(VENDOR), sorted({p.vendor for p in known if p.vendor})
    found = tuple(p for p in known if p.vendor and p.vendor.lower() == vendor)
    if not found:
        hint = Text(f"有：{'、'.join(vendors) or '无'}", f"there are: {', '.join(vendors) or 'none'}")
        raise unknown(Text("厂商", "vendor"), vendor, vendors, hint)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Investigations that run together."""

    name: str
    runs: tuple[Investigation, ...]

    def failing(self) -> tuple[Investigation, ...]:
        """Those in which something is red, the surest first."""
        ill = [r for r in self.runs if r.verdict().ids != (HEALTHY,) and any(c.red for c in r.picture().cells)]
        return tuple(sorted(ill, key=lambda r: (-r.verdict().share, r.playbook.name)))

    def lead(self) -> Investigation:
        """The one whose evidence the card shows: the surest that fails, else one that could not tell."""
        unsure = [r for r in self.runs if r.verdict().ids != (HEALTHY,)]
        return next(iter((*self.failing(), *unsure, *self.runs)))


async def start(
    call: Call, tx: Tx, name: str, playbooks: Sequence[Playbook], agents: Sequence[Agent], *, run_id: str = ""
) -> Then:
    """Record one run for all of them and its first message; returns what begins the probing."""
    parts = call.parts
    run = await single.open_run(call, tx, name, run_id=run_id)
    share = 1 / len(playbooks)
    group = Group(name=name, runs=tuple(Investigation(p, parts.hypotheses, agents, share=share) for p in playbooks))
    await say(parts, tx, call.message(*_progress(group), key=run.id), incident=run.incident)

    async def then() -> None:
        parts.jobs.start(_investigate(parts, run, group, call.room), key=run.id)

    return then


async def _investigate(parts: Parts, run: Run, group: Group, room: Room) -> None:
    began = drawn = parts.clock.monotonic()

    async def redraw(_pending: frozenset[tuple[str, str]]) -> None:
        nonlocal drawn
        if parts.clock.monotonic() - drawn < REDRAW_S:
            return
        drawn = parts.clock.monotonic()
        message = Message(key=run.id, room=run.room, blocks=_progress(group))
        await say_progress(parts, message, incident=run.incident)

    async def one(investigation: Investigation) -> None:
        recalling = asyncio.create_task(recall_into(parts, investigation, incident=run.incident))
        gathering = Gathering(parts, investigation)
        try:
            await gathering.answered(redraw)
            await asyncio.wait([recalling], timeout=RECALL_S)
        finally:
            recalling.cancel()
            gathering.close()

    async with asyncio.TaskGroup() as together:
        for investigation in group.runs:
            together.create_task(one(investigation))
    took_s = parts.clock.monotonic() - began
    try:
        await _conclude(parts, run, group, room, took_s=took_s)
    except StoreUnavailable as exc:
        log.error("run %s could not be recorded: %s", run.id, exc)
        await put_unrecorded(parts, Message(key=run.id, room=room.key, blocks=card(group)), room)


async def _conclude(parts: Parts, run: Run, group: Group, room: Room, *, took_s: float) -> None:
    now = parts.clock.now()
    async with parts.store.begin() as tx:
        current = await tx.rooms.get(room.key) or room
        run = replace(run, incident=run.incident or current.incident, finished_at=now)
        incident = await tx.incidents.get(run.incident) if run.incident else None
        kept = _document(run, group, took_s=took_s, room=current, zone=parts.timezone)
        await tx.runs.save(replace(run, document=kept))
        each = {r.playbook.name: list(r.verdict().ids) for r in group.runs}
        lead = group.lead()
        data = {"verdict": list(lead.verdict().ids), "verdicts": each, "culprit": culprit_of(lead)}
        said = summary(group)
        await record(tx, EntryKind.VERDICT, said, at=now, room=run.room, incident=run.incident, run=run.id, data=data)
        await say(parts, tx, Message(key=run.id, room=run.room, blocks=card(group)), incident=run.incident)
        if incident is not None:
            await show_summary(parts, tx, incident)
    parts.wake()


def summary(group: Group) -> Text:
    """The first line: how many fail, and whether from the same place."""
    total, ill = len(group.runs), group.failing()
    vendor = group.name.removeprefix(VENDOR) if group.name.startswith(VENDOR) else ""
    zh, en = (f"{vendor} 的 {total} 个产品", f"{vendor} products") if vendor else (f"{total} 个服务", "services")
    if not ill:
        unsure = sum(r.verdict().ids != (HEALTHY,) for r in group.runs)
        if unsure:
            return Text(
                f"{zh}没有看到异常，其中 {unsure} 个数据不全", f"none of {total} {en} fails, {unsure} not fully seen"
            )
        return Text(f"{zh}全部正常", f"all {total} {en} are fine")
    told = Text(f"{zh}里 {len(ill)} 个异常", f"{len(ill)} of {total} {en} {'fails' if len(ill) == 1 else 'fail'}")
    return told + _place(ill)


def _place(ill: Sequence[Investigation]) -> Text:
    """Where from: a scope that all the causes name, the same vantage points, everywhere, or different places."""
    scopes = {(r.scope.kind, r.scope.name) for run in ill for r in run.verdict().leaders()[:1]}
    red = {frozenset(c.agent for c in run.picture().cells if c.red) for run in ill}
    seen = {c.agent for run in ill for c in run.picture().cells if c.tries}
    if len(red) == 1 and next(iter(red)) == seen:
        return Text("，从每处都是", ", from everywhere")
    if len(scopes) == 1 and (scope := next(iter(scopes)))[1]:
        return Text(f"，都在同一处（{scope[1]}）", f" from the same place ({scope[1]})")
    if len(red) == 1:
        names = ", ".join(sorted(next(iter(red))))
        return Text(f"，都在同一处（{names}）", f" from the same place ({names})")
    return Text("，不在同一处", ", from different places")


def card(group: Group) -> tuple[Block, ...]:
    """The group's answer: how many and where, each verdict, and why and what to do for the surest."""
    lead = group.lead()
    regions = "/".join(dict.fromkeys(a.region for a in lead.agents))
    sub = same(f"/diag {group.name} · {regions}")
    blocks: list[Block] = [Header(text=summary(group), tone=tone(lead.verdict()), sub=sub)]
    items = tuple(r.playbook.title + Text("：", ": ") + headline(r) for r in group.runs)
    blocks.append(Bullets(items=items, label=Text("各个结论", "Each verdict")))
    for bullets in reasons.blocks(lead):
        label, title = bullets.label or same(""), lead.playbook.title
        blocks.append(replace(bullets, label=Text(f"{title.zh} · {label.zh}", f"{title.en} · {label.en}")))
    blocks += doing(tuple(dict.fromkeys(w for r in group.failing() for w in todo(r.verdict(), r.playbook))))
    table = matrix(lead.picture())
    if table:
        blocks.append(table)
    if lead.verdict().ranked:
        blocks.append(ranking(lead.verdict()))
    if group.failing():
        blocks.append(Buttons(buttons=buttons(lead.verdict(), lead.playbook)))
    again = [Button(label=r.playbook.title, command=f"/diag {r.playbook.name}") for r in group.runs[:4]]
    return (*blocks, Buttons(buttons=tuple(again)))


def _progress(group: Group) -> tuple[Block, ...]:
    counts = [r.progress() for r in group.runs]
    names = ", ".join(r.playbook.name for r in group.runs)
    done, total = sum(d for d, _ in counts), sum(t for _, t in counts)
    text = Text(f"问每一个观测点：{names}", f"asking every vantage point about {names}")
    header = Header(text=Text("正在一起诊断", "diagnosing together"), tone="busy", sub=same(f"/diag {group.name}"))
    return (header, Progress(done=done, total=total, text=text))


def _document(run: Run, group: Group, *, took_s: float, room: Room, zone: tzinfo) -> dict[str, Any]:
    """The surest one's document under the group's name and headline, with everybody's under "related"."""

    def of(one: Investigation) -> dict[str, Any]:
        return document(one, run, took_s=took_s, lang=room.lang, zone=zone)

    lead, said = group.lead(), summary(group)
    found = of(lead)
    return {
        **found,
        "playbook": group.name,
        "lead": lead.playbook.name,
        "headline": f"{said.in_(room.lang)} · {headline(lead).in_(room.lang)}",
        "related": [of(r) for r in group.runs],
    }
