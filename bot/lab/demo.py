"""`warroom demo`: the night of the story on loopback, with real agents, and a console to solve it in."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bot.adapters.config import Config
from bot.app.service import MAIN_ROOM
from bot.bootstrap import Bot, build, listen
from bot.domain.errors import ConfigError, WarroomError
from bot.domain.page import Person
from bot.domain.pager_kinds import PagerConfig
from bot.domain.text import Lang, lang_of
from bot.lab.loopback.control import LoopbackLab
from bot.lab.loopback.faults import FAULTS
from bot.lab.loopback.panel import lab_routes
from bot.remote import summary

AGENTS_WITHIN_S = 20.0
FAULT_SETTLES_S = 2.5
"""Caches of the lab's resolvers outlive the fault's beginning by their TTL."""
PLAYBOOK = "sms"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the command line says."""

    fault: str
    play: bool
    as_json: bool
    port: int
    lang: str
    folder: Path | None


async def demo(options: Options) -> int:
    """Run the demo until interrupted, or play it once. Returns the exit status."""
    if options.fault not in FAULTS:
        raise ConfigError(f"no fault {options.fault!r}; there are: {', '.join(FAULTS)}")
    async with AsyncExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warroom-demo-")))
        _say("starting the lab: resolvers, vendors, agents ...")
        lab = await stack.enter_async_context(LoopbackLab(folder / "lab"))
        listener, config = _listen(_config(options, lab, folder))
        bot = await build(config, lab=lab_routes(lab))
        loop = asyncio.get_running_loop()
        serving = asyncio.create_task(bot.serve(listener))
        try:
            await lab.start_agents(f"ws://{config.host}:{config.port}", config.agent_token)
            await _all_agents(bot, lab)
            await lab.set_fault(options.fault)
            await asyncio.sleep(FAULT_SETTLES_S)
            if options.play:
                return await _play(bot, options)
            _welcome(bot, options, lab)
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, bot.stop)
            await serving
            return 0
        finally:
            bot.stop()
            await asyncio.wait([serving], timeout=10)


def _config(options: Options, lab: LoopbackLab, folder: Path) -> Config:
    lang: Lang = lang_of(options.lang)
    ring = PagerConfig(name="lab-phone", kind="webhook", url=lab.world.phone_url, secret=lab.secrets.phone)
    people: Sequence[Person] = (
        Person(name="lin", phone="+8613800000001", lang=lang),
        Person(name="chen", phone="+8613800000002", lang=lang),
    )
    return Config(
        port=0 if options.play else options.port,
        lang=lang,
        database_url=f"sqlite:///{folder / 'warroom.db'}",
        playbooks=lab.playbooks,
        pagers=(ring,),
        people=tuple(people),
        vendors={"tencent": "console:vendor-tencent"},
        api_token=os.environ.get("WARROOM_API_TOKEN", "") or secrets.token_urlsafe(16),
        agent_token=secrets.token_urlsafe(16),
    )


def _listen(config: Config) -> Any:
    try:
        return listen(config)
    except ConfigError:
        _say(f"port {config.port} is taken; using another one")
        return listen(replace(config, port=0))


async def _all_agents(bot: Bot, lab: LoopbackLab) -> None:
    """Wait until every agent is connected. Raises WarroomError with the log of one that is not."""
    deadline = asyncio.get_running_loop().time() + AGENTS_WITHIN_S
    while True:
        ready = {a.name for a in bot.hub.agents() if a.state == "ready"}
        late = [name for name in lab.agents if name not in ready]
        if not late:
            return
        dead = [name for name in late if lab.agents[name].returncode is not None]
        if dead or asyncio.get_running_loop().time() > deadline:
            name = (dead or late)[0]
            log = lab.world.agent_log(name)
            tail = log.read_text(errors="replace")[-600:] if log.exists() else ""
            raise WarroomError(f"agent {name} did not connect:\n{tail}")
        await asyncio.sleep(0.05)


async def _play(bot: Bot, options: Options) -> int:
    """Type the command as a person would, print what came of it; 0 only when the verdict is right."""
    answer = await bot.service.command(f"/diag {PLAYBOOK}", user="demo", room=MAIN_ROOM)
    document = answer["run"]
    if document is None:
        raise WarroomError("the run did not finish:\n" + "\n".join(m["text"] for m in answer["messages"]))
    right = document["verdict"] == [options.fault]
    if options.as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        shown = [m["text"] for m in answer["messages"] if m["key"] == document["run"]]
        print(shown[0] if shown else summary(document))
    _say(f"verdict {document['verdict']} in {document['took_s']:.1f} s: {'right' if right else 'WRONG'}")
    return 0 if right else 1


def _welcome(bot: Bot, options: Options, lab: LoopbackLab) -> None:
    _say("")
    _say(f"  Warroom demo, tonight's fault: {options.fault}")
    _say(f"  Console:  {bot.login_link('you')}")
    _say("  Type /diag sms there, then use the buttons; the lab panel lifts the fault.")
    _say(f"  From a second shell:  WARROOM_API_TOKEN={bot.config.api_token} warroom diag sms --server {bot.config.url}")
    _say(f"  Agents' logs: {lab.world.folder}/logs   Ctrl-C ends everything.")
    _say("")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
