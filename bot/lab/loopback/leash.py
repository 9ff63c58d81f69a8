"""A child process that never outlives its parent, even when the parent is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
"""prctl(2). Survives execve; the signal comes when the thread that forked us ends."""


def hold(parent: int) -> None:
    """Die by SIGKILL when our parent does. Ends the process at once if `parent` is already gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit("the parent process is gone")


def leashed(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` (argv[0] an absolute path) on the leash of this process."""
    return [sys.executable, "-m", "bot.lab.loopback.leash", str(os.getpid()), *command]


if __name__ == "__main__":
    hold(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 the same argv, no shell
