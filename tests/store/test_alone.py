"""One bot on one SQLite file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.adapters.store.alone import Alone
from bot.domain.errors import ConfigError
from tests.ports import free_port
from tests.serving import environ, warroom

HOLD = "import sys, time; from pathlib import Path; from bot.adapters.store.alone import Alone\n"
HOLD += "alone = Alone(Path(sys.argv[1])); alone.take(); print('has it', flush=True); time.sleep(60)"


def test_the_second_one_is_told_which_process_has_the_file_and_what_to_do(tmp_path: Path) -> None:
    first, second = Alone(tmp_path / "warroom.db"), Alone(tmp_path / "warroom.db")
    first.take()
    with pytest.raises(ConfigError, match=rf"warroom.db is in use by the `warroom serve` with pid {os.getpid()}"):
        second.take()
    first.give_back()
    second.take()
    second.give_back()


def test_a_process_that_is_killed_lets_go(tmp_path: Path) -> None:
    file = tmp_path / "warroom.db"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, env=environ())
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"has it\n"
    with pytest.raises(ConfigError, match=f"pid {holder.pid}"):
        Alone(file).take()
    holder.send_signal(signal.SIGKILL)
    holder.wait(timeout=10)
    Alone(file).take()


def test_a_second_serve_ends_with_a_clear_word(tmp_path: Path) -> None:
    held = Alone(tmp_path / "warroom.db")
    held.take()
    done = warroom("serve", cwd=tmp_path, WARROOM_SERVER_LISTEN=f"127.0.0.1:{free_port()}")
    held.give_back()
    assert done.returncode != 0
    assert f"pid {os.getpid()}" in done.stderr
    assert "use PostgreSQL for several" in done.stderr
    assert "Traceback" not in done.stderr
