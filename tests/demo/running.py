"""`warroom demo` as a person starts it: a process, whose words on stderr are read."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Demo:
    """A demo that is up."""

    login: str
    server: str
    token: str
    process: subprocess.Popen[str]


@contextmanager
def running_demo(*options: str, within_s: float = 60.0) -> Iterator[Demo]:
    """Start it on a free port, wait for its link, end it by SIGINT as Ctrl-C does."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("WARROOM_")}
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.cli", "demo", "--port", "0", *options],
            stderr=words,
            stdout=subprocess.DEVNULL,
            text=True,
            env=environ,
            cwd=Path(__file__).parents[2],
        )
        try:
            yield _wait(process, words, within_s)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[str], words: object, within_s: float) -> Demo:
    deadline = time.monotonic() + within_s
    said = ""
    while time.monotonic() < deadline and process.poll() is None:
        words.seek(0)  # type: ignore[attr-defined]
        said = words.read()  # type: ignore[attr-defined]
        link = re.search(r"(http://[^/\s]+)/login\?code=\S+", said)
        token = re.search(r"WARROOM_API_TOKEN=(\S+)", said)
        if link and token:
            return Demo(login=link[0], server=link[1], token=token[1], process=process)
        time.sleep(0.1)
    raise AssertionError(f"the demo did not start:\n{said}")
