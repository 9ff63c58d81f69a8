"""One agent process at full speed: real probes through `bot.probes.table.run`, as many as it can.

    python -m tests.bench.load '{"kind": "dns", "params": {...}, "at_once": 5, "seconds": 3}'

prints {"tries", "ok", "seconds", "cpu_s"}. "{target}" in a parameter becomes another address for each run.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.agent.policy import load_policy
from bot.probes.base import ProbeContext
from bot.probes.table import run
from tests.bench.servers import target

POLICY = """
allow: [{network: 127.0.0.0/8, ports: any, kinds: any}]
budget:
  concurrent: 1000
  probes_per_second: 100000
  dns_per_second: 100000
  dns_per_server_per_second: 100000
  dns_per_server_in_flight: 100000
  sockets: 100000
  sockets_per_second: 100000
"""


def context() -> ProbeContext:
    """An agent's context by a real policy, with a budget that does not slow the measurement."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.yaml"
        path.write_text(POLICY)
        return load_policy(path).context({})


def filled(params: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The parameters with this run's own target."""
    return {k: v.replace("{target}", target(number)) if isinstance(v, str) else v for k, v in params.items()}


async def work(kind: str, params: Mapping[str, Any], at_once: int, seconds: float) -> dict[str, float]:
    """Keep `at_once` runs going for so long."""
    ctx, numbers = context(), itertools.count()
    tries = ok = 0
    began, cpu = time.perf_counter(), time.process_time()

    async def worker() -> None:
        nonlocal tries, ok
        while time.perf_counter() < began + seconds:
            seen = await run(kind, filled(params, next(numbers)), ctx, 30)
            tries += seen.detail["tries"]
            ok += seen.detail["ok"]

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return {
        "tries": tries,
        "ok": ok,
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(work(**json.loads(sys.argv[1])))))
