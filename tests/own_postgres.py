"""A PostgreSQL of a test's own, which it may stop, kill and start again; never the machine's."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from tests.needs import missing

HOST = "127.0.0.1"


def programs() -> Path:
    """Where PostgreSQL's programs are; Debian keeps the server's off the PATH."""
    found, folders = shutil.which("initdb"), sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and not folders:
        missing("initdb (PostgreSQL's server) is not installed")
    return Path(found).parent if found else folders[-1].parent


class OwnPostgres:
    """A cluster in `folder`, which must be one that "nobody" can reach when root runs the tests."""

    def __init__(self, folder: Path, port: int, *, user: str = "warroom", password: Path | None = None) -> None:
        self._data = folder / "data"
        self._log = folder / "postgres.log"
        self._port = port
        self._user = user
        self._password = password.read_text().strip() if password else ""
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")

    def make(self, options: Sequence[str] = ()) -> None:
        """initdb."""
        more = [*options]
        if self._password:
            file = self._data.parent / "password"
            file.write_text(self._password)
            file.chmod(0o644)
            more.append(f"--pwfile={file}")
        command = [*_as_nobody(), str(programs() / "initdb"), "-D", str(self._data), "-U", self._user, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers."""
        settings = ["-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories="]
        command = [str(programs() / "postgres"), "-D", str(self._data), "-p", str(self._port), *settings, *options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*_as_nobody(), *command], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                self.run("SELECT 1", database="postgres")
                return
            except psycopg.OperationalError:
                time.sleep(0.02)
        raise AssertionError(self._log.read_text())

    def run(self, sql: str, *, database: str) -> None:
        """One statement by the superuser."""
        login = {"user": self._user, "password": self._password or None}
        with psycopg.connect(
            host=HOST, port=self._port, dbname=database, autocommit=True, connect_timeout=3, **login
        ) as connection:
            connection.execute(sql)

    def stop(self) -> None:
        """At once, as a crash would (pg_ctl's mode "immediate"): what was committed is there again after `start`."""
        if self._process is not None:
            self._process.send_signal(3)
            self._process.wait(timeout=30)
            self._process = None


def _as_nobody() -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
