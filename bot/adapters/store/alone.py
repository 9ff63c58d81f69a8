"""One bot on one SQLite file: a lock that the kernel lets go of when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from bot.domain.errors import ConfigError


class Alone:
    """The lock beside a SQLite file, held from `take` until `give_back`."""

    def __init__(self, file: Path) -> None:
        self._path = file.with_name(f"{file.name}.lock")
        self._held: int | None = None

    def take(self) -> None:
        """Raises ConfigError that names the process which has it."""
        try:
            held = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise ConfigError(f"database: {self._path} cannot be made: {exc.strerror}") from exc
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            pid = os.read(held, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(held)
            raise ConfigError(
                f"database: {self._path.name.removesuffix('.lock')} is in use by the `warroom serve` with pid {pid}; "
                "SQLite is for one bot: stop that one, or use PostgreSQL for several"
            ) from exc
        os.ftruncate(held, 0)
        os.write(held, f"{os.getpid()}\n".encode())
        self._held = held

    def give_back(self) -> None:
        """Let the next one in. The file stays: taking it away could let two in at once."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
