"""Which phase an exchange is in, and how long each took."""

from __future__ import annotations

import time

from bot.domain.failure import Phase

KEYS = {Phase.DNS: "dns", Phase.TCP: "tcp", Phase.TLS: "tls", Phase.HTTP: "first_byte", Phase.DB: "greeting"}


class Stopwatch:
    """One lap per phase."""

    def __init__(self) -> None:
        self.phase = Phase.TCP
        self.done_ms: dict[str, float] = {}
        self._began = self._since = time.perf_counter()

    def begin(self, phase: Phase) -> None:
        """Enter a phase."""
        self.phase = phase
        self._since = time.perf_counter()

    def end(self, ms: float | None = None) -> None:
        """The phase worked; `ms` where something measured it better than this stopwatch."""
        self.done_ms[KEYS[self.phase]] = self._lap() if ms is None else ms

    def spent(self) -> dict[str, float]:
        """The time in the phase that was entered and did not end."""
        key = KEYS[self.phase]
        return {} if key in self.done_ms else {key: self._lap()}

    def reached(self) -> dict[str, float]:
        """Every phase reached, rounded: those that ended and the one that did not."""
        return {key: round(ms, 3) for key, ms in {**self.done_ms, **self.spent()}.items()}

    def total(self) -> float:
        """Milliseconds since the start."""
        return (time.perf_counter() - self._began) * 1000

    def _lap(self) -> float:
        return (time.perf_counter() - self._since) * 1000
