"""One world: a database, bots, a proxy, a provider and people; so many kills, then quiet, then its ledger."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.bots import Nursery, Plan, Replica, draw
from tests.faults.crash import POINTS
from tests.faults.front import Front
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.postgres import Cluster
from tests.faults.provider import SECRET, Provider
from tests.faults.proxy import Proxy
from tests.faults.rows import Reader
from tests.faults.starved import Lags, Waits
from tests.ports import free_port
from tests.serving import environ

TOKEN = "faults-api-3Kd9"
SETTLE_S = 50.0
SLOWEST = 3
"""A machine that is slower than this many times an idle one is not waited for any longer."""
START_S = 1.0
"""What `warroom db upgrade` takes on an idle machine."""
ON_CALL = """
people:
  lin: {phone: "+8613800000001"}
  chen: {phone: "+8613800000002"}
  wu: {phone: "+8613800000003"}
  zhao: {phone: "+8613800000004"}
policies:
  default:
    steps:
      - {who: person:lin, by: [phone]}
      - {after: @2s, who: person:chen}
      - {after: @3s, who: [person:wu, person:lin]}
    rounds: 2
    every: @4s
    then: managers
  managers:
    steps:
      - {after: @3s, who: person:zhao}
      - {after: @3s, who: person:chen}
    every: @4s
"""
ROUNDS = ((("lin",), ("chen",), ("wu", "lin")) * 2, (("zhao",), ("chen",)))
"""The same for the judge: the people of each step, first once through, then for ever."""


@dataclass(frozen=True)
class Spec:
    """`database` is "sqlite" or "postgresql"; SQLite has one replica."""

    database: str
    replicas: int
    kills: int
    seed: int
    mutant: str = ""
    lease_s: float = 1.4
    poll_s: float = 0.2
    honours_keys: bool = True
    share: float = 0.25
    """Of the requests to the provider that go wrong."""
    stops: float = 0.12
    """Of the lives that stand still beyond their lease."""
    points: tuple[str, ...] = POINTS
    """Where they die, or stand still."""
    pace: int = 1
    """Every time of the world is so many times as long, for a machine that is busy with other things."""

    def at_pace(self, pace: int) -> Spec:
        """The same, slower."""
        return replace(self, pace=pace, lease_s=self.lease_s * pace, poll_s=self.poll_s * pace)

    def with_mutant(self, mutant: str, seed: int) -> Spec:
        return replace(self, mutant=mutant, seed=seed)

    @property
    def name(self) -> str:
        return f"{self.database}/{self.replicas}"


@dataclass
class World:
    """Everything of one world, while it lasts."""

    spec: Spec
    folder: Path
    reader: Reader
    replicas: list[Replica]
    provider: Provider
    proxy: Proxy
    load: Load
    cluster: Cluster | None
    crashes: list[tuple[float, float]] = field(default_factory=list)
    stuck: set[str] = field(default_factory=set)
    lags: Lags = field(default_factory=Lags)
    killed: int = 0


async def run(spec: Spec, nursery: Nursery) -> Ledger:
    """Live through it; the ledger is what the judge (`tests.faults.invariants`) reads."""
    began = time.monotonic()
    spec = spec.at_pace(await _pace(nursery))
    async with make(spec, nursery) as world:
        loading = asyncio.create_task(world.load.run())
        beside = [
            asyncio.create_task(_watch(world)),
            asyncio.create_task(world.lags.run()),
            asyncio.create_task(_close_the_port(world)),
        ]
        if world.cluster:
            beside.append(asyncio.create_task(_crash_the_database(world)))
        async with asyncio.TaskGroup() as chaos:
            for replica in world.replicas:
                chaos.create_task(_lives(world, replica))
        for task in (loading, *beside[2:]):
            task.cancel()
        await asyncio.gather(loading, *beside[2:], return_exceptions=True)
        without_timer = await _settle(world)
        for task in beside[:2]:
            task.cancel()
        return _ledger(world, without_timer, time.monotonic() - began)


@asynccontextmanager
async def make(spec: Spec, nursery: Nursery) -> AsyncIterator[World]:
    """The parts, in their places; bots are not started yet. A world whose judge is unhappy keeps its folder."""
    folder = Path(tempfile.mkdtemp(prefix="warroom-faults-"))
    cluster = await asyncio.to_thread(Cluster) if spec.database == "postgresql" else None
    url = cluster.url if cluster else f"sqlite:///{folder}/warroom.db"
    provider = Provider(honours_keys=spec.honours_keys)
    await provider.start()
    proxy = Proxy(provider.port, spec.seed, share=spec.share, hang_s=2 * spec.lease_s)
    await proxy.start()
    ports = [free_port() for _ in range(spec.replicas)]
    front = Front(ports, spec.seed)
    await front.start()
    env = environ(WARROOM_API_TOKEN=TOKEN, WARROOM_PAGER_PHONE_SECRET=SECRET, PYTHONDONTWRITEBYTECODE="1")
    env |= {"FAULTS_MUTANT": spec.mutant} if spec.mutant else {}
    (folder / "events").mkdir()
    pace = spec.pace
    (folder / "oncall.yaml").write_text(re.sub(r"@(\d)", lambda found: str(int(found[1]) * pace), ON_CALL))
    replicas = []
    for number, port in enumerate(ports):
        config = folder / f"bot{number}.toml"
        config.write_text(
            f'[server]\nlisten = "127.0.0.1:{port}"\npublic_url = "http://127.0.0.1:{front.port}"\nlanguage = "en"\n'
            f'[database]\nurl = "{url}"\n[paths]\noncall = "{folder}/oncall.yaml"\nspool = "spool{number}"\n'
            f"[delivery]\nlease_s = {spec.lease_s}\npoll_s = {spec.poll_s}\n"
            f'[[pagers]]\nname = "phone"\nkind = "webhook"\nurl = "http://127.0.0.1:{proxy.port}/call"\n'
            f"timeout_s = {pace}\n"
        )
        replicas.append(Replica(number, nursery, folder, config, env))
    await _migrate(nursery, folder, env)
    most = 3 if spec.replicas == 1 else 5
    load = Load(f"http://127.0.0.1:{front.port}", TOKEN, provider, spec.seed, most=most, pace=pace)
    world = World(spec, folder, Reader(url), replicas, provider, proxy, load, cluster)
    try:
        yield world
    finally:
        for replica in replicas:
            if replica.alive:
                await replica.kill(replica.lives[-1], "end")
        for part in (proxy, provider, front):
            await part.stop()
        if cluster:
            await asyncio.to_thread(cluster.close)
        if sys.exc_info()[0] is None:
            shutil.rmtree(folder, ignore_errors=True)


async def _pace(nursery: Nursery) -> int:
    """How many times slower than an idle machine this one is just now, by the start of a bot's command."""
    with tempfile.TemporaryDirectory(prefix="warroom-faults-") as name:
        folder, began = Path(name), time.monotonic()
        (folder / "bot0.toml").write_text(f'[database]\nurl = "sqlite:///{folder}/warroom.db"\n')
        await _migrate(nursery, folder, environ())
        return max(1, min(SLOWEST, round((time.monotonic() - began) / START_S)))


async def _migrate(nursery: Nursery, folder: Path, env: dict[str, str]) -> None:
    words = ["db", "upgrade", "--config", str(folder / "bot0.toml")]
    _, done = await nursery.bear(words, cwd=folder, env=env, log=folder / "upgrade.log")
    if status := await done:
        raise RuntimeError(f"db upgrade ended with {status}: {(folder / 'upgrade.log').read_text()}")


async def _lives(world: World, replica: Replica) -> None:
    dice, spec = random.Random(f"{world.spec.seed}/{replica.number}"), world.spec
    while world.killed < spec.kills:
        life = await replica.live(
            draw(dice, lease_s=spec.lease_s, stops=spec.stops, points=spec.points, pace=spec.pace)
        )
        world.killed += not life.how.startswith("exit")
        if life.how.startswith("exit"):
            await asyncio.sleep(0.2)


async def _close_the_port(world: World) -> None:
    dice = random.Random(f"{world.spec.seed}/port")
    try:
        while True:
            await asyncio.sleep(dice.uniform(2, 8) * world.spec.pace)
            await world.proxy.refuse()
    finally:
        await world.proxy.stop()
        await world.proxy.start()


async def _crash_the_database(world: World) -> None:
    dice, cluster = random.Random(f"{world.spec.seed}/database"), world.cluster
    assert cluster is not None
    while True:
        await asyncio.sleep(dice.uniform(6, 16) * world.spec.pace)
        # Not to be broken off half-way: whoever cancels this waits for the server to be up again.
        await _uncancelled(asyncio.create_task(_crash(world, cluster, dice.uniform(0.0, 1.5))))


async def _uncancelled(task: asyncio.Task[None]) -> None:
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def _crash(world: World, cluster: Cluster, away_s: float) -> None:
    began = time.monotonic()
    await asyncio.to_thread(cluster.crash)
    await asyncio.sleep(away_s)
    await asyncio.to_thread(cluster.start)
    world.crashes.append((began, time.monotonic()))


async def _watch(world: World) -> None:
    """What is due and free for longer than lease + 2 s while one and the same bot was up is stuck.

    Time in which that bot, or its database, was given no processor does not count.
    """
    ages: dict[tuple[str, int], float] = {}
    patience = world.spec.lease_s + 2 * world.spec.pace
    last, before, waits = time.monotonic(), set[int](), Waits(lambda: world.cluster.pid if world.cluster else 0)
    while True:
        await asyncio.sleep(0.25)
        now = time.monotonic()
        up = {replica.lives[-1].pid for replica in world.replicas if up_since(replica)}
        starved = {pid: waits.since_last(pid) for pid in up}
        try:
            due = await asyncio.to_thread(world.reader.overdue)
        except (psycopg.Error, sqlite3.Error):
            # Time without an answer does not count, and what was due before goes on where it was.
            last, before = now, set()
            continue
        served = {pid: max(0.0, now - last - starved[pid]) for pid in up & before}
        ages = {
            (name, pid): ages[name, pid] + served.get(pid, 0.0) if (name, pid) in ages else 0.0
            for name in due
            for pid in up
        }
        last, before = now, up
        world.stuck |= {f"{name} with {pid}" for (name, pid), age in ages.items() if age > patience}


def up_since(replica: Replica) -> float | None:
    """When the present life of a bot began to send; None while it does not."""
    if not replica.alive or replica.stopped:
        return None
    life = replica.lives[-1]
    ups = [e["at"] for e in events(replica.events) if e["e"] == "up"]
    stood = max((until for _, until in life.stops), default=0.0)
    return max(ups[-1], stood) if ups else None


def events(file: Path) -> list[dict[str, Any]]:
    """What a bot wrote down; a line that a kill cut off is left out."""
    found = []
    for line in file.read_text().splitlines() if file.exists() else ():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


async def _settle(world: World) -> set[str]:
    """No more faults: everything is delivered, then everything acknowledged. Returns what had lost its timer."""
    world.proxy.share = 0.0
    for replica in world.replicas:
        await replica.start()
    await _until(lambda: all(up_since(r) is not None for r in world.replicas), 60)
    await asyncio.sleep(world.spec.lease_s + 2.5 * world.spec.pace)
    waiting = await asyncio.to_thread(world.reader.pending)
    waits = Waits(lambda: world.cluster.pid if world.cluster else 0)
    left_s, last = SETTLE_S * world.spec.pace, time.monotonic()
    kept = any(world.folder.glob("spool*/*.json"))
    # What is kept in a spool was promised as well: it is merged before anything else is acknowledged.
    while (waiting or kept) and left_s > 0:
        await asyncio.sleep(0.3)
        # The bot that was given the most of the processor: whatever waits, it could have sent.
        starved = min(waits.since_last(replica.lives[-1].pid) for replica in world.replicas)
        now = time.monotonic()
        left_s, last = left_s - max(0.0, now - last - starved), now
        kept = any(world.folder.glob("spool*/*.json"))
        waiting &= await asyncio.to_thread(world.reader.pending)
    world.stuck |= waiting
    without_timer = await asyncio.to_thread(world.reader.without_timer)
    await world.load.finish(await asyncio.to_thread(world.reader.nobodys))
    await asyncio.sleep(world.spec.lease_s + 0.5)
    for replica in world.replicas:
        await replica.end(replica.lives[-1])
    return without_timer


async def _until(true: Any, most_s: float) -> None:
    ends = time.monotonic() + most_s
    while not true():
        if time.monotonic() > ends:
            raise RuntimeError("the bots do not come up")
        await asyncio.sleep(0.1)


def _ledger(world: World, without_timer: set[str], took_s: float) -> Ledger:
    spec = world.spec
    happened = [e for file in (world.folder / "events").iterdir() for e in events(file)]
    lives = [life for replica in world.replicas for life in replica.lives]
    return Ledger(
        name=spec.name,
        seed=spec.seed,
        lease_s=spec.lease_s,
        honours_keys=spec.honours_keys,
        took_s=took_s,
        people=ROUNDS,
        posts=world.provider.posts,
        effects=dict(world.provider.effects),
        forged=world.provider.forged,
        injected=[(i.key, i.fault, i.at, i.answered_s) for i in world.proxy.injected],
        refusals=world.proxy.refusals,
        events=sorted(happened, key=lambda e: e["at"]),
        lives=[(x.pid, x.began, x.ended, x.how, x.stops) for x in lives],
        crashes=world.crashes,
        lags=world.lags.found,
        rows=world.reader.tables(),
        promised_rooms=world.load.opened,
        promised_acks=world.load.acknowledged,
        ack_answers=world.load.answers,
        kept_acks=world.load.kept,
        stuck=sorted(world.stuck),
        without_timer=sorted(without_timer),
    )


__all__ = ["Plan", "Spec", "World", "events", "make", "run"]
