"""`/probe KIND TARGET`: one probe by hand, from everywhere or from where it is said, answered with one table."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from bot.app.parts import Call, Parts, Then, put_unrecorded, record, say, say_progress
from bot.app.plain import plain
from bot.app.ports import Tx
from bot.app.probe_card import Tally, answer_card, progress_card, tally
from bot.app.probe_request import probing
from bot.diagnosis.adhoc import Adhoc, read
from bot.diagnosis.burst import Batch
from bot.diagnosis.probing import Probing
from bot.domain.errors import StoreUnavailable
from bot.domain.incident import EntryKind, Room
from bot.domain.message import Block, Message
from bot.domain.text import Lang, Text, same

log = logging.getLogger("warroom.probe")

REDRAW_S = 0.4
"""How often the message is edited while agents work."""
SLACK_S = 2.0
"""What the way to an agent and back may take beyond the probe itself."""
KEY = "probe-"
"""How the keys of probes' messages begin."""
LIFE_S = 75.0
"""Longer than any probe and the way to it may take."""
MAX_ON_RECORD = 50
"""Agents whose result goes on the timeline one by one."""
Redraw = Callable[[], Awaitable[None]]


class Asking:
    """One `/probe` on its way, and its answer when it is there."""

    def __init__(self, run: Probing, *, key: str, room: Room) -> None:
        self.run = run
        self.key = key
        self.room = room
        self.incident = room.incident
        self.took_s: float | None = None

    def card(self, lang: Lang) -> tuple[Block, ...]:
        """The message as it reads now."""
        if self.took_s is None:
            return progress_card(self.run, lang)
        return answer_card(self.run, lang, took_s=self.took_s, incident=self.incident)

    def message(self) -> Message:
        """The card for its room, in the language that the room had when it was asked."""
        return Message(key=self.key, room=self.room.key, blocks=self.card(self.room.lang))

    def document(self, lang: Lang) -> dict[str, Any]:
        """What the API answers: the question, every observation, who is missing, and the table as `text`."""
        run = self.run
        return {
            "kind": run.asked.kind,
            "target": run.asked.target,
            "params": dict(run.params),
            "command": run.asked.line(),
            "incident": self.incident,
            "agents": [a.to_json() for a in run.agents],
            "observations": [o.to_json() for o in run.observations()],
            "missing": [f"{name}: {why.en}" for name, why in run.missing().items()],
            "not_asked": [f"{name}: {why.en}" for name, why in run.not_asked.items()],
            "measured": not tally(run).blind,
            "took_s": round(self.took_s or 0.0, 3),
            "text": plain(self.card(lang)[:-1], lang),
        }


async def probe(call: Call, tx: Tx) -> Then | None:
    """Check what is asked, say so, and ask the agents after the commit."""
    _, then = await start(call, tx, prepare(call.parts, read(call.args, call.command.options)))
    return then


def prepare(parts: Parts, asked: Adhoc) -> Probing:
    """What is asked, against the agents and playbooks there are. Raises UserError."""
    return probing(asked, parts.agents.agents(), parts.playbooks.values())


async def start(call: Call, tx: Tx, run: Probing) -> tuple[Asking, Then]:
    """Place the message; returns what fills it in, and what begins the probing."""
    asking = Asking(run, key=call.parts.new_id(KEY.rstrip("-")), room=call.room)
    await call.reply(tx, *asking.card(call.room.lang), key=asking.key)

    async def then() -> None:
        call.parts.jobs.start(_carry_out(call.parts, asking), key=asking.key)

    return asking, then


async def _carry_out(parts: Parts, asking: Asking) -> None:
    began = parts.clock.monotonic()
    await gather(parts, asking.run, lambda: _redraw(parts, asking))
    asking.took_s = parts.clock.monotonic() - began
    try:
        await _conclude(parts, asking)
    except StoreUnavailable as exc:
        log.error("%s could not be recorded: %s", asking.key, exc)
        await put_unrecorded(parts, asking.message(), asking.room)


async def gather(parts: Parts, run: Probing, redraw: Redraw) -> None:
    """Send every batch when it is due and take in what comes back; returns when all is in."""
    tasks = {asyncio.create_task(_pump(parts, run, batch)) for batch in run.batches}
    waiting, drawn = tasks, 0
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=REDRAW_S, return_when=asyncio.ALL_COMPLETED)
            for broken in (task.exception() for task in done):
                if broken is not None:
                    log.error("asking the agents failed", exc_info=broken)
            if waiting and run.arrived != drawn:
                drawn = run.arrived
                await redraw()
    finally:
        for task in tasks:
            task.cancel()
    run.close()


async def _pump(parts: Parts, run: Probing, batch: Batch) -> None:
    await asyncio.sleep(batch.after_s)
    deadline_s = max(request.timeout_s for request in batch.requests) + SLACK_S
    async for seen in parts.agents.ask(batch.requests, deadline_s=deadline_s):
        run.take(seen)


async def _redraw(parts: Parts, asking: Asking) -> None:
    await say_progress(parts, asking.message(), incident=asking.incident)


async def _conclude(parts: Parts, asking: Asking) -> None:
    """Record what was found and say it, in one transaction."""
    async with parts.store.begin() as tx:
        # The room may have got an incident, or another language, while the agents worked.
        room = await tx.rooms.get(asking.room.key) or asking.room
        asking.incident = asking.incident or room.incident
        text, data = _on_record(asking)
        await record(
            tx,
            EntryKind.PROBES,
            text,
            at=parts.clock.now(),
            room=room.key,
            incident=asking.incident,
            data=data,
        )
        message = Message(key=asking.key, room=room.key, blocks=asking.card(room.lang))
        await say(parts, tx, message, incident=asking.incident)
    parts.wake()


def _on_record(asking: Asking) -> tuple[Text, dict[str, Any]]:
    """One line for the timeline, and who saw how much of it work."""
    run = asking.run
    counts: Tally = tally(run)
    good, bad, blind = len(counts.good), len(counts.bad), len(counts.blind)
    total = good + bad + blind
    text = same(run.asked.line()) + Text(
        f"：{total} 个观测点，{good} 个正常，{bad} 个异常，{blind} 个没有数据",
        f": works from {good} of {total} vantage points, fails from {bad}, no data from {blind}",
    )
    seen = run.observations()[:MAX_ON_RECORD]
    return text, {
        "kind": run.asked.kind,
        "target": run.asked.target[:200],
        "rates": {o.agent: o.success_rate for o in seen if o.success_rate is not None},
        "failures": {o.agent: o.failure.value for o in seen if o.failure},
        "missing": list(run.missing())[:MAX_ON_RECORD],
        "took_s": round(asking.took_s or 0.0, 3),
    }
