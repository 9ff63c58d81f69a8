"""`/agents`: who is looking, from where, who is silent, and what some of them cannot do."""

from __future__ import annotations

from collections.abc import Sequence

from bot.app import words
from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.domain.message import Bullets, Header, Table
from bot.domain.probe import Agent
from bot.domain.text import Text, same

MAX_LACKING = 20
STATES = {"ready": "✓", "lost": "✗", "draining": "…", "starting": "…"}


async def agents(call: Call, tx: Tx) -> Then | None:
    """Show every agent known."""
    known = call.parts.agents.agents()
    ready = sum(1 for a in known if a.state == "ready")
    elsewhere = words.ELSEWHERE if call.parts.agents_meet_one_bot and ready < max(1, len(known)) else same("")
    if not known:
        how = Text(
            "还没有观测点。在要观测的机器上运行：warroom agent --hub … --name … --region … --vantage vm",
            "no agent yet. Where you want to look from, run: warroom agent --hub … --name … --region … --vantage vm",
        )
        await call.reply(tx, Header(text=how + elsewhere, tone="warn"))
        return None
    title = Text(f"{ready}/{len(known)} 个观测点在线", f"{ready} of {len(known)} vantage points connected")
    columns = (
        Text("", ""),
        Text("名称", "name"),
        Text("地域", "region"),
        Text("位置", "vantage"),
        Text("VPC", "VPC"),
        Text("环境", "env"),
        Text("最近应答", "last answer"),
    )
    await call.reply(
        tx,
        Header(text=title + elsewhere, tone="good" if ready == len(known) else "warn"),
        Table(columns=columns, rows=tuple(_row(call, a) for a in known)),
        *_lacks(known),
    )
    return None


def _lacks(known: Sequence[Agent]) -> tuple[Bullets, ...]:
    """A line for each thing that an agent lacks, in its own words, which are English."""
    lines = [f"{a.name}: {sentence}" for a in known if a.state != "lost" for sentence in a.lacks]
    if not lines:
        return ()
    more = len(lines) - MAX_LACKING
    items = [Text(line, line) for line in lines[:MAX_LACKING]]
    if more > 0:
        items.append(Text(f"还有 {more} 条", f"and {more} more"))
    return (Bullets(items=tuple(items), label=Text("这些观测点有做不到的事", "what some of them cannot do")),)


def _row(call: Call, agent: Agent) -> tuple[str, ...]:
    seen = "-"
    if agent.last_seen is not None:
        age = (call.at - agent.last_seen).total_seconds()
        seen = words.duration(max(0.0, age)).in_(call.room.lang)
    return (
        STATES.get(agent.state, agent.state),
        agent.name,
        agent.region,
        agent.vantage,
        agent.vpc or "-",
        agent.env or "-",
        seen,
    )
