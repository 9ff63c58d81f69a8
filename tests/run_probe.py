"""Runs one probe in this process, as a given user, and prints its Outcome: `python -m tests.run_probe JSON`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

from bot.agent.policy import load_policy
from bot.probes.base import BadParams
from bot.probes.table import check, run

OPEN = "allow: [{network: 0.0.0.0/0, ports: any, kinds: any}, {network: '::/0', ports: any, kinds: any}]\n"


def main() -> None:
    """Read the policy as root, give up root, probe."""
    asked = json.loads(sys.argv[1])
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(asked["policy"] or OPEN)
        file.flush()
        context = load_policy(Path(file.name)).context({})
    with contextlib.suppress(BadParams):
        check(asked["kind"], asked["params"])  # import what it takes, for another user may not read this Python
    if asked["uid"]:
        os.setgroups([])
        os.setresgid(asked["uid"], asked["uid"], asked["uid"])
        os.setresuid(asked["uid"], asked["uid"], asked["uid"])
    outcome = asyncio.run(run(asked["kind"], asked["params"], context, 40))
    print(json.dumps(dataclasses.asdict(outcome)))


if __name__ == "__main__":
    main()
