"""A PostgreSQL of the harness' own, which is crashed and started again; never the machine's."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.needs import missing
from tests.ports import free_port

SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
shared_buffers = 16MB
autovacuum = off
# A crash of the server, which is what is tested, loses nothing that was handed to the kernel.
fsync = off
"""


class Cluster:
    """One server in a folder of its own; its superuser is trusted on loopback."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="warroom-faults-pg-"))
        self.port = free_port()
        self.crashes = 0
        self._data = self.folder / "data"
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._do(
            "initdb", "-D", str(self._data), "-U", "boss", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"
        )
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS + f"port = {self.port}\n")
        self.start()
        atexit.register(self.close)

    @property
    def url(self) -> str:
        return f"postgresql://boss@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """Of the server's first process, 0 while it is down; the others are its children."""
        try:
            return int((self._data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return 0

    def start(self) -> None:
        self._do("pg_ctl", "-D", str(self._data), "-w", "-l", str(self.folder / "log"), "start")

    def crash(self) -> None:
        """As a kill of all its processes: nothing is written down, recovery follows at the next start."""
        self.crashes += 1
        self._do("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")

    def close(self) -> None:
        if not self.folder.exists():
            return
        self._do("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _do(self, program: str, *words: str, check: bool = True) -> None:
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        log = self.folder / "said"
        with log.open("ab") as said:
            done = subprocess.run(
                [*as_user, str(programs() / program), *words], stdout=said, stderr=said, cwd="/", check=False
            )
        if check and done.returncode:
            raise RuntimeError(f"{program}: {log.read_text()[-2000:]}")


def programs() -> Path:
    """Where the server's programs are; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and not folders:
        missing("initdb (PostgreSQL's server) is not installed")
    return Path(found).parent if found else folders[-1].parent
