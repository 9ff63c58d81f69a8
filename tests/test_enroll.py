"""A bot without a shared token: every agent comes in by a token of its own, once, and by its key from then on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.serving import API_TOKEN, environ, warroom

pytestmark = pytest.mark.timeout(120)


@dataclass
class Strict:
    """A `warroom serve` that knows no shared token."""

    port: int
    folder: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        url = f"http://127.0.0.1:{self.port}"
        return warroom(*words, cwd=self.folder, WARROOM_API_TOKEN=API_TOKEN, WARROOM_SERVER=url)

    def states(self) -> dict[str, str]:
        done = self.run("agents", "--format", "json")
        return {a["name"]: a["state"] for a in json.loads(done.stdout)} if done.returncode == 0 else {}

    def until(self, name: str, state: str) -> None:
        due = time.monotonic() + 90
        while self.states().get(name) != state:
            assert time.monotonic() < due, (self.folder / "serve.log").read_text()

    def enroll(self, *words: str) -> str:
        done = self.run("agent", "enroll", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def agent(
        self, token: str, name: str = "sh-vm", state: str = "state", options: Sequence[str] = ()
    ) -> Iterator[subprocess.Popen[str]]:
        """A real agent process, told to stop at the end."""
        words = ["--hub", f"ws://127.0.0.1:{self.port}", "--name", name, "--region", "shanghai", "--vantage", "vm"]
        env = environ(**({"WARROOM_AGENT_TOKEN": token} if token else {}))
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.cli", "agent", *words, "--state", str(self.folder / state), *options],
            cwd=self.folder,
            env=env,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)

    def refused(self, token: str, **where: str) -> str:
        """The last words of an agent that is not let in."""
        with self.agent(token, **where) as process:
            _, said = process.communicate(timeout=90)
        assert process.returncode == 3, said
        return said


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    folder = tmp_path_factory.mktemp("strict")
    up = Strict(free_port(), folder)
    (folder / "warroom.toml").write_text(f'[server]\nlisten = "127.0.0.1:{up.port}"\nlanguage = "en"\n')
    with (folder / "serve.log").open("wb") as log:
        words = [sys.executable, "-m", "bot.cli", "serve"]
        process = subprocess.Popen(words, cwd=folder, env=environ(WARROOM_API_TOKEN=API_TOKEN), stderr=log, stdout=log)
        try:
            due = time.monotonic() + 90
            while up.run("agents").returncode != 0:
                assert time.monotonic() < due, (folder / "serve.log").read_text()
            yield up
        finally:
            process.terminate()
            process.wait(timeout=60)


def test_an_agent_enrols_once_and_comes_back_with_the_used_up_token_and_without_any(bot: Strict) -> None:
    assert "each new agent needs a token of its own" in (bot.folder / "serve.log").read_text()
    token = bot.enroll("--name", "sh-vm")
    for shown in (token, token, ""):
        with bot.agent(shown):
            bot.until("sh-vm", "ready")
        bot.until("sh-vm", "lost")
    assert "was used or has expired" in bot.refused(token, state="stolen")
    assert token.rpartition(".")[2] not in (bot.folder / "serve.log").read_text()


def test_an_agent_without_a_token_that_nobody_knows_is_told_what_to_do(bot: Strict) -> None:
    with bot.agent("", name="new", state="nothing") as process:
        _, said = process.communicate(timeout=90)
    assert process.returncode == 2
    assert "WARROOM_AGENT_TOKEN is not set" in said
    assert "wrong token: this bot has no shared one; `warroom agent enroll" in bot.refused(
        "some shared token", name="new", state="guess"
    )
    token = bot.enroll("--name", "other")
    assert "this token is for an agent named 'other'" in bot.refused(token, name="new", state="wrong")


def test_what_an_agent_lacks_and_how_its_clock_goes_is_told_by_the_api(bot: Strict) -> None:
    (bot.folder / "policy.yaml").write_text("query_log: {path: /no/such/query.log}\n")
    with bot.agent(bot.enroll("--name", "bj-vm"), name="bj-vm", state="bj", options=["--policy", "policy.yaml"]):
        bot.until("bj-vm", "ready")
        rows = json.loads(bot.run("agents", "--format", "json").stdout)
        (row,) = [one for one in rows if one["name"] == "bj-vm"]
        assert "dns_top: the query log /no/such/query.log cannot be read by this user" in row["lacks"]
        assert abs(row["clock_ms"]) < 1000
        assert row["lag_ms"] >= 0
        told = bot.run("command", "/agents").stdout
        assert "bj-vm: " in told
        assert "/no/such/query.log cannot be read" in told
        table = bot.run("agents").stdout
        assert "last answer" in table
        assert "what some of them cannot do:\nbj-vm: " in table


def test_a_key_that_is_taken_away_needs_a_new_token(bot: Strict) -> None:
    with bot.agent(bot.enroll("--name", "gz-vm"), name="gz-vm", state="gz"):
        bot.until("gz-vm", "ready")
    bot.until("gz-vm", "lost")
    done = bot.run("agent", "enroll", "--name", "gz-vm", "--forget")
    assert (done.returncode, done.stdout) == (0, "")
    assert "gz-vm is forgotten; it must enrol anew" in done.stderr
    assert "gz-vm" not in bot.states()
    assert "not known here" in bot.refused("", name="gz-vm", state="gz")
    with bot.agent(bot.enroll("--name", "gz-vm"), name="gz-vm", state="gz"):
        bot.until("gz-vm", "ready")
        done = bot.run("agent", "enroll", "--name", "gz-vm", "--forget")
        assert "gz-vm is forgotten and disconnected; it must enrol anew" in done.stderr
        assert "gz-vm" not in bot.states()
    assert bot.run("agent", "enroll", "--name", "nobody", "--forget").returncode == 1


def test_the_token_alone_is_printed_or_one_document(bot: Strict) -> None:
    done = bot.run("agent", "enroll", "--name", "a.b", "--ttl", "30m")
    assert done.stdout.startswith("wre2.")
    assert len(done.stdout.split()) == 1
    assert "for a.b, once, until " in done.stderr
    told: dict[str, Any] = json.loads(bot.enroll("--name", "a.b", "--format", "json"))
    assert set(told) == {"token", "name", "expires_at"}


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["--name", "x", "--ttl", "soon"], 2, "--ttl 'soon' must read like 30m, 1h or 7d"),
        (["--name", "x", "--ttl", "nand"], 2, "--ttl 'nand' must read like"),
        (["--name", "x", "--ttl", "infd"], 2, "--ttl 'infd' must read like"),
        (["--name", "x", "--ttl", ""], 2, "must read like"),
        (["--name", "x", "--ttl", "8d"], 1, "7 days at most"),
        (["--name", " "], 1, "an agent needs a name"),
        (["--name", "n" * 81], 1, "at most 80"),
        (["--name", "a b"], 1, "no agent can be called 'a b': use letters"),
        ([], 2, "--name"),
    ],
)
def test_what_cannot_be_minted_is_said_in_one_line(bot: Strict, words: list[str], status: int, reason: str) -> None:
    done = bot.run("agent", "enroll", *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
