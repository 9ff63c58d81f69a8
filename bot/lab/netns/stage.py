"""A scenario on stage: namespaces, servers, resolvers, load, agents; faults that come and go."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from bot.lab.netns import files
from bot.lab.netns.addresses import lay_out, source
from bot.lab.netns.children import Children, program
from bot.lab.netns.effects import Effects, table
from bot.lab.netns.kernel import Kernel, LabFailed
from bot.lab.netns.layout import WIRE, WORLD, Layout, VantagePlace
from bot.lab.netns.leftovers import run_name
from bot.lab.netns.models import MissingModel, ScenarioModel, TrafficModel
from bot.lab.netns.resolvers import ResolverPlace, config, log_file, resolvers
from bot.lab.netns.topology import wire

READY_S = 15.0
HALF_S = 0.35
"""A slow agent is stopped for so long, then runs for so long."""


class Stage:
    """`async with Stage(scenario) as stage:` builds it, faults of moment 0 included unless it is rehearsed; leaving
    removes everything.
    """

    def __init__(self, scenario: ScenarioModel) -> None:
        self.scenario = scenario
        self.layout: Layout = lay_out(scenario)
        self._faults = [fault.effects(self.layout) for fault in scenario.faults]
        self._now: list[Effects] = []
        self._version = 0
        """Of what the servers are told."""
        name = run_name()
        self.kernel = Kernel(name)
        self.folder = Path(tempfile.gettempdir()) / name
        self.children = Children(self.folder / "logs")
        self._key = ("AKID" + secrets.token_hex(16), secrets.token_hex(16))
        self._asides: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            self.folder.mkdir(mode=0o700)
            await _to_its_end(partial(files.prepare, self.folder, self.scenario, self.layout))
            self.kernel.build(wire(self.layout))
            await self._start_world()
            await self._start_resolvers()
            if not self.scenario.rehearse:
                await self.begin()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Remove every process, namespace and file."""
        for task in self._asides:
            task.cancel()
        await asyncio.gather(*self._asides, return_exceptions=True)
        await self.children.end()
        self.kernel.destroy()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def start_agents(self, hub_url: str, token: str) -> Sequence[str]:
        """Start an agent at every vantage point but those that are never there; returns their names."""
        never = {m.vantage for m in self.scenario.missing if m.how == "never"}
        places = [place for place in self.layout.vantages() if place.name not in never]
        for place in places:
            await self._start_agent(place, hub_url, token)
        return [place.name for place in places]

    async def begin(self) -> None:
        """Faults and load that are there when the command is typed."""
        for number, fault in enumerate(self.scenario.faults):
            if fault.start == 0:
                await self._begin(number)
        for traffic in self.scenario.traffic:
            if traffic.start == 0:
                await self._load(traffic)

    async def act(self) -> None:
        """What is to happen just before the command, and then, in the background, during it."""
        for missing in self.scenario.missing:
            if missing.how != "never" and missing.after == 0:
                await self._lose(missing)
            elif missing.how != "never":
                self._later(missing.after, partial(self._lose, missing))
        for number, fault in enumerate(self.scenario.faults):
            if fault.start:
                self._later(fault.start, partial(self._begin, number))
            if fault.end is not None:
                self._later(fault.end, partial(self._lift, number))
        for traffic in self.scenario.traffic:
            if traffic.start:
                self._later(traffic.start, partial(self._load, traffic))
            if traffic.end is not None:
                self._later(traffic.end, partial(self.children.kill, _load_name(self.scenario, traffic)))

    def queries(self) -> dict[str, int]:
        """{VPC: queries over UDP its resolver has been sent by agents and, for pods, the cluster DNS}."""
        return {vpc.name: self.kernel.counted(vpc.ns) for vpc in self.layout.vpcs}

    async def _start_world(self) -> None:
        self._write_world()
        command = [sys.executable, "-m", "bot.lab.netns.serve", str(self.folder / "world.json")]
        await self.children.start("world", self.kernel.path(WORLD), command)
        await self.children.says("world", f"AT {self._version}.", within_s=READY_S)

    def _write_world(self) -> None:
        ident, secret = self._key
        self._version += 1
        text = files.world(
            self._version, self.scenario, self.layout, self._now, keys={ident: secret}, namespaces=self.kernel.path("")
        )
        part = self.folder / "world.part"
        part.write_text(text)
        part.chmod(0o600)
        part.replace(self.folder / "world.json")

    async def _start_resolvers(self) -> None:
        """All at once, and wait for each: a signal to one that is not up yet would end it."""
        places = resolvers(self.layout)
        for place in places:
            path = self.folder / f"{place.id}.conf"
            path.write_text(config(place, self.folder, self._lies(place)))
            command = [program("unbound"), "-d", "-c", str(path)]
            await self.children.start(place.id, self.kernel.path(place.ns), command)
        for place in places:
            log = log_file(self.folder, place.id)
            await self.children.says(place.id, "start of service", within_s=READY_S, log=log)

    def _lies(self, place: ResolverPlace) -> dict[str, str]:
        return {
            name: address
            for one in self._now
            for vpc, lies in one.lies.items()
            if place.id == f"vpc-{vpc}"
            for name, address in lies.items()
        }

    async def _start_agent(self, place: VantagePlace, hub_url: str, token: str) -> None:
        options = {
            "--hub": hub_url,
            "--name": place.name,
            "--region": place.region,
            "--vantage": place.kind,
            "--env": place.env,
            "--vpc": place.vpc,
            "--cluster": place.cluster,
            "--policy": str(self.folder / "agents" / f"{place.name}.yaml"),
        }
        words = [word for name, value in options.items() if value for word in (name, value)]
        environ = {
            "NO_PROXY": "*",
            "XDG_STATE_HOME": str(self.folder / "state"),
            "WARROOM_AGENT_TOKEN": token,
            "WARROOM_TENCENT_SECRET_ID": self._key[0],
            "WARROOM_TENCENT_SECRET_KEY": self._key[1],
            "WARROOM_TENCENT_HOSTS": " ".join(s.host for s in self.layout.services.values()),
        }
        for one in self._now:
            environ |= one.environ.get(place.name, {})
        if "FAKETIME" in environ:
            environ["LD_PRELOAD"] = _faketime()
        command = [sys.executable, "-m", "bot.cli", "agent", *words]
        await self.children.start(place.name, self.kernel.path(place.ns), command, environ=environ)

    async def _load(self, traffic: TrafficModel) -> None:
        vpc = self.layout.vpc(traffic.vpc)
        number = self.scenario.traffic.index(traffic)
        target = self.layout.cluster(traffic.vpc).service if traffic.to == "cluster" else vpc.resolver
        words = [source(self.scenario, number), target, "53", str(traffic.rate), str(os.getpid())]
        command = [sys.executable, "-m", "bot.lab.loopback.crawler", *words]
        await self.children.start(_load_name(self.scenario, traffic), self.kernel.path(vpc.hosts_ns), command)

    async def _lose(self, missing: MissingModel) -> None:
        name = self.layout.vantage(missing.vantage).name
        if missing.how == "killed":
            await self.children.kill(name)
        elif missing.how == "frozen":
            self.children.signal(name, signal.SIGSTOP)
        elif missing.how == "slow":
            self._asides.append(asyncio.create_task(self._doze(name)))
        elif missing.how == "disconnected":
            ns = self.layout.vantage(name).ns
            self.kernel.ip(ns, f"link set {WIRE} down")

    async def _doze(self, name: str) -> None:
        while True:
            self.children.signal(name, signal.SIGSTOP)
            await asyncio.sleep(HALF_S)
            self.children.signal(name, signal.SIGCONT)
            await asyncio.sleep(HALF_S)

    async def _begin(self, number: int) -> None:
        """Put a fault in place."""
        effects = self._faults[number]
        self._now.append(effects)
        self.kernel.add_table(table(_table(number), effects.rules))
        self.kernel.tweak(effects.tweaks)
        await self._differ(effects)

    async def _lift(self, number: int) -> None:
        """Take a fault away."""
        effects = self._faults[number]
        self._now.remove(effects)
        self.kernel.drop_table(_table(number), list(dict.fromkeys(rule.ns for rule in effects.rules)))
        self.kernel.tweak(effects.tweaks, undo=True)
        await self._differ(effects)

    async def _differ(self, effects: Effects) -> None:
        """Tell the servers and resolvers that an effect has come or gone."""
        if effects.sites or effects.servfail:
            self._write_world()
            self.children.signal("world", signal.SIGHUP)
            await self.children.says("world", f"AT {self._version}.", within_s=READY_S)
        for place in resolvers(self.layout):
            if any(place.id == f"vpc-{vpc}" for vpc in effects.lies) and self.children.running(place.id):
                path = self.folder / f"{place.id}.conf"
                path.write_text(config(place, self.folder, self._lies(place)))
                self.children.signal(place.id, signal.SIGHUP)

    def _later(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            await work()

        self._asides.append(asyncio.create_task(wait()))


async def _to_its_end(work: Callable[[], None]) -> None:
    """In a thread; who is interrupted meanwhile waits for it, so that it writes nothing after the cleaning up."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await working
        raise


def _table(number: int) -> str:
    return f"fault{number}"


def _load_name(scenario: ScenarioModel, traffic: TrafficModel) -> str:
    return f"load-{scenario.traffic.index(traffic)}"


def _faketime() -> str:
    with suppress(StopIteration):
        return str(next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")))
    raise LabFailed("clock_skew at a vantage point needs the package faketime")
