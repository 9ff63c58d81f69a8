"""Database servers of a test's own, small and with low limits; and where the machine's own are."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from bot.lab.pki import Authority
from tests.needs import missing, need_tool
from tests.ports import free_port
from tests.probes.servers import DAY, HOST

T = TypeVar("T")
SECRET = "canary-Hunter2-%s-canary"
"""The password of every login here; it must never show up in a result."""


@dataclass(frozen=True)
class Database:
    """A server that listens at `address`:`port`; its files are in `folder`."""

    address: str
    port: int
    folder: Path | None = None

    def login(self, kind: str, folder: Path, *, user: str = "", secret: str = "") -> str:
        """The policy's login "orders" for this server, with SECRET unless another one is given."""
        (folder / "secret").write_text(secret or SECRET)
        place = f"{self.address}:{self.port}"
        return f'logins: {{orders: {{kind: {kind}, for: "{place}", user: "{user}", secret_file: secret}}}}\n'

    @property
    def params(self) -> dict[str, object]:
        return {"address": self.address, "port": self.port}


def machine(variable: str, default: str) -> Database:
    """The machine's own server."""
    parts = urlsplit(f"//{os.environ.get(variable, default)}")
    found = Database(parts.hostname or "", parts.port or 0)
    try:
        socket.create_connection((found.address, found.port), timeout=2).close()
    except OSError as exc:
        missing(f"no server for tests ({variable}): {exc}")
    return found


@contextlib.asynccontextmanager
async def scripted(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Database]:
    """A hostile or odd server that does `serve` for each connection."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(one, HOST, 0) as server:
        yield Database(HOST, server.sockets[0].getsockname()[1])


def certificate(authority: Authority, folder: Path, name: str = "db.test") -> Path:
    """`folder`/tls.crt and tls.key for `name`."""
    leaf = authority.issue([name], begins=-DAY, ends=30 * DAY)
    (folder / "tls.crt").write_bytes(leaf.certificate)
    (folder / "tls.key").write_bytes(leaf.key)
    (folder / "tls.key").chmod(0o600)
    return folder


def patiently(connect: Callable[[], T], refused: type[Exception]) -> T:
    """Connect, again while the server is still clearing up after those who have just left."""
    end = time.monotonic() + 30
    while True:
        try:
            return connect()
        except refused:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def _folder(*, owner: str = "") -> Iterator[Path]:
    """Not pytest's own: a server that must not be root could not enter that."""
    with tempfile.TemporaryDirectory(prefix="warroom-db-") as name:
        if owner and os.geteuid() == 0:
            shutil.chown(name, owner)
        yield Path(name)


@contextlib.contextmanager
def _running(command: Sequence[object], port: int, folder: Path, word: str = "") -> Iterator[Database]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
    try:
        _await(process, port, folder / "log", word)
        yield Database(HOST, port, folder)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path, word: str) -> None:
    """Until the log has the word and the port listens, by the kernel's table: a connection would be counted."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text() and word in log.read_text():
            return
        time.sleep(0.02)
    raise TimeoutError(f"the server did not start: {log.read_text()[-500:]}")


@contextlib.contextmanager
def redis(*options: str, data: Path | None = None) -> Iterator[Database]:
    """A Redis; `data` keeps its dump."""
    need_tool("redis-server")
    with _folder() as folder:
        port = free_port(HOST)
        command = ["redis-server", "--bind", HOST, "--port", port, "--dir", data or folder, "--protected-mode", "no"]
        with _running([*command, *options], port, folder) as server:
            yield server


def _small(data: Path) -> list[str]:
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    engine = ["--skip-innodb", "--default-storage-engine=Aria", "--aria-log-file-size=8M"]
    return ["--no-defaults", f"--datadir={data}", *engine, *as_root]


@functools.cache
def _installed() -> tempfile.TemporaryDirectory[str]:
    """A fresh data folder, made once."""
    kept = tempfile.TemporaryDirectory(prefix="warroom-db-")
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(["mariadb-install-db", *_small(Path(kept.name)), *options], check=True, capture_output=True)
    return kept


@contextlib.contextmanager
def mariadb(*options: str, sql: str = "") -> Iterator[Database]:
    """A MariaDB without InnoDB; `sql` is run at its start. Its maximum of connections is the least there can be."""
    need_tool("mariadbd")
    need_tool("mariadb-install-db")
    with _folder() as folder:
        shutil.copytree(_installed().name, folder / "data")
        (folder / "init.sql").write_text(sql)
        port = free_port(HOST)
        listen = [f"--bind-address={HOST}", f"--port={port}", f"--socket={folder}/sock", f"--pid-file={folder}/pid"]
        limits = ["--max-connections=10", "--performance-schema=ON", f"--init-file={folder}/init.sql"]
        with _running(
            ["mariadbd", *_small(folder / "data"), *listen, *limits, *options], port, folder, "ready for connections"
        ) as server:
            yield server


def asked(server: Database, sql: str) -> list[list[str]]:
    """What root of a MariaDB reads through the UNIX socket."""
    command = ["mariadb", "--no-defaults", "-uroot", f"--socket={server.folder}/sock", "-N", "-B", "-e", sql]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


@contextlib.contextmanager
def postgres(
    *options: str, auth: str = "scram-sha-256", standby: bool = False, tls: Authority | None = None
) -> Iterator[Database]:
    """A PostgreSQL with six connections, three of them reserved; its superuser is `boss` with SECRET."""
    bin_ = _postgres_bin()
    with _folder(owner="nobody") as folder:
        password = folder / "password"
        password.write_text(SECRET)
        as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        data = folder / "data"
        make = [bin_ / "initdb", "-D", data, "-U", "boss", "-N", f"--pwfile={password}", f"--auth={auth}"]
        password.chmod(0o644)
        done = subprocess.run([*as_nobody, *map(str, make)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if standby:
            (data / "standby.signal").touch()
        settings = {"listen_addresses": HOST, "unix_socket_directories": "", "max_connections": "6", "fsync": "off"}
        settings |= {"max_wal_senders": "0", "autovacuum": "off", "superuser_reserved_connections": "3"}
        if tls:
            certificate(tls, data)
            for name in ("tls.crt", "tls.key"):
                if os.geteuid() == 0:
                    shutil.chown(data / name, "nobody")
            settings |= {"ssl": "on", "ssl_cert_file": "tls.crt", "ssl_key_file": "tls.key"}
        port = free_port(HOST)
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = [*as_nobody, bin_ / "postgres", "-D", data, "-p", port, *words, *options]
        word = "consistent recovery state" if standby else "ready to accept connections"
        with _running(command, port, folder, word) as server:
            yield server


def _postgres_bin() -> Path:
    """Debian keeps the server's programs off the PATH."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and not folders:
        missing("initdb (PostgreSQL's server) is not installed")
    return Path(found).parent if found else folders[-1].parent
