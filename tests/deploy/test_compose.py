"""docker-compose.yml: valid, hardened, and what it says is known to run (as processes; there is no engine here)."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.composed import Composed, compose, composed, model
from tests.needs import need_tool
from tests.serving import REPOSITORY

pytestmark = pytest.mark.timeout(300)
SERVICES = {"database", "upgrade", "nats", "bot-1", "bot-2", "front", "agent-1", "agent-2"}
DOCKERFILE = (REPOSITORY / "docs/deploy/Dockerfile").read_text()


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    need_tool("docker-compose")
    found: dict[str, dict[str, Any]] = model()["services"]
    return found


def test_the_file_is_one_that_compose_takes_with_and_without_variables() -> None:
    need_tool("docker-compose")
    for words in (["config", "-q"], ["--env-file", ".env.example", "config", "-q"]):
        done = compose(*words)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_example_of_variables_says_what_the_file_does_without_them() -> None:
    need_tool("docker-compose")
    assert compose("config").stdout == compose("--env-file", ".env.example", "config").stdout


def test_each_service_is_pinned_limited_watched_and_comes_again(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == SERVICES
    for name, service in services.items():
        assert re.search(r":\d+\.\d+\.\d+|:\d+\.\d+-", service["image"]), f"{name}: {service['image']} is no version"
        assert service["mem_limit"]
        assert service["cpus"]
        assert service["pids_limit"]
        assert service["logging"]["options"]["max-size"]
        assert "no-new-privileges:true" in service["security_opt"]
        once = name == "upgrade"
        assert service["restart"] == ("no" if once else "unless-stopped")
        assert (service["healthcheck"]["test"] == ["NONE"]) is once


def test_only_the_front_is_reached_from_outside_and_agents_do_not_reach_the_database(
    services: dict[str, dict[str, Any]],
) -> None:
    assert {name for name, service in services.items() if service.get("ports")} == {"front"}
    assert services["front"]["ports"] == ["127.0.0.1:8800:8800/tcp"]
    assert {name for name, service in services.items() if "data" in service["networks"]} == {
        "database",
        "upgrade",
        "bot-1",
        "bot-2",
    }
    assert model()["networks"]["data"]["internal"] is True


def test_no_secret_is_in_an_environment_or_a_command_and_no_two_bots_share_a_spool(
    services: dict[str, dict[str, Any]],
) -> None:
    for service in services.values():
        for name in service.get("environment", {}):
            assert name.endswith("_FILE") or not re.search("PASSWORD|TOKEN|SECRET|KEY", name), name
    assert services["bot-1"]["volumes"][-1] == "spool-1:/var/lib/warroom:rw"
    assert services["bot-2"]["volumes"][-1] == "spool-2:/var/lib/warroom:rw"


def test_secrets_are_made_once_and_only_their_owner_gets_to_them(tmp_path: Path) -> None:
    script, folder = REPOSITORY / "docs/deploy/make-secrets", tmp_path / "secrets"
    subprocess.run([script, folder], check=True, capture_output=True)
    first = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    subprocess.run([script, folder], check=True, capture_output=True)
    assert first == {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    assert set(first) == {Path(secret["file"]).name for secret in model()["secrets"].values()}
    assert all(re.fullmatch("w[0-9a-f]{48}\n", text) for text in first.values())
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_image_is_pinned_runs_as_nobody_and_gets_what_the_wheel_needs() -> None:
    assert "NOT BUILT" in DOCKERFILE
    assert re.findall(r"^FROM python:3\.11\.\d+-slim-bookworm AS (\w+)$", DOCKERFILE, re.MULTILINE) == ["build", "base"]
    assert re.findall(r"^FROM base AS (\w+)$", DOCKERFILE, re.MULTILINE) == ["agent", "bot"]
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["65532:65532"]
    copied = {w for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for w in line.split()}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", "constraints.txt", project["project"]["readme"], *project["project"]["license-files"]}
    assert needed | {*wheel["packages"], *wheel["force-include"]} <= copied
    let_in = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == let_in
    assert all((REPOSITORY / path).exists() for path in copied)


# --- as processes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def up() -> Iterator[Composed]:
    for tool in ("docker-compose", "nats-server", "haproxy", "wget", "openssl"):
        need_tool(tool)
    # Not tmp_path, into which PostgreSQL's user cannot look.
    with tempfile.TemporaryDirectory(prefix="warroom-compose-") as folder, composed(Path(folder)) as running:
        yield running


@pytest.fixture
def front(up: Composed) -> Iterator[httpx.Client]:
    auth = {"Authorization": f"Bearer {up.secret('api_token')}"}
    with httpx.Client(base_url=up.url, headers=auth, trust_env=False, timeout=60) as client:
        yield client


def test_both_bots_answer_behind_one_address_and_both_know_both_agents(up: Composed, front: httpx.Client) -> None:
    declared = front.post("/api/v1/commands", json={"text": "/incident declare SMS is down", "lang": "en"})
    assert declared.status_code == 200, declared.text
    seen: dict[str, list[str]] = {}
    for _ in range(20):
        front.cookies.clear()
        answer = front.get("/api/v1/incidents")
        seen.setdefault(answer.headers["x-warroom-bot"], []).append(answer.json()[0]["id"])
    assert {bot: set(ids) for bot, ids in seen.items()} == {"bot-1": {"INC-1"}, "bot-2": {"INC-1"}}
    for bot in ("bot-1", "bot-2"):
        _until_both_agents_are_ready(front, up.bot(bot))


def _until_both_agents_are_ready(client: httpx.Client, bot: str) -> None:
    deadline, rows = time.monotonic() + 60, []
    while rows != [("here-1", "ready"), ("here-2", "ready")]:
        assert time.monotonic() < deadline, rows
        time.sleep(0.1)
        rows = [(row["name"], row["state"]) for row in client.get(f"{bot}/api/v1/agents").json()]


def test_a_diag_may_be_typed_at_either_bot(up: Composed, front: httpx.Client) -> None:
    text = "playbook: here\ntitle: here\ntargets: {api: http://127.0.0.1:9}\nprobe:\n  - http: {to: api}\n"
    for bot in ("bot-1", "bot-2"):
        run = front.post(f"{up.bot(bot)}/api/v1/diag", json={"yaml": text}).json()["run"]
        document = front.get(f"/api/v1/runs/{run}", params={"wait": 30}).json()["document"]
        assert {seen["agent"] for seen in document["observations"]} == {"here-1", "here-2"}


def test_a_browser_at_one_bot_sees_what_is_typed_at_the_other(up: Composed, front: httpx.Client) -> None:
    browser = httpx.Client(base_url=up.bot("bot-2"), trust_env=False, timeout=60)
    login = {"token": up.secret("api_token"), "name": "lin", "next": "/"}
    with browser:
        assert browser.post("/login", data=login, headers={"Origin": up.bot("bot-2")}).status_code == 303
        with browser.stream("GET", "/console/events", params={"room": "console:main"}) as events:
            lines = events.iter_lines()
            next(lines)
            front.post(f"{up.bot('bot-1')}/api/v1/commands", json={"text": "/note seen from afar", "lang": "en"})
            assert any("seen from afar" in line for line in lines if line.startswith("data:"))


def test_a_bot_that_is_killed_is_not_missed_and_is_taken_back(up: Composed, front: httpx.Client) -> None:
    up.kill("bot-1")
    for n in range(30):
        front.cookies.clear()
        answer = front.post("/api/v1/commands", json={"text": f"/note number {n}", "lang": "en"})
        assert (answer.status_code, answer.headers["x-warroom-bot"]) == (200, "bot-2")
    assert not up.healthy("bot-1")
    assert up.healthy("front")
    entries = front.get("/api/v1/incidents/INC-1/timeline").json()
    assert len([entry for entry in entries if entry["kind"] == "note" and "number" in entry["en"]]) == 30
    up.start("bot-1")
    up.until_healthy("bot-1")
    deadline = time.monotonic() + 60
    while front.get("/healthz").headers["x-warroom-bot"] != "bot-1":
        front.cookies.clear()
        assert time.monotonic() < deadline, "the front does not take it back"
        time.sleep(0.1)
    _until_both_agents_are_ready(front, up.bot("bot-1"))


def test_without_any_bot_the_front_says_so(up: Composed, front: httpx.Client) -> None:
    up.kill("bot-1")
    up.kill("bot-2")
    deadline = time.monotonic() + 60
    while up.healthy("front"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert front.get("/healthz").status_code == 503
    for bot in ("bot-1", "bot-2"):
        up.start(bot)
    up.until_healthy("bot-1", "bot-2", "front")
