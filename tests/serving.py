"""A real `warroom serve` process with a real agent, as an operator would start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import free_port

REPOSITORY = Path(__file__).parents[1]
API_TOKEN, AGENT_TOKEN = "canary-api-5Zp2", "canary-agent-8Qw1"


def environ(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WARROOM_")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **more}


def warroom(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bot.cli", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environ(**env),
        timeout=90,
        check=False,
    )


@dataclass(frozen=True)
class Serving:
    """A bot that is up, with one agent called "here"."""

    url: str
    folder: Path
    processes: tuple[subprocess.Popen[bytes], ...] = ()
    """The bot, then the agent."""

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return warroom(*words, cwd=self.folder, WARROOM_API_TOKEN=API_TOKEN, WARROOM_SERVER=self.url)

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--format", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextmanager
def serving(folder: Path) -> Iterator[Serving]:
    """Start both, wait until the agent is connected, end both by SIGTERM."""
    port = free_port()
    (folder / "warroom.toml").write_text(f'[server]\nlisten = "127.0.0.1:{port}"\nlanguage = "en"\n')
    (folder / "policy.yaml").write_text("allow:\n  - {network: 127.0.0.0/8, ports: any, kinds: any}\npublic: deny\n")
    env = environ(WARROOM_API_TOKEN=API_TOKEN, WARROOM_AGENT_TOKEN=AGENT_TOKEN)
    python = [sys.executable, "-m", "bot.cli"]
    agent = [
        *python,
        "agent",
        "--hub",
        f"ws://127.0.0.1:{port}",
        "--name",
        "here",
        "--region",
        "lab",
        "--vantage",
        "vm",
    ]
    agent += ["--policy", "policy.yaml", "--state", str(folder)]
    with (folder / "serve.log").open("w") as said, (folder / "agent.log").open("w") as told:
        processes = [subprocess.Popen([*python, "serve"], cwd=folder, env=env, stderr=said, stdout=said)]
        processes.append(subprocess.Popen(agent, cwd=folder, env=env, stderr=told, stdout=told))
        try:
            up = Serving(url=f"http://127.0.0.1:{port}", folder=folder, processes=tuple(processes))
            _wait(up)
            yield up
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait(timeout=60)


def _wait(up: Serving) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        done = up.run("agents", "--format", "json")
        if done.returncode == 0 and [a["state"] for a in json.loads(done.stdout)] == ["ready"]:
            return
        time.sleep(0.3)
    raise AssertionError((up.folder / "serve.log").read_text() + (up.folder / "agent.log").read_text())
