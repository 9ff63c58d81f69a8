"""Warnings that somebody else can cause: a few are said, the rest is counted, lest he fills a disk with them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

SAID = 20
WINDOW_S = 60.0


class Complaints:
    """The warnings about one other side: at most `most` within WINDOW_S."""

    def __init__(self, log: logging.Logger, *, most: int = SAID, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._most = most
        self._now = now
        self._since = -WINDOW_S
        self._count = 0

    def warn(self, message: str, *args: object) -> None:
        """Log a warning, if there was room for it."""
        now = self._now()
        if now - self._since >= WINDOW_S:
            if self._count > self._most:
                self._log.warning("%d more warnings like the last were left out", self._count - self._most)
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= self._most:
            self._log.warning(message, *args)
