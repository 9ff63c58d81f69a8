"""A folder that keeps what must not be lost while the database is away: one file for each key, on the disk for good."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger("warroom.spool")


class FileSpool:
    """Implements `Spool`. Files are named by their key, so that the same thing twice is one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, document: Mapping[str, Any]) -> None:
        """Write, in place of an earlier document of the key, and return when it is on the disk. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(key)
        fresh = path.with_suffix(f".{os.getpid()}.new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump({"key": key, "document": dict(document)}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        self._settle()

    def all(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """(key, document), oldest first; a file that cannot be read is set aside."""
        if not self._folder.is_dir():
            return ()
        found = []
        for path in sorted(self._folder.glob("*.json"), key=lambda p: (p.stat().st_mtime_ns, p.name)):
            try:
                row = json.loads(path.read_text(encoding="utf-8"))
                found.append((str(row["key"]), dict(row["document"])))
            except (OSError, ValueError, KeyError, TypeError) as exc:
                log.error("%s cannot be read and is set aside: %s", path, exc)
                path.replace(path.with_suffix(".bad"))
        return found

    def remove(self, key: str) -> None:
        """Take it out: it is in the database now."""
        self._path(key).unlink(missing_ok=True)

    def set_aside(self, key: str) -> None:
        """Keep it for people to look at, and out of the way."""
        path = self._path(key)
        if path.exists():
            path.replace(path.with_suffix(".bad"))

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.json"

    def _settle(self) -> None:
        # The name as well must survive a power cut.
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
