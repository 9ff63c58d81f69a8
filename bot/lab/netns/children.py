"""The processes of one run: each in its namespace, each on a leash, none left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bot.lab.netns.enter import inside_command
from bot.lab.netns.kernel import LabFailed

GONE_S = 5.0


class Children:
    """Start programs by name; `end` kills and reaps them all.

    Use it from the main thread: the kernel ties the leash to the thread that started the child.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(
        self, name: str, namespace: Path, command: Sequence[str], *, environ: Mapping[str, str] | None = None
    ) -> None:
        """Run a program in a namespace; what it says goes to a log of its name."""
        with self.log(name).open("ab") as out:
            self._running[name] = await asyncio.create_subprocess_exec(
                *inside_command(namespace, command),
                env={**os.environ, **(environ or {})},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # Ctrl-C reaches this process only, which then ends them
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        """What a child has said."""
        return self._logs / f"{name}.log"

    def check(self) -> None:
        """Raise LabFailed if a child that should run has ended by itself."""
        for name, child in self._running.items():
            if child.returncode is not None:
                raise LabFailed(f"{name} ended with {child.returncode}: {self.tail(name)}")

    async def says(self, name: str, word: str, *, within_s: float, log: Path | None = None) -> None:
        """Wait until a child has said a word, in its log or in one it writes itself. Raises LabFailed."""
        deadline = asyncio.get_running_loop().time() + within_s
        while word not in _text(log or self.log(name)):
            self.check()
            if asyncio.get_running_loop().time() > deadline:
                raise LabFailed(f"{name} was not up after {within_s:.0f} s: {self.tail(name)}")
            await asyncio.sleep(0.02)

    def tail(self, name: str) -> str:
        """The end of its log."""
        return _text(self.log(name)).strip()[-600:] or "it said nothing"

    def running(self, name: str) -> bool:
        """Whether a child of this name has been started and not ended."""
        return name in self._running

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal; to one that is gone already, nothing."""
        child = self._running.get(name)
        if child is not None and child.returncode is None:
            with suppress(ProcessLookupError):
                child.send_signal(number)

    async def kill(self, name: str) -> None:
        """End one for good; it is no longer expected to run."""
        child = self._running.pop(name, None)
        if child is not None:
            await _end([child])

    async def end(self) -> None:
        """Kill and reap everything; a stopped process dies of SIGKILL as well."""
        running, self._running = self._running, {}
        await _end(list(running.values()))


def _text(log: Path) -> str:
    try:
        return log.read_text(errors="replace")
    except OSError:
        return ""


async def _end(children: Sequence[asyncio.subprocess.Process]) -> None:
    for child in children:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
    waiting = [asyncio.ensure_future(child.wait()) for child in children]
    if waiting:
        await asyncio.wait(waiting, timeout=GONE_S)


def program(name: str) -> str:
    """The absolute path of a program, looked for in the administrator's folders as well. Raises LabFailed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise LabFailed(f"{name} is not installed")
    return found
