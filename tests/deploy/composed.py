"""docker-compose.yml without containers: the same commands with the same environment, as processes on loopback.

A service's own addresses become free ports of 127.0.0.1, its volumes, secrets and mounted files paths of a temporary
folder; nothing else of what the file says is changed. What an image's own entrypoint does is done by hand: PostgreSQL's
makes the cluster, user and database that its environment names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.own_postgres import OwnPostgres, programs
from tests.ports import free_port
from tests.serving import REPOSITORY

PORTS: Mapping[str, tuple[str, ...]] = {
    "database": ("5432",),
    "nats": ("4222", "8222"),
    "bot-1": ("8800",),
    "bot-2": ("8800",),
    "front": ("8800", "8801"),
}
_ADDRESS = re.compile(rf"(?:\b({'|'.join(PORTS)})([:/]))?(?<!\d)(5432|4222|8222|8800|8801)\b")
_ENTRYPOINTS = {"bot": [sys.executable, "-m", "bot.cli"], "agent": [sys.executable, "-m", "bot.cli", "agent"]}


def compose(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """docker-compose on the repository's file, without anybody's .env."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WARROOM_", "COMPOSE_"))}
    return subprocess.run(
        ["docker-compose", "-f", "docker-compose.yml", *words],
        cwd=REPOSITORY,
        env={**kept, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def model(**env: str) -> dict[str, Any]:
    """The file as docker-compose reads it, with the variables of .env.example."""
    done = compose("--env-file", ".env.example", "config", **env)
    assert done.returncode == 0, done.stderr
    # What it prints is made to be read again: each $ is written twice.
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(done.stdout.replace("$$", "$"))
    for service in found["services"].values():
        service["volumes"] = [_volume(volume) for volume in service.get("volumes") or ()]
        service["ports"] = [_port(port) for port in service.get("ports") or ()]
    return found


def _volume(given: Any) -> str:
    """SOURCE:TARGET:MODE, which version 2 of docker-compose writes as a mapping."""
    if isinstance(given, str):
        return given
    return f"{given['source']}:{given['target']}:{'ro' if given.get('read_only') else 'rw'}"


def _port(given: Any) -> str:
    """ADDRESS:PORT:TARGET/PROTOCOL, likewise."""
    if isinstance(given, str):
        return given
    return f"{given['host_ip']}:{given['published']}:{given['target']}/{given['protocol']}"


class Composed:
    """The services, each started by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = {(name, port): free_port() for name, ports in PORTS.items() for port in ports}
        self.secrets = folder / "secrets"
        subprocess.run([REPOSITORY / "docs/deploy/make-secrets", self.secrets], check=True, capture_output=True)
        self.url = f"http://127.0.0.1:{self.port['front', '8800']}"
        read = model(WARROOM_SECRETS=str(self.secrets), WARROOM_PUBLIC_URL=self.url)
        self.services: dict[str, dict[str, Any]] = read["services"]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._database: OwnPostgres | None = None

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def bot(self, name: str) -> str:
        """The address of one bot, past the front."""
        return f"http://127.0.0.1:{self.port[name, '8800']}"

    def start(self, name: str) -> None:
        """Start a service, without waiting for it."""
        if name == "database":
            self._start_database()
            return
        with self._log(name) as log:
            self._processes[name] = subprocess.Popen(
                self._command(name), cwd=self._place(name), env=self._environ(name), stdout=log, stderr=log
            )

    def run(self, name: str) -> None:
        """Run a service that ends by itself."""
        with self._log(name) as log:
            command, env = self._command(name), self._environ(name)
            done = subprocess.run(
                command, cwd=self._place(name), env=env, stdout=log, stderr=log, timeout=120, check=False
            )
        assert done.returncode == 0, self.log(name)

    def healthy(self, name: str) -> bool:
        """What the service's own health check says."""
        kind, *words = self.services[name]["healthcheck"]["test"]
        words = [self._here(word, name) for word in words]
        command = (
            ["sh", "-c", words[0]]
            if kind == "CMD-SHELL"
            else [sys.executable if words[0] == "python" else words[0], *words[1:]]
        )
        return (
            subprocess.run(command, env=self._environ(name), capture_output=True, timeout=60, check=False).returncode
            == 0
        )

    def until_healthy(self, *names: str, within_s: float = 120.0) -> None:
        deadline = time.monotonic() + within_s
        for name in names:
            while not self.healthy(name):
                assert time.monotonic() < deadline, f"{name} is not healthy: {self.log(name)}"
                time.sleep(0.2)

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait(timeout=60)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(timeout=60)
        if self._database is not None:
            self._database.stop()

    def _log(self, name: str) -> Any:
        return (self.folder / f"{name}.log").open("ab")

    def _place(self, name: str) -> Path:
        place = self.folder / "in" / name
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _command(self, name: str) -> list[str]:
        service = self.services[name]
        target = service.get("build", {}).get("target", "")
        words = [*_ENTRYPOINTS.get(target, []), *_words(service.get("entrypoint")), *_words(service.get("command"))]
        return [self._here(word, name) for word in words]

    def _environ(self, name: str) -> dict[str, str]:
        given = {k: self._here(str(v), name) for k, v in self.services[name].get("environment", {}).items()}
        path = f"{programs()}:{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
        return {"PATH": path, "PYTHONPATH": str(REPOSITORY), "LANG": "C.UTF-8", **given}

    def _here(self, text: str, name: str) -> str:
        """The text as it must read outside of the container."""
        for inside, outside in self._mounts(name).items():
            text = text.replace(inside, str(outside))
        return self._addresses(text, name)

    def _addresses(self, text: str, name: str) -> str:
        def port(found: re.Match[str]) -> str:
            host, between, number = found.groups()
            there = self.port.get((host or name, number))
            return found.group() if there is None else f"127.0.0.1{between}{there}" if host else str(there)

        return _ADDRESS.sub(port, text).replace("0.0.0.0", "127.0.0.1")

    def _mounts(self, name: str) -> dict[str, Path]:
        found = {
            f"/run/secrets/{s if isinstance(s, str) else s['source']}": Path()
            for s in self.services[name].get("secrets", ())
        }
        found = {inside: self.secrets / inside.rpartition("/")[2] for inside in found}
        for volume in self.services[name].get("volumes", ()):
            source, target, *_ = volume.split(":")
            found[target] = (
                self._copy(Path(source), name) if source.startswith("/") else self.folder / "volumes" / source
            )
        for folder in found.values():
            if folder.parent.name == "volumes":
                folder.mkdir(parents=True, exist_ok=True)
        return found

    def _copy(self, source: Path, name: str) -> Path:
        """What is mounted, with addresses rewritten as in the command."""
        copy = self.folder / "mounted" / name / source.name
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy)
            else:
                copy.write_text(self._addresses(source.read_text(), name))
        return copy

    def _start_database(self) -> None:
        env = self._environ("database")
        folder = self._mounts("database")["/var/lib/postgresql/data"]
        for place in (self.folder, folder.parent, folder):
            place.chmod(0o755)
        own = OwnPostgres(
            folder,
            self.port["database", "5432"],
            user=env["POSTGRES_USER"],
            password=Path(env["POSTGRES_PASSWORD_FILE"]),
        )
        own.make(env["POSTGRES_INITDB_ARGS"].split())
        own.start()
        own.run(f"CREATE DATABASE {env['POSTGRES_DB']}", database="postgres")
        self._database = own


def _words(given: Any) -> list[str]:
    return given.split() if isinstance(given, str) else [str(word) for word in given or ()]


@contextmanager
def composed(folder: Path) -> Iterator[Composed]:
    """All services up and healthy, in the order the file asks for; all ended afterwards."""
    up = Composed(folder)
    try:
        for name in ("database", "nats"):
            up.start(name)
        (folder / "database.log").touch()
        up.until_healthy("database", "nats")
        up.run("upgrade")
        others = ("bot-1", "bot-2", "front", "agent-1", "agent-2")
        for name in others:
            up.start(name)
        up.until_healthy(*others)
        yield up
    finally:
        up.stop()
