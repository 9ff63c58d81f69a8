"""The world outside Warroom: names, sites, a phone and a crawler, and the switch between faults."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any

from bot.lab.loopback.faults import FAULTS, HEALTHY, Switches
from bot.lab.loopback.http1 import listen
from bot.lab.loopback.names import VPC_LIMIT_QPS, Names
from bot.lab.loopback.phone import Phone
from bot.lab.loopback.sites import Sites
from bot.lab.loopback.world import CRAWLER, VPC_RESOLVER, Secrets, World

CRAWLER_QPS = 1500
FLUSH_S = 0.1
RATE_WINDOW_S = 2.0


class Servers:
    """Everything in one process but the crawler, which is one of its own."""

    def __init__(self, world: World, secrets: Secrets) -> None:
        self.phone = Phone(secrets.phone)
        self._world = world
        self._names = Names(world)
        self._sites = Sites(world, secrets)
        self._fault: str | None = None
        self._switches = Switches()
        self._crawler: asyncio.subprocess.Process | None = None
        self._changing = asyncio.Lock()
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=int(RATE_WINDOW_S / FLUSH_S))
        self._background: list[asyncio.Task[None]] = []
        self._phone_server: asyncio.Server | None = None

    async def start(self) -> None:
        """Bind everything. Raises OSError when a port is taken."""
        await self._names.start()
        await self._sites.start()
        self._phone_server = await listen(self.phone, address="127.0.0.1", port=self._world.ports.phone, tls=None)
        self._background.append(asyncio.create_task(self._keep_books()))

    async def apply(self, fault: str | None) -> None:
        """Switch to a fault by its id; None lifts. Raises KeyError for an id that is not on the menu."""
        switches = Switches() if fault is None else FAULTS[fault].switches
        async with self._changing:
            self._fault, self._switches = fault, switches
            self._names.apply(switches)
            self._sites.apply(switches)
            await self._stop_crawler()
            if switches.crawler:
                await self._start_crawler()

    def state(self) -> dict[str, Any]:
        """The document of `GET /state`."""
        offered, answered = self._rates()
        return {
            "fault": self._fault,
            "active": self._fault not in (None, HEALTHY),
            "faults": [{"id": fault.id, "title": fault.title.to_json()} for fault in FAULTS.values()],
            "dns": {
                "vpc_limit_qps": VPC_LIMIT_QPS if self._switches.vpc_limit else None,
                "offered_qps": round(offered, 1),
                "answered_qps": round(answered, 1),
            },
            "phone": {"calls": [call.to_json() for call in self.phone.calls()]},
        }

    async def close(self) -> None:
        """Stop everything and reap the crawler."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._stop_crawler()
        if self._phone_server:
            self._phone_server.close()
        await self.phone.close()
        await self._sites.close()
        await self._names.close()

    async def _keep_books(self) -> None:
        while True:
            # a full disk costs the query log, not the world
            with suppress(OSError):
                self._names.flush_logs()
            vpc = self._names.vpc
            self._samples.append((time.monotonic(), vpc.offered, vpc.answered))
            await asyncio.sleep(FLUSH_S)

    def _rates(self) -> tuple[float, float]:
        if len(self._samples) < 2:
            return 0.0, 0.0
        (began, offered0, answered0), (ended, offered1, answered1) = self._samples[0], self._samples[-1]
        return (offered1 - offered0) / (ended - began), (answered1 - answered0) / (ended - began)

    async def _start_crawler(self) -> None:
        arguments = (CRAWLER, VPC_RESOLVER.address, self._world.ports.dns, CRAWLER_QPS, os.getpid())
        self._crawler = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot.lab.loopback.crawler", *map(str, arguments)
        )

    async def _stop_crawler(self) -> None:
        if self._crawler and self._crawler.returncode is None:
            self._crawler.kill()
            await self._crawler.wait()
        self._crawler = None
