"""`python -m tests.faults --kills N`: live through worlds until so many bots were killed; one table, and JSON.

With `--state FILE` every finished world is kept, and the same command goes on where it was broken off.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.bots import Nursery
from tests.faults.invariants import add_up, judge, table
from tests.faults.mutants import MUTANTS
from tests.faults.world import Spec, run


def main() -> int:
    args = _arguments().parse_args()
    signal.signal(signal.SIGTERM, _ended)
    began = time.monotonic()
    done = (
        [json.loads(line) for line in args.state.read_text().splitlines()] if args.state and args.state.exists() else []
    )
    asyncio.run(_worlds(args, done))
    columns = {
        name: add_up(row for row in done if row["name"] == name) for name in dict.fromkeys(r["name"] for r in done)
    }
    lived = sum(row["took_s"] for row in done)
    print(table(columns))
    print(f"{len(done)} worlds, {lived:.0f} s of their own; {time.monotonic() - began:.0f} s on the wall this time")
    bad = [row for row in done if row["named"]]
    for row in bad:
        print(f"{row['name']} seed {row['seed']}: {json.dumps(row['named'], indent=1)}")
    if args.json:
        args.json.write_text(json.dumps({"columns": columns, "all": add_up(done), "worlds": done}, indent=1))
    return 1 if bad else 0


def _ended(*_: object) -> None:
    """From outside: at once, whatever waits, and the servers that were started end as well."""
    atexit._run_exitfuncs()
    os._exit(143)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--replicas", default="1,3", help="for PostgreSQL; SQLite has one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--world", type=int, default=40, help="kills in one world")
    parser.add_argument("--at-once", type=int, default=3, help="worlds side by side")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), default="", help="a mistake to plant: it must be found")
    parser.add_argument("--state", type=Path, help="what is done already, one world a line")
    parser.add_argument("--keep", type=Path, help="a folder for the ledgers of worlds with violations")
    parser.add_argument("--json", type=Path, help="where the figures go")
    return parser


def combinations(database: str, replicas: Sequence[int]) -> list[tuple[str, int]]:
    """(database, replicas) of the worlds, in turn."""
    found = [("sqlite", 1)] if database != "postgresql" else []
    return found + [("postgresql", n) for n in replicas if database != "sqlite"]


def specs(args: argparse.Namespace, *, known: set[int]) -> Iterator[Spec]:
    """Worlds without end; a seed that is done is not done again."""
    kinds = combinations(args.database, [int(n) for n in args.replicas.split(",")])
    for number in itertools.count():
        database, replicas = kinds[number % len(kinds)]
        seed = args.seed * 100_000 + number
        if seed not in known:
            # Every fourth world has a provider that knows nothing of keys: it may ring twice, never not at all.
            honours = number // len(kinds) % 4 != 3
            yield Spec(database, replicas, args.world, seed, mutant=args.mutant, honours_keys=honours)


async def _worlds(args: argparse.Namespace, done: list[dict[str, Any]]) -> None:
    nursery = Nursery()
    await nursery.start()
    coming = specs(args, known={row["seed"] for row in done})

    async def one_after_the_other() -> None:
        while sum(row["counts"]["kills"] for row in done) < args.kills:
            row = await live(next(coming), nursery, args.keep)
            done.append(row)
            if args.state:
                with args.state.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            kills = sum(row["counts"]["kills"] for row in done)
            bad = sum(sum(row["violations"].values()) for row in done)
            print(
                f"{row['name']} seed {row['seed']}: {row['took_s']:.0f} s; {kills} kills, {bad} violations",
                file=sys.stderr,
            )

    async with asyncio.TaskGroup() as group:
        for _ in range(args.at_once):
            group.create_task(one_after_the_other())
    await nursery.stop()


async def live(spec: Spec, nursery: Nursery, keep: Path | None = None) -> dict[str, Any]:
    """One world and its verdict as a row: {"name", "seed", "took_s", "violations", "named", "counts"}.

    The whole ledger of a world with violations goes into the folder `keep`.
    """
    ledger = await run(spec, nursery)
    row = judge(ledger).to_json()
    if keep and row["named"]:
        file = keep / f"ledger-{spec.seed}.json"
        file.write_text(json.dumps({"verdict": row, **asdict(ledger)}, default=str))
    return {"name": spec.name, "seed": spec.seed, "took_s": round(ledger.took_s, 1), "spec": asdict(spec), **row}


if __name__ == "__main__":
    sys.exit(main())
