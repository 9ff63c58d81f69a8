"""How long `warroom --help` takes, beside an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from statistics import median

from tests.bench.table import Effort, Row, below

LIMIT_S = 0.3


def help_(effort: Effort) -> Iterable[Row]:
    """Wall time from start to exit."""
    ours, peer = [], []
    for _ in range(effort.rounds * 4):
        ours.append(_took("-m", "bot.cli", "--help"))
        peer.append(_took("-c", "pass"))
    yield below("warroom --help", median(ours), LIMIT_S, unit="s", peer=median(peer), peer_name="python -c pass")


def _took(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
