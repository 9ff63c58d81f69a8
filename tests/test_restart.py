"""A bot that is killed in the middle of its work, and the one that is started after it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.serving import API_TOKEN, Serving, environ, free_port, serving

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
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=auth, trust_env=False) as client:
                _until_up(client)
                yield client, process
        finally:
            process.terminate()
            process.wait(timeout=20)


def _until_up(client: httpx.Client) -> None:
    for _ in range(300):
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
        deadline = time.monotonic() + 15
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
    up.processes[0].wait(timeout=20)
