"""Being in another network namespace: a call of this process, or a whole program on a leash.

`python -m bot.lab.netns.enter PARENT NAMESPACE PROGRAM ...` becomes PROGRAM inside NAMESPACE and dies with PARENT.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bot.lab.loopback.leash import hold

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
NAMESPACES = Path("/run/netns")
"""Where ip-netns(8) keeps them."""


def enter(path: Path) -> None:
    """Move the calling thread into a network namespace (setns(2)). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")
    finally:
        os.close(descriptor)


def inside(path: Path, work: Callable[[], T]) -> T:
    """Do something in a namespace and return what it returns; sockets made there stay there. Raises what it raises.

    It happens in a thread of its own, since a namespace belongs to a thread, and this one ends.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            enter(path)
            done.append(work())
        except BaseException as exc:  # noqa: BLE001 - it is raised where the caller is
            failed.append(exc)

    thread = threading.Thread(target=run, name=f"in {path.name}")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def inside_command(path: Path, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` (argv[0] an absolute path) in a namespace, on the leash of this process."""
    return [sys.executable, "-m", "bot.lab.netns.enter", str(os.getpid()), str(path), *command]


if __name__ == "__main__":
    hold(int(sys.argv[1]))
    enter(Path(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606 the same argv, no shell
