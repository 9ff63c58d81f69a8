"""A bot that is started before its database: it waits, says so, and goes on; a wrong configuration ends it at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.adapters.config import Config
from bot.app.redact import Redactor
from bot.bootstrap import open_store
from bot.cli import FAILED, WRONG_USE, main
from bot.domain.errors import StoreUnavailable
from tests.own_postgres import OwnPostgres
from tests.ports import free_port
from tests.serving import environ, warroom

USE_S = 60


@pytest.fixture
def cluster() -> Iterator[tuple[OwnPostgres, str]]:
    """A PostgreSQL that is made and not started, and its URL."""
    with tempfile.TemporaryDirectory(prefix="warroom-late-") as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "pg"
        folder.mkdir()
        port = free_port()
        own = OwnPostgres(folder, port)
        own.make(["--auth=trust", "--no-sync"])
        try:
            yield own, f"postgresql://warroom@127.0.0.1:{port}/postgres"
        finally:
            own.stop()


def test_a_bot_that_is_up_before_its_database_waits_for_it_and_says_so(
    cluster: tuple[OwnPostgres, str], tmp_path: Path
) -> None:
    own, url = cluster
    (tmp_path / "warroom.toml").write_text(f'[server]\nlisten = "127.0.0.1:0"\n[database]\nurl = "{url}"\n')
    own.start()
    assert warroom("db", "upgrade", cwd=tmp_path).returncode == 0
    own.stop()
    log = tmp_path / "serve.log"
    with log.open("wb") as said:
        bot = subprocess.Popen(
            [sys.executable, "-m", "bot.cli", "serve"], cwd=tmp_path, env=environ(), stdout=said, stderr=said
        )
    try:
        said_within(log, "the database cannot be reached", bot)
        assert "waiting for it for" in log.read_text()
        own.start()
        said_within(log, "serves http://127.0.0.1:", bot)
    finally:
        bot.terminate()
        bot.wait(timeout=USE_S)


def said_within(log: Path, words: str, bot: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + USE_S
    while words not in log.read_text():
        assert bot.poll() is None, f"it ended with {bot.returncode}: {log.read_text()}"
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_a_database_that_stays_away_ends_the_bot_with_the_status_that_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"postgresql://warroom@127.0.0.1:{free_port()}/postgres"
    (tmp_path / "warroom.toml").write_text(f'[server]\nlisten = "127.0.0.1:0"\n[database]\nurl = "{url}"\n')
    monkeypatch.setattr("bot.bootstrap.DATABASE_S", 0.5)
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--config", str(tmp_path / "warroom.toml")])
    assert ended.value.code == FAILED
    assert "waited 0.5 s for it" in capsys.readouterr().err


def test_a_database_without_tables_is_a_mistake_that_no_restart_mends(
    cluster: tuple[OwnPostgres, str], tmp_path: Path
) -> None:
    own, url = cluster
    own.start()
    (tmp_path / "warroom.toml").write_text(f'[server]\nlisten = "127.0.0.1:0"\n[database]\nurl = "{url}"\n')
    done = warroom("serve", cwd=tmp_path)
    assert done.returncode == WRONG_USE
    assert "run `warroom db upgrade`" in done.stderr


async def test_a_locked_sqlite_file_is_waited_for_as_well(tmp_path: Path) -> None:
    config = Config(database_url=f"sqlite:///{tmp_path / 'warroom.db'}")
    await (await open_store(config, Redactor())).close()
    other = sqlite3.connect(tmp_path / "warroom.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable, match="waited"):
        await open_store(config, Redactor(), wait_s=0.1)
    other.execute("ROLLBACK")
    other.close()
    await (await open_store(config, Redactor())).close()
