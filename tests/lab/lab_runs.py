"""`warroom lab run` as a process, and what it may leave on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bot.lab.netns.enter import NAMESPACES
from tests.needs import missing, need_tool

ROOT = Path(__file__).parents[2]
SCENARIOS = Path(__file__).parent / "scenarios"


def need_namespaces() -> None:
    """Go on only where the lab can be built."""
    if os.geteuid() != 0:
        missing("not root")
    for tool in ("ip", "nft", "tc", "unbound"):
        need_tool(tool)


def start(*words: str, **more: Any) -> subprocess.Popen[str]:
    """Begin `warroom lab run`."""
    command = [sys.executable, "-m", "bot.cli", "lab", "run", *words]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def play(*words: str, timeout_s: float = 100) -> tuple[int, dict[str, Any], str]:
    """(exit status, JSON document, stderr) of a whole run."""
    with start(*words, "--format", "json") as process:
        out, err = process.communicate(timeout=timeout_s)
    assert out, err
    return process.returncode, json.loads(out), err


def namespaces(pid: int) -> list[str]:
    """Those a run has now."""
    return sorted(path.name for path in NAMESPACES.glob(f"wlab-{pid}-*"))


def folders(pid: int) -> list[Path]:
    """Its folders."""
    return list(Path(tempfile.gettempdir()).glob(f"wlab-{pid}-*"))


def inhabitants(pid: int) -> dict[int, str]:
    """{process: command line} of everything that lives in the namespaces of a run."""
    homes = {(NAMESPACES / name).stat().st_ino for name in namespaces(pid)}
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "ns" / "net").stat().st_ino in homes:
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


def alive(processes: dict[int, str]) -> dict[int, str]:
    """Those that still run as what they were."""
    left = {}
    for number, command in processes.items():
        with suppress(OSError):
            if (Path("/proc") / str(number) / "cmdline").read_text().replace("\0", " ") == command:
                left[number] = command
    return left


def wait_for(what: Callable[[], bool], within_s: float = 30) -> None:
    """Poll until it is so."""
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def clean_up(process: subprocess.Popen[str]) -> None:
    """After a test that failed: leave nothing of it."""
    if process.poll() is None:
        process.kill()
    process.communicate()
    for name in namespaces(process.pid):
        subprocess.run(["ip", "netns", "del", name], check=False)
    for folder in folders(process.pid):
        shutil.rmtree(folder, ignore_errors=True)
