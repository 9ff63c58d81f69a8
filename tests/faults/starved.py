"""Who was given no processor, and when: what is excused by it was measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

EVERY_S, LATE_S = 0.02, 0.03


class Lags:
    """When this process, with its provider and proxy, came too late to what it had asked to be woken for."""

    def __init__(self) -> None:
        self.found: list[tuple[float, float]] = []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            due = time.monotonic() + EVERY_S
            await asyncio.sleep(EVERY_S)
            if (now := time.monotonic()) > due + LATE_S:
                self.found.append((due, now))


class Waits:
    """How long a bot waited for a processor; with PostgreSQL that of its server counts as well, the worst of each."""

    def __init__(self, server: Callable[[], int]) -> None:
        self._server = server
        self._last: dict[tuple[int, Path], float] = {}

    def since_last(self, pid: int) -> float:
        """Seconds since it was last asked about this bot: of its worst thread, and of the worst server process."""
        threads = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
        return self._worst(pid, threads) + self._worst(pid, self._backends())

    def _backends(self) -> list[Path]:
        if not (server := self._server()):
            return []
        try:
            children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        except OSError:
            return []
        return [Path(f"/proc/{child}/schedstat") for child in children]

    def _worst(self, pid: int, files: list[Path]) -> float:
        worst = 0.0
        for file in files:
            try:
                waited = int(file.read_bytes().split()[1]) / 1e9
            except (OSError, IndexError, ValueError):
                continue
            worst = max(worst, waited - self._last.get((pid, file), waited))
            self._last[pid, file] = waited
        return worst
