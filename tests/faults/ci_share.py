"""Over two hundred kills on both databases, and every planted mistake is found: meant for CI (docs/faults.md)."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.faults.__main__ import live
from tests.faults.bots import Nursery
from tests.faults.invariants import add_up, table
from tests.faults.mutants import MUTANTS
from tests.faults.postgres import programs
from tests.faults.world import Spec

pytestmark = pytest.mark.alone
KILLS = 34
WORLDS = (("sqlite", 1), ("postgresql", 1), ("postgresql", 3))
AT_ONCE = 3
WORLDS_FOR_A_MUTANT = 4


async def _all(specs: list[Spec], keep: Path) -> list[dict[str, Any]]:
    nursery, turn = Nursery(), asyncio.Semaphore(AT_ONCE)
    await nursery.start()

    async def one(spec: Spec) -> dict[str, Any]:
        async with turn:
            return await live(spec, nursery, keep)

    try:
        return await asyncio.gather(*(one(spec) for spec in specs))
    finally:
        await nursery.stop()


@pytest.mark.timeout(900)
async def test_two_hundred_kills_lose_no_page(tmp_path: Path) -> None:
    programs()
    seed = int(os.environ.get("WARROOM_FAULTS_SEED", "20"))
    specs = [
        Spec(database, replicas, KILLS, seed * 1000 + 10 * n + replicas, honours_keys=n == 0)
        for n in range(2)
        for database, replicas in WORLDS
    ]
    rows = await _all(specs, tmp_path)
    names = dict.fromkeys(row["name"] for row in rows)
    print(table({name: add_up(row for row in rows if row["name"] == name) for name in names}))
    assert not {(row["name"], row["seed"]): row["named"] for row in rows if row["named"]}
    assert add_up(rows)["counts"]["kills"] >= 200


FOUND_BY = {
    "no-fencing": {"page_entries", "duplicates", "late_unrecorded"},
    "deadline-is-failure": {"never_called"},
    "late-timers-dropped": {"steps"},
    "shared-store": {"duplicates", "after_claim"},
    "marked-before-sent": {"never_called"},
    "ack-cancels-nothing": {"after_ack"},
    "claim-not-looked-at": {"after_claim"},
}
PLANTED = {
    "no-fencing": Spec("postgresql", 3, 12, 0, share=0.1, stops=0.7, points=("after-post", "before-commit:record")),
    "shared-store": Spec("postgresql", 3, 6, 0, share=0.1),
    "ack-cancels-nothing": Spec("sqlite", 1, 12, 0, share=0.6),
    "claim-not-looked-at": Spec("sqlite", 1, 8, 0, stops=0.7, points=("after-commit:claim",)),
}
"""Worlds in which the mistake is made often enough to be seen soon."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", sorted(MUTANTS))
async def test_a_planted_mistake_is_found(mutant: str, tmp_path: Path) -> None:
    programs()
    nursery = Nursery()
    await nursery.start()
    planted = PLANTED.get(mutant, Spec("sqlite", 1, 12, 0))
    try:
        for seed in range(WORLDS_FOR_A_MUTANT):
            row = await live(planted.with_mutant(mutant, 7000 + seed), nursery)
            print(json.dumps(row["named"], indent=1))
            if FOUND_BY[mutant] & row["named"].keys():
                return
    finally:
        await nursery.stop()
    pytest.fail(f"{mutant} was planted in {WORLDS_FOR_A_MUTANT} worlds and found in none: the harness is wrong")
