"""A run's name, and what earlier runs that were killed have left: namespaces and folders by their prefix."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from bot.lab.netns.enter import NAMESPACES

PREFIX = "wlab"
_NAME = re.compile(rf"{PREFIX}-(?P<pid>\d+)-(?P<began>\d+)-\d+(-.*)?")
_runs = count()


def run_name() -> str:
    """Unique while this process lives, and telling whose it is: wlab-PID-STARTTIME-N."""
    return f"{PREFIX}-{os.getpid()}-{_began(os.getpid())}-{next(_runs)}"


def sweep() -> Sequence[str]:
    """Remove what belongs to processes that are gone; returns the names of the namespaces that were there."""
    stale = [path for path in _named(NAMESPACES) if not _alive(path.name)]
    for path in stale:
        for pid in _inhabitants(path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", path.name], check=False, capture_output=True)  # noqa: S603, S607 a name of ours
    for folder in _named(Path(tempfile.gettempdir())):
        if not _alive(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
    return [path.name for path in stale]


def _named(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PREFIX}-*")) if folder.is_dir() else []


def _alive(name: str) -> bool:
    """Whether the process that made it still runs: a pid alone may be another's by now."""
    found = _NAME.fullmatch(name)
    return found is None or _began(int(found["pid"])) == int(found["began"])


def _began(pid: int) -> int:
    """When a process began, in clock ticks since boot (proc(5), stat, field 22); 0 for one that is not there."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in ("Z", "X") else int(fields[19])


def _inhabitants(namespace: Path) -> Iterator[int]:
    try:
        home = namespace.stat().st_ino
    except OSError:
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if (entry / "ns" / "net").stat().st_ino == home and int(entry.name) != os.getpid():
                    yield int(entry.name)
