"""A file that is fresh while the agent is in a session with a hub: what a container's health check looks at."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from bot.agent.keys import file_name

log = logging.getLogger("warroom.agent")

EVERY_S = 5.0
STALE_S = 30.0
"""One whose file is older is not well: it has no hub, or its loop stands still."""


def pulse_file(folder: Path, name: str) -> Path:
    """Where agent `name` shows that it is well."""
    return folder / f"agent-{file_name(name)}.alive"


class Pulse:
    """Counts sessions, and touches the file every `every_s` while there is one. A file that cannot be written is
    said once; the agent works all the same.
    """

    def __init__(self, file: Path | None, *, every_s: float = EVERY_S) -> None:
        self._file = file
        self._every_s = every_s
        self._sessions = 0
        self._first = asyncio.Event()

    def begin(self) -> None:
        """A hub has welcomed us."""
        self._sessions += 1
        self._first.set()

    def end(self) -> None:
        """A session is over."""
        self._sessions -= 1
        if not self._sessions:
            self._first.clear()
            self._remove()

    async def run(self) -> None:
        """Until cancelled."""
        if self._file is None:
            return
        self._remove()
        while True:
            await self._first.wait()
            try:
                self._file.touch()
            except OSError as exc:
                log.warning("%s: %s; a health check that looks at it will fail", self._file, exc.strerror)
                return
            await asyncio.sleep(self._every_s)

    def _remove(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)
