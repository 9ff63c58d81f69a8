"""A bot that is killed in the middle of its work, and the one that is started after it."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port
from tests.serving import API_TOKEN, Serving, environ, serving, warroom
from tests.store.databases import postgres_database

pytestmark = pytest.mark.timeout(120)


@contextmanager
def a_site_that_never_answers() -> Iterator[int]:
    """Accepts connections and says nothing."""
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()


@contextmanager
def bot_alone(folder: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """`warroom serve` on a SQLite file that is there already."""
    port = free_port()
    (folder / "warroom.toml").write_text(f'[server]\nlisten = "127.0.0.1:{port}"\nlanguage = "en"\n')
    with (folder / "again.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.cli", "serve"], cwd=folder, env=environ(WARROOM_API_TOKEN=API_TOKEN), stderr=log
        )
        try:
            auth = {"Authorization": f"Bearer {API_TOKEN}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=auth, trust_env=False, timeout=30) as client:
                _until_up(client)
                yield client, process
        finally:
            process.terminate()
            process.wait(timeout=60)


def _until_up(client: httpx.Client) -> None:
    for _ in range(900):
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the bot does not come up")


def test_a_run_and_a_watch_that_a_kill_cut_off_are_ended_and_gone_on_with(tmp_path: Path) -> None:
    with a_site_that_never_answers() as port, serving(tmp_path) as up:
        _declare(up)
        text = (
            f"playbook: slow\ntitle: slow\ntargets: {{api: http://127.0.0.1:{port}}}\nprobe:\n  - http: {{to: api}}\n"
        )
        run = httpx.post(
            f"{up.url}/api/v1/diag",
            json={"yaml": text},
            headers={"Authorization": f"Bearer {API_TOKEN}"},
            trust_env=False,
        ).json()["run"]
        _kill_server(up)
    with bot_alone(tmp_path) as (client, _):
        deadline = time.monotonic() + 60
        while not client.get(f"/api/v1/runs/{run}").json()["finished"]:
            assert time.monotonic() < deadline, "the run is never ended"
            time.sleep(0.5)
        assert client.get(f"/api/v1/runs/{run}").json()["document"] is None
        entries = client.get("/api/v1/incidents/INC-1/timeline").json()
        assert [e["data"] for e in entries if e["run"] == run and e["kind"] == "probes"] == [{"interrupted": True}]
        stopped = client.post("/api/v1/commands", json={"text": "/watch stop", "lang": "en"}).json()
        assert "stopped watching" in json.dumps(stopped["messages"])


def _declare(up: Serving) -> None:
    assert up.run("command", "/incident declare SMS is down").returncode == 0
    assert up.run("command", "/watch sms").returncode == 0


def _kill_server(up: Serving) -> None:
    up.processes[0].send_signal(signal.SIGKILL)
    up.processes[0].wait(timeout=60)


@contextmanager
def bot_that_pages(
    folder: Path, phone: str, port: int, database: str = "sqlite:///warroom.db"
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """`warroom serve` with one phone provider, two people, and leases short enough for a test."""
    (folder / "warroom.toml").write_text(
        f'[server]\nlisten = "127.0.0.1:{port}"\nlanguage = "en"\n[delivery]\nlease_s = 3\npoll_s = 0.2\n'
        f'[database]\nurl = "{database}"\n'
        f'[[pagers]]\nname = "phone"\nkind = "webhook"\nurl = "{phone}"\n'
        '[[people]]\nname = "lin"\nphone = "+8613800000001"\n[[people]]\nname = "chen"\nphone = "+8613800000002"\n'
    )
    env = environ(WARROOM_API_TOKEN=API_TOKEN, WARROOM_PAGER_PHONE_SECRET="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    with (folder / "paging.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "bot.cli", "serve"], cwd=folder, env=env, stderr=log)
        try:
            auth = {"Authorization": f"Bearer {API_TOKEN}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=auth, trust_env=False, timeout=30) as client:
                _until_up(client)
                yield client, process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(timeout=60)


class Provider:
    """A phone provider in a thread of its own; `on_call` is what happens once it has placed a call."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.on_call: list[Callable[[str], None]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                provider.keys.append(self.headers["idempotency-key"])
                if provider.on_call:
                    provider.on_call.pop(0)(self.path)
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/call"

    def until(self, calls: int) -> list[str]:
        deadline = time.monotonic() + 60
        while len(self.keys) < calls:
            assert time.monotonic() < deadline, f"only {self.keys}"
            time.sleep(0.05)
        return self.keys


def test_a_kill_between_post_and_record_rings_under_the_same_key_and_the_timer_lives_on(tmp_path: Path) -> None:
    provider, port = Provider(), free_port()
    with bot_that_pages(tmp_path, provider.url, port) as (client, process):
        provider.on_call = [lambda _path: process.kill()]
        with suppress(httpx.TransportError):
            client.post("/api/v1/commands", json={"text": "/page", "lang": "en"}, timeout=30)
        provider.until(1)
        process.wait(timeout=60)
    with bot_that_pages(tmp_path, provider.url, port) as (client, process):
        assert provider.until(2) == ["INC-1:1:lin:1"] * 2
        _until_recorded(client, 1)
        process.kill()
        process.wait(timeout=60)
    with sqlite3.connect(tmp_path / "warroom.db") as database:
        # Nobody was there for twenty minutes: four more steps are overdue.
        database.execute("UPDATE escalations SET due_at = datetime(due_at, '-20 minutes')")
    with bot_that_pages(tmp_path, provider.url, port) as (client, _):
        assert sorted(provider.until(4)[2:]) == ["INC-1:4:chen:1", "INC-1:5:lin:1"]
        steps = [e for e in _timeline(client) if e["kind"] == "escalation"][-1]
        assert "at once" in steps["en"]
        assert len(steps["data"]["pages"]) == 2
        client.post("/api/v1/commands", json={"text": "/ack", "lang": "en"})
        time.sleep(1.5)
        assert len(provider.keys) == 4
    provider.server.shutdown()


def test_of_two_bots_on_one_postgresql_one_is_killed_and_the_other_goes_on(tmp_path: Path) -> None:
    provider = Provider()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with postgres_database() as url:
        upgraded = warroom("db", "upgrade", cwd=tmp_path, WARROOM_DATABASE_URL=url)
        assert upgraded.returncode == 0, upgraded.stderr
        first = bot_that_pages(tmp_path / "a", f"{provider.url}/a", free_port(), url)
        second = bot_that_pages(tmp_path / "b", f"{provider.url}/b", free_port(), url)
        with first as (one, a), second as (two, b):
            # Whoever of them makes the call dies of it.
            provider.on_call = [lambda path: (a if path.endswith("/a") else b).kill()]
            with suppress(httpx.TransportError):
                one.post("/api/v1/commands", json={"text": "/page", "lang": "en"}, timeout=30)
            assert provider.until(2) == ["INC-1:1:lin:1"] * 2
            other = one if a.poll() is None else two
            assert (a.poll() is None) is not (b.poll() is None)
            _until_recorded(other, 1)
            other.post("/api/v1/commands", json={"text": "/escalate", "lang": "en"})
            assert provider.until(3)[2] == "INC-1:2:chen:1"
            other.post("/api/v1/commands", json={"text": "/ack", "lang": "en"})
            assert [e["kind"] for e in _timeline(other)].count("ack") == 1
    provider.server.shutdown()


def _timeline(client: httpx.Client) -> list[dict[str, Any]]:
    return list(client.get("/api/v1/incidents/INC-1/timeline").json())


def _until_recorded(client: httpx.Client, calls: int) -> None:
    for _ in range(300):
        if [e["data"]["state"] for e in _timeline(client) if e["kind"] == "page"] == ["sent"] * calls:
            return
        time.sleep(0.1)
    raise AssertionError(_timeline(client))
