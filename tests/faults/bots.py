"""Bots that are started, killed, stopped beyond their lease, and started again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.crash import POINTS
from tests.serving import REPOSITORY, environ

UP_S = 30.0
"""A bot that does not send by then is killed as it is."""


class Nursery:
    """Starts bots by fork from a process that has imported everything; one for the whole run."""

    def __init__(self) -> None:
        self._deaths: dict[int, asyncio.Future[int]] = {}
        self._born: list[asyncio.Future[Any]] = []

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.serve",
            "--nursery",
            cwd=REPOSITORY,
            env=environ(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            row = json.loads(line)
            if "pid" in row:
                death = self._deaths[row["pid"]] = asyncio.get_running_loop().create_future()
                self._born.pop(0).set_result((row["pid"], death))
            else:
                self._deaths.pop(row["dead"]).set_result(row["status"])

    async def bear(
        self, words: Sequence[str], *, cwd: Path, env: dict[str, str], log: Path
    ) -> tuple[int, asyncio.Future[int]]:
        """The process id, and a future with its exit status (negative: the signal)."""
        assert self._process.stdin is not None
        born: asyncio.Future[tuple[int, asyncio.Future[int]]] = asyncio.get_running_loop().create_future()
        self._born.append(born)
        asked = {"words": list(words), "cwd": str(cwd), "env": env, "log": str(log)}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        return await born


@dataclass
class Life:
    """One process, from its start to its end. `stops` are the times (monotonic s) in which it stood still."""

    pid: int
    replica: int
    began: float
    ended: float = 0.0
    how: str = ""
    stops: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Plan:
    """What is done to a life: at a crash point, else after `after_s`; a kill, or a stop of `stop_s` and then a kill.

    `from_up`: the time counts from when it sends, not from its start.
    """

    point: str = ""
    nth: int = 1
    after_s: float = 2.5
    from_up: bool = False
    act: str = "kill"
    stop_s: float = 0.0


def draw(dice: random.Random, *, lease_s: float, stops: float, points: Sequence[str] = POINTS, pace: int = 1) -> Plan:
    """Most deaths are at crash points or soon after; `stops` of the lives stand still beyond their lease first."""
    point = dice.choice(points) if dice.random() < 0.7 else ""
    act = "stop" if dice.random() < stops else "kill"
    from_up = bool(point) or act == "stop" or dice.random() < 0.7
    after = dice.uniform(0.8, 2.0) if point else dice.uniform(0.05, 1.2)
    # Now and then one lives for longer than a lease, so that leases of the dead are taken over.
    after += lease_s / pace + 2.5 if dice.random() < 0.06 else 0.0
    return Plan(point, dice.choice((1, 1, 1, 2, 3)), after * pace, from_up, act, lease_s + dice.uniform(0.3, 1.2))


class Replica:
    """One configuration and port, and the lives that it has."""

    def __init__(self, number: int, nursery: Nursery, folder: Path, config: Path, env: dict[str, str]) -> None:
        self.number, self._nursery, self._folder, self._config, self._env = number, nursery, folder, config, env
        self.lives: list[Life] = []
        self.alive = False
        self.stopped = False
        self._births = 0
        self._death: Any = None

    @property
    def events(self) -> Path:
        """What the present life writes down."""
        return self._folder / "events" / f"{self.number}-{self._births}.jsonl"

    async def start(self, plan: Plan | None = None) -> Life:
        self._births += 1
        faults = {"FAULTS_EVENTS": str(self.events)}
        if plan and plan.point:
            faults |= {"FAULTS_POINT": plan.point, "FAULTS_NTH": str(plan.nth), "FAULTS_ACT": plan.act}
        pid, self._death = await self._nursery.bear(
            ["serve", "--config", str(self._config)],
            cwd=self._config.parent,
            env={**self._env, **faults},
            log=self._folder / f"bot{self.number}.log",
        )
        self.alive = True
        life = Life(pid, self.number, time.monotonic())
        self.lives.append(life)
        return life

    async def live(self, plan: Plan) -> Life:
        """Start, do what is planned, and see it dead."""
        life = await self.start(plan)
        if plan.from_up:
            await self._wait(UP_S, self._up)
        stops = plan.act == "stop"
        await self._wait(plan.after_s, lambda: stops and _state(life.pid) == "T")
        if stops and not self._death.done():
            await self._stand_still(life, plan.stop_s)
            await self._wait(1.0, lambda: False)
        await self.kill(life, f"point {plan.point}" if self._death.done() else "kill")
        return life

    async def _wait(self, most_s: float, enough: Callable[[], bool]) -> None:
        """Until it is dead, or `enough` is true."""
        ends = time.monotonic() + most_s
        while (left := ends - time.monotonic()) > 0 and not self._death.done() and not enough():
            await asyncio.wait([self._death], timeout=min(left, 0.05))

    def _up(self) -> bool:
        return self.events.exists() and '"up"' in self.events.read_text()

    async def _stand_still(self, life: Life, seconds: float) -> None:
        with suppress(ProcessLookupError):
            os.kill(life.pid, signal.SIGSTOP)
            began, self.stopped = time.monotonic() - 0.06, True
            await asyncio.sleep(seconds)
            life.stops.append((began, time.monotonic()))
            self.stopped = False
            os.kill(life.pid, signal.SIGCONT)

    async def kill(self, life: Life, how: str = "kill") -> None:
        if not self._death.done():
            with suppress(ProcessLookupError):
                os.kill(life.pid, signal.SIGKILL)
        status = await self._death
        life.ended, self.alive = time.monotonic(), False
        life.how = how if status == -signal.SIGKILL or how == "end" else f"exit {status}"

    async def end(self, life: Life) -> None:
        """As an operator ends it."""
        with suppress(ProcessLookupError):
            os.kill(life.pid, signal.SIGTERM)
        await asyncio.wait([self._death], timeout=15)
        await self.kill(life, "end")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
