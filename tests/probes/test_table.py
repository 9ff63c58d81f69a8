from __future__ import annotations

import asyncio
import subprocess
import sys

from bot.domain.failure import Failure, FaultOf
from bot.probes.table import KINDS, run
from tests.probes.conftest import MakeContext


async def test_a_kind_nobody_knows_is_unsupported(context: MakeContext) -> None:
    seen = await run("shell", {"command": "id"}, context(), 10)
    assert (seen.failure, seen.fault_of) == (Failure.UNSUPPORTED, FaultOf.AGENT)


async def test_every_kind_answers_nonsense_with_an_outcome(context: MakeContext) -> None:
    for kind in KINDS:
        for params in ({}, {"address": 7, "name": [], "url": {}, "seconds": "x"}, {"surprise": True}):
            seen = await run(kind, params, context(policy="kinds: [dns, tcp]\n"), 10)
            assert seen.failure in (Failure.UNSUPPORTED, Failure.POLICY_DENIED)


async def test_more_probes_than_the_budget_are_refused_in_the_open(context: MakeContext) -> None:
    ctx = context("budget: {probes_per_second: 1}\n")
    seen = await asyncio.gather(*(run("tcp", {}, ctx, 10) for _ in range(5)))
    refused = [s for s in seen if s.failure is Failure.AGENT_OVERLOADED]
    assert len(refused) == 2
    assert "budget" in refused[0].detail["reason"]


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has after running this."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], capture_output=True, check=True
    )
    return set(run.stdout.decode().split())


def test_the_probes_load_no_heavy_library() -> None:
    every = "import bot.agent.policy; from importlib import import_module as get; from bot.probes.table import KINDS"
    heavy = {"httpx", "requests", "pydantic", "sqlalchemy", "fastapi", "h11", "dns", "cryptography", "ruamel.yaml"}
    seen = loaded(f"{every}; [get(f'bot.probes.{{kind}}') for kind in KINDS]")
    assert seen >= {f"bot.probes.{kind}" for kind in KINDS}
    assert not heavy & seen


def test_an_agent_that_waits_has_loaded_no_kind_of_probe() -> None:
    assert not {f"bot.probes.{kind}" for kind in KINDS} & loaded("import bot.agent.main")
