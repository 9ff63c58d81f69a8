"""Whatever ends a run, nothing of it stays: no process, no namespace, no packet filter, no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_runs import (
    SCENARIOS,
    alive,
    clean_up,
    folders,
    inhabitants,
    namespaces,
    need_namespaces,
    play,
    start,
    wait_for,
)

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

NIGHT = str(SCENARIOS / "crawler-eats-the-limit.yaml")
AGENTS = 6


@pytest.fixture
def running() -> Iterator[subprocess.Popen[str]]:
    """A run whose agents, resolvers and crawler are up."""
    need_namespaces()
    process = start(NIGHT)
    try:
        wait_for(lambda: sum("bot.cli agent" in c for c in inhabitants(process.pid).values()) == AGENTS)
        yield process
    finally:
        clean_up(process)


def packet_filters() -> str:
    """This machine's own, which the lab must not touch."""
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_removes_everything(running: subprocess.Popen[str], number: signal.Signals) -> None:
    before = inhabitants(running.pid)
    assert {"unbound", "serve", "crawler"} <= {
        w for c in before.values() for w in ("unbound", "serve", "crawler") if w in c
    }
    running.send_signal(number)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "interrupted; everything is removed" in err
    assert "Traceback" not in err
    assert (alive(before), namespaces(running.pid), folders(running.pid)) == ({}, [], [])


def test_impatience_does_not_stop_the_removing(running: subprocess.Popen[str]) -> None:
    before = inhabitants(running.pid)
    for _ in range(5):
        running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    assert (alive(before), namespaces(running.pid), folders(running.pid)) == ({}, [], [])


def test_a_run_that_is_killed_takes_its_processes_along_and_the_next_one_removes_the_rest(
    running: subprocess.Popen[str],
) -> None:
    before = inhabitants(running.pid)
    assert len(before) > AGENTS
    filters = packet_filters()
    running.kill()
    running.communicate()
    wait_for(lambda: not alive(before), within_s=5)
    assert namespaces(running.pid) != []
    subprocess.run([sys.executable, "-c", "from bot.lab.netns.leftovers import sweep; sweep()"], check=True)
    assert (namespaces(running.pid), folders(running.pid)) == ([], [])
    assert packet_filters() == filters


def test_a_sweep_leaves_a_run_that_lives_alone(running: subprocess.Popen[str]) -> None:
    before = namespaces(running.pid)
    subprocess.run([sys.executable, "-c", "from bot.lab.netns.leftovers import sweep; sweep()"], check=True)
    assert namespaces(running.pid) == before


def test_a_server_that_dies_ends_the_run_with_a_word_about_it(running: subprocess.Popen[str]) -> None:
    before = inhabitants(running.pid)
    world = next(pid for pid, command in before.items() if "netns.serve" in command)
    os.kill(world, signal.SIGKILL)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "could not be played: world ended with -9" in err
    assert (alive(before), namespaces(running.pid), folders(running.pid)) == ({}, [], [])


def test_two_runs_side_by_side_do_not_meet() -> None:
    need_namespaces()
    quiet = str(SCENARIOS / "quiet-tuesday.yaml")
    with start(quiet, "--format", "json") as other:
        status, document, err = play(quiet)
        other.communicate(timeout=60)
    assert status == 0, err
    assert document["right"]
    assert other.returncode == 0
    assert namespaces(other.pid) == []


def test_without_root_it_says_that_it_is_skipped(tmp_path: Path) -> None:
    need_namespaces()
    code = (
        "import os, sys; from bot.lab.netns import command; os.geteuid = lambda: 1000; "
        "from bot.cli import main; main(sys.argv[1:])"
    )
    words = [sys.executable, "-c", code, "lab", "run", NIGHT]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert text == "skipped: needs root\n"
    document = subprocess.run([*words, "--format", "json"], capture_output=True, text=True, check=True).stdout
    assert document == '{"skipped": "needs root", "scenarios": ["crawler-eats-the-limit"]}\n'
