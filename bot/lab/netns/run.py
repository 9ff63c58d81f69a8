"""One scenario from its file to a judgement: stage, hub, agents, the command, the document."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from bot.adapters.config import Config
from bot.app.service import MAIN_ROOM
from bot.bootstrap import Bot, build, listen
from bot.diagnosis.plan import follow_up
from bot.diagnosis.worth import KINDS
from bot.domain.errors import WarroomError
from bot.domain.failure import Failure
from bot.domain.patrol import PatrolRules
from bot.domain.probe import Agent, Observation
from bot.domain.sender import Sender
from bot.lab.netns import files
from bot.lab.netns.enter import inside
from bot.lab.netns.judge import Judgement, judge
from bot.lab.netns.kernel import LabFailed
from bot.lab.netns.layout import CONTROL
from bot.lab.netns.models import ChangeModel, ScenarioModel
from bot.lab.netns.rehearsal import learn
from bot.lab.netns.stage import Stage

HUB_PORT = 8800
AGENTS_WITHIN_S = 30.0
SETTLES_S = 1.5
"""Load and limits find their balance before the command is typed."""
DEPLOYS = "deploys"
"""The name of the sender of changes."""
GOLDEN_FORMAT = 1
REST_WITHIN_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """A run that came to an end. `agents` as the hub knew them when the command was typed."""

    scenario: ScenarioModel
    playbook: Mapping[str, Any]
    agents: Sequence[Agent]
    document: Mapping[str, Any]
    before: Mapping[str, Any] | None
    """The document of the rehearsal, where there was one."""
    more: Sequence[Mapping[str, Any]]
    """Observations of the `then:` lines that the run did not ask for, where it was to be recorded."""
    judgement: Judgement
    seconds: float
    """All of it, from building to removing."""

    def to_json(self) -> dict[str, Any]:
        """One row of `lab run --format json`."""
        return {
            "scenario": self.scenario.model_dump(mode="json", exclude_defaults=True, by_alias=True),
            "seconds": round(self.seconds, 2),
            **self.judgement.to_json(),
            "diag": dict(self.document),
        }

    def golden(self) -> dict[str, Any]:
        """What a replay needs: observations in, verdict out."""
        return {
            "format": GOLDEN_FORMAT,
            "scenario": self.scenario.scenario,
            "about": self.scenario.about,
            "playbook": self.playbook["playbook"],
            "definition": dict(self.playbook),
            "agents": [_agent(a) for a in self.agents],
            "observations": self.document["observations"],
            "more": list(self.more),
            "missing": self.document["missing"],
            "before": self.before["observations"] if self.before else [],
            "recalled": self.document["recalled"],
            "history": [h.model_dump(mode="json") for h in self.scenario.history],
            "changes": [c.model_dump(mode="json") for c in self.scenario.changes],
            "expect": self.scenario.expect.model_dump(mode="json"),
            "verdict": self.document["verdict"],
            "shares": {h["id"]: h["share"] for h in reversed(self.document["hypotheses"])},
            "culprit": self.document["culprit"],
            "took_s": self.document["took_s"],
        }


async def run(scenario: ScenarioModel, building: asyncio.Lock, *, exhaustive: bool = False) -> Night:
    """Play it; `exhaustive` asks in the end what the run did not ask, so that a replay can.

    Raises LabFailed or another WarroomError when it cannot be played to its end. `building` is shared by runs of one
    process: Alembic's migrations work on globals of its modules, one at a time.
    """
    began = time.monotonic()
    async with Stage(scenario) as stage, _hub(stage, building) as bot:
        names = await stage.start_agents(bot.config.url.replace("http", "ws"), bot.config.agent_token)
        await _all_ready(stage, bot, names)
        book = files.playbook(scenario, stage.layout)
        command = scenario.command or f"/diag {book['playbook']}"
        before = await _rehearsed(stage, bot, command) if scenario.rehearse else None
        await asyncio.sleep(SETTLES_S)
        stage.children.check()
        asked = stage.queries()
        await _tell(bot, scenario.changes)
        await stage.act()
        agents = list(bot.hub.agents())
        document = await _command(bot, command)
        stage.children.check()
        queries = {vpc: count - asked[vpc] for vpc, count in stage.queries().items()}
        judgement = judge(scenario.scenario, scenario.expect, document, queries=queries)
        more = await _rest(bot, agents, document) if exhaustive else []
    return Night(
        scenario=scenario,
        playbook=book,
        agents=agents,
        document=document,
        before=before,
        more=more,
        judgement=judgement,
        seconds=time.monotonic() - began,
    )


def record(night: Night, folder: Path) -> Path:
    """Keep a run for replay: FOLDER/SCENARIO.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{night.scenario.scenario}.json"
    path.write_text(json.dumps(night.golden(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path


@contextlib.asynccontextmanager
async def _hub(stage: Stage, building: asyncio.Lock) -> AsyncIterator[Bot]:
    """The bot, listening in the control namespace: nothing of this machine's own network is touched."""
    config = Config(
        host=stage.layout.hub,
        port=HUB_PORT,
        lang="en",
        database_url=f"sqlite:///{stage.folder / 'warroom.db'}",
        playbooks=stage.folder / "playbooks",
        api_token=secrets.token_urlsafe(16),
        agent_token=secrets.token_urlsafe(16),
        patrol=PatrolRules(every=timedelta()),  # only what the command asks is counted
        changes=(Sender(name=DEPLOYS, token=secrets.token_urlsafe(16)),),
    )
    listener, config = inside(stage.kernel.path(CONTROL), lambda: listen(config))
    try:
        async with building:
            bot = await build(config)
    except BaseException:
        listener.close()
        raise
    serving = asyncio.create_task(bot.serve(listener))
    try:
        yield bot
    finally:
        bot.stop()
        await asyncio.wait([serving], timeout=8)
        listener.close()


async def _all_ready(stage: Stage, bot: Bot, names: Sequence[str]) -> None:
    deadline = asyncio.get_running_loop().time() + AGENTS_WITHIN_S
    while True:
        late = set(names) - {a.name for a in bot.hub.agents() if a.state == "ready"}
        if not late:
            return
        stage.children.check()
        if asyncio.get_running_loop().time() > deadline:
            name = min(late)
            raise LabFailed(f"agent {name} did not connect: {stage.children.tail(name)}")
        await asyncio.sleep(0.05)


async def _tell(bot: Bot, changes: Sequence[ChangeModel]) -> None:
    """Post the changes to the bot's own hook, as a deploy system would. Raises LabFailed."""
    if not changes:
        return
    now = datetime.now(UTC)
    rows = [
        {
            "at": (now - timedelta(minutes=change.minutes_ago)).isoformat(),
            **change.model_dump(mode="json", exclude={"minutes_ago"}),
        }
        for change in changes
    ]
    headers = {"Authorization": f"Bearer {bot.config.changes[0].token}"}
    transport = httpx.ASGITransport(app=bot.app)
    async with httpx.AsyncClient(transport=transport, base_url=bot.config.url, headers=headers) as client:
        said = await client.post(f"/hooks/changes/{DEPLOYS}", json=rows)
    if said.status_code != 200:
        raise LabFailed(f"the bot did not take the changes: {said.status_code} {said.text[:200]}")


async def _rehearsed(stage: Stage, bot: Bot, command: str) -> Mapping[str, Any]:
    """The command in a healthy world; then the faults begin."""
    document = await _command(bot, command)
    await learn(bot.parts.store, document, now=bot.parts.clock.now())
    await stage.begin()
    return document


async def _rest(bot: Bot, agents: Sequence[Agent], document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the playbook's `then:` lines tell that the run has not asked for."""
    playbook = bot.parts.playbooks.get(str(document["playbook"]))
    if playbook is None:
        return []
    seen = [Observation.from_json(row) for row in document["observations"]]
    ready = [a for a in agents if a.state == "ready"]
    everybody = frozenset(a.name for a in ready)
    asked = {o.kind for o in seen}
    requests = [r for k in KINDS if k not in asked for r in follow_up(k, playbook, ready, everybody, seen)]
    told = [o async for o in bot.hub.ask(requests, deadline_s=REST_WITHIN_S)]
    return [o.to_json() for o in told if o.failure is not Failure.AGENT_LOST]


async def _command(bot: Bot, text: str) -> Mapping[str, Any]:
    answer = await bot.service.command(text, user="lab", room=MAIN_ROOM)
    document = answer["run"]
    if document is None:
        said = "\n".join(m["text"] for m in answer["messages"])
        raise WarroomError(f"{text} came to no end: {said[:600]}")
    found: Mapping[str, Any] = document
    return found


def _agent(agent: Agent) -> dict[str, Any]:
    return {
        **agent.to_json(),
        "kinds": list(agent.kinds),
        "resolvers": {kind: list(places) for kind, places in agent.resolvers.items()},
    }
