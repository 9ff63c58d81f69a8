"""`warroom lab run` and `warroom lab schema`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot.domain.errors import WarroomError
from bot.lab.netns import load, report
from bot.lab.netns.leftovers import sweep
from bot.lab.netns.models import ScenarioModel
from bot.lab.netns.run import Night, record, run

TOOLS = ("ip", "nft", "tc", "unbound")
DONE, FAILED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the command line says. `keep_going`: one that cannot be played does not end the others."""

    scenarios: tuple[Path, ...]
    as_json: bool = False
    keep_going: bool = False
    record: Path | None = None
    jobs: int = 1


def lacks() -> str:
    """Why namespaces cannot be made here, "" if they can."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    wanted = (["Linux"] if sys.platform != "linux" else []) + (["root"] if os.geteuid() else []) + missing
    return f"needs {' and '.join(wanted)}" if wanted else ""


async def lab_run(options: Options) -> int:
    """Play the scenarios; returns the exit status, 0 when every verdict is right. Raises ConfigError for a bad file."""
    scenarios = [load.read(path) for path in options.scenarios]
    why = lacks()
    if why:
        _say(f"skipped: {why}")
        if options.as_json:
            print(json.dumps({"skipped": why, "scenarios": [s.scenario for s in scenarios]}))
        else:
            print(f"skipped: {why}")
        return DONE
    logging.getLogger("warroom.hub").setLevel(logging.WARNING)
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    for name in sweep():
        _say(f"removed {name}, left by a run that was killed")
    playing = asyncio.create_task(_play(scenarios, options))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # cancelled once: what comes while the namespaces are removed must not stop that
        loop.add_signal_handler(number, _Once(playing))
    try:
        return await playing
    except asyncio.CancelledError:
        _say("interrupted; everything is removed")
        return INTERRUPTED


class _Once:
    """Cancels a task, the first time it is called."""

    def __init__(self, task: asyncio.Task[int]) -> None:
        self._task: asyncio.Task[int] | None = task

    def __call__(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()


async def _play(scenarios: Sequence[ScenarioModel], options: Options) -> int:
    places, building = asyncio.Semaphore(options.jobs), asyncio.Lock()
    nights: list[Night] = []
    failed: dict[str, str] = {}

    async def one(scenario: ScenarioModel) -> None:
        async with places:
            if failed and not options.keep_going:
                return
            try:
                night = await run(scenario, building, exhaustive=options.record is not None)
            except WarroomError as exc:
                failed[scenario.scenario] = str(exc)
                _say(f"{scenario.scenario}: could not be played: {exc}")
                return
        nights.append(night)
        if options.record:
            record(night, options.record)
        _say("  ".join(filter(None, report.line(night.judgement))))

    playing = [asyncio.create_task(one(scenario)) for scenario in scenarios]
    try:
        await asyncio.gather(*playing)
    finally:
        for task in playing:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*playing, return_exceptions=True)
    order = [s.scenario for s in scenarios]
    nights.sort(key=lambda n: order.index(n.scenario.scenario))
    judgements = [n.judgement for n in nights]
    if options.as_json:
        print(json.dumps(report.document([n.to_json() for n in nights], judgements, failed), ensure_ascii=False))
    else:
        print(report.text(judgements))
    return DONE if not failed and all(j.right for j in judgements) else FAILED


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
