"""What the harness starts instead of `warroom`: the same main(), with crash points and mutants put around it.

`python -m tests.faults.serve ARGS...` is one such process. `python -m tests.faults.serve --nursery` imports everything
once and forks a process for each line it reads, since importing is most of what a start costs: it answers
`{"pid"}` for each, and `{"dead", "status"}` when one ends.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import select
import signal
import sys
from contextlib import suppress
from typing import Any

PR_SET_PDEATHSIG = 1


def run(words: list[str]) -> None:
    """`warroom WORDS` with what FAULTS_* in the environment asks for; does not return."""
    events = os.environ.get("FAULTS_EVENTS")
    if mutant := os.environ.get("FAULTS_MUTANT"):
        from tests.faults.mutants import MUTANTS

        MUTANTS[mutant]()
    if events:
        from tests.faults.crash import Recorder, install

        at = (os.environ.get("FAULTS_POINT", ""), int(os.environ.get("FAULTS_NTH", "1")))
        install(Recorder(events, *at, os.environ.get("FAULTS_ACT", "kill")))
    from bot.cli import main

    sys.argv = ["warroom", *words]
    main()


def nursery() -> None:
    """Fork a bot for each line of standard input; end with it."""
    import aiosqlite  # noqa: F401
    import alembic.command  # noqa: F401
    import psycopg  # noqa: F401
    import sqlalchemy.dialects.postgresql
    import sqlalchemy.dialects.sqlite  # noqa: F401
    import uvicorn.lifespan.on
    import uvicorn.protocols.http.h11_impl
    import uvicorn.protocols.websockets.websockets_sansio_impl  # noqa: F401
    from sqlalchemy.dialects.postgresql import psycopg as dialect  # noqa: F401

    import bot.adapters.config
    import bot.bootstrap
    import bot.cli
    import bot.operate
    from bot.adapters.store import migrate
    from bot.app.resources import data_folder

    with suppress(ImportError):
        import uvloop  # noqa: F401
    migrate._head()
    # Nine tenths of a start: the same files, read once. What bots have of them is immutable.
    for name in ("load_playbooks", "load_hypotheses"):
        read = getattr(bot.bootstrap, name)(data_folder("playbooks"))
        setattr(bot.bootstrap, name, lambda _folder, read=read: read)
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    rest = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 512)
            _bury()
        if 0 in ready:
            if not (more := os.read(0, 65536)):
                return
            *lines, rest = (rest + more).split(b"\n")
            for line in lines:
                _bear(json.loads(line), (woken, wake))


def _bury() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        print(json.dumps({"dead": pid, "status": os.waitstatus_to_exitcode(status)}), flush=True)


def _bear(asked: dict[str, Any], ours: tuple[int, int]) -> None:
    pid = os.fork()
    if pid:
        print(json.dumps({"pid": pid}), flush=True)
        return
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Whoever breaks the harness off leaves no bots behind.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for pipe in ours:
        os.close(pipe)
    null, log = os.open(os.devnull, os.O_RDONLY), os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    random.seed()
    status = 1
    try:
        run(asked["words"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    nursery() if sys.argv[1:] == ["--nursery"] else run(sys.argv[1:])
