"""The bot as docs/deploy installs it: its unit is sound, nginx lets agents and people through, PostgreSQL keeps it."""

from __future__ import annotations

import re
import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy.engine import make_url

from bot.cli import WRONG_USE, parse
from bot.lab.pki import Authority
from tests.needs import missing, need_tool
from tests.ports import free_port
from tests.serving import API_TOKEN, serving, warroom
from tests.store.databases import SERVER
from tests.wire.peers import HOST, hub, port_of, served, until
from tests.wire.real_agents import agent_process

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"


def test_the_bots_unit_calls_a_command_that_exists_and_is_not_started_anew_on_wrong_use() -> None:
    unit = (DEPLOY / "warroom.service").read_text()
    (command,) = re.findall(r"^ExecStart=\S+/warroom (.*)$", unit, re.MULTILINE)
    assert parse(command.split()).config == Path("/etc/warroom/warroom.toml")
    assert f"RestartPreventExitStatus={WRONG_USE}\n" in unit


# --- nginx -------------------------------------------------------------------------------------------------------


def site(folder: Path, *, port: int, behind: str) -> Path:
    """The shipped site on these ports, with a certificate for 127.0.0.1, as nginx would include it."""
    leaf = (authority := Authority()).issue(["127.0.0.1"])
    (folder / "fullchain.pem").write_bytes(leaf.certificate)
    (folder / "privkey.pem").write_bytes(leaf.key)
    (folder / "ca.pem").write_bytes(authority.certificate)
    text = (DEPLOY / "nginx.conf").read_text().replace("/etc/ssl/warroom", str(folder))
    text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.MULTILINE)
    text = text.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    text = text.replace("listen 443 ", f"listen 127.0.0.1:{port} ").replace("127.0.0.1:8800;", f"{behind};")
    (folder / "site.conf").write_text(text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {own} include {folder}/site.conf; }}\n"
    )
    return path


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def nginx(folder: Path, *, behind: str) -> Iterator[int]:
    """A real nginx with the shipped site before the bot at `behind`; yields its TLS port."""
    need_tool("nginx")
    port = free_port()
    words = ["nginx", "-c", str(site(folder, port=port, behind=behind)), "-p", str(folder), "-e", "stderr"]
    tried = subprocess.run([*words, "-t"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    process = subprocess.Popen(words)
    try:
        due = time.monotonic() + 60
        while not listens(port):  # its pid file tells nothing: `nginx -t` writes one, too
            assert process.poll() is None, f"nginx has ended with status {process.returncode}"
            assert time.monotonic() < due, "nginx does not come up"
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(60)


async def test_an_agent_comes_through_the_shipped_nginx(tmp_path: Path) -> None:
    the_hub = hub()
    async with served(the_hub) as url:
        with nginx(tmp_path, behind=f"{HOST}:{port_of(url)}") as port:
            ca = str(tmp_path / "ca.pem")
            async with agent_process(f"wss://127.0.0.1:{port}", tmp_path, WARROOM_HUB_CA_FILE=ca):
                await until(lambda: [a.state for a in the_hub.agents()] == ["ready"], 60)


@pytest.mark.timeout(120)
def test_people_come_through_it_too_and_the_metrics_stay_inside(tmp_path: Path) -> None:
    with serving(tmp_path) as bot, nginx(tmp_path, behind=bot.url.removeprefix("http://")) as port:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusted) as people:
            assert people.get("/readyz").status_code == 200
            assert people.get("/login").status_code == 200
            assert people.get("/metrics").status_code == 404
            # The bot believes that the browser's page is its own: nginx passes the name on with its port.
            own = {"Origin": f"https://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
            answer = people.post("/login", data={"token": API_TOKEN, "name": "lin"}, headers=own)
            assert (answer.status_code, answer.headers["location"]) == (303, "/")


# --- PostgreSQL --------------------------------------------------------------------------------------------------


@pytest.fixture
def installed() -> Iterator[str]:
    """The URL of a database as docs/deploy/postgresql.sql makes it, under a name of this test's own."""
    name = f"warroom_{secrets.token_hex(6)}"
    sql = re.sub(r"\bwarroom\b", name, re.sub(r"--.*", "", (DEPLOY / "postgresql.sql").read_text()))
    try:
        root = psycopg.connect(SERVER, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as exc:
        missing(f"no PostgreSQL for tests (WARROOM_TEST_PG): {exc}")
    with root:
        try:
            for statement in filter(str.strip, sql.split(";")):
                root.execute(statement)
            yield make_url(SERVER).set(database=name, username=name).render_as_string(hide_password=False)
        finally:
            root.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            root.execute(f"DROP ROLE IF EXISTS {name}")


def test_the_role_of_the_shipped_sql_may_make_and_upgrade_the_tables(installed: str, tmp_path: Path) -> None:
    for _ in range(2):
        done = warroom("db", "upgrade", cwd=tmp_path, WARROOM_DATABASE_URL=installed)
        assert (done.returncode, done.stdout) == (0, "database: up to date\n"), done.stderr


def test_a_backup_comes_back_into_an_empty_database_of_the_same_role(installed: str, tmp_path: Path) -> None:
    for tool in ("pg_dump", "pg_restore"):
        need_tool(tool)
    assert warroom("db", "upgrade", cwd=tmp_path, WARROOM_DATABASE_URL=installed).returncode == 0
    name, root = make_url(installed).database, make_url(SERVER)
    where = ["-h", str(root.host), "-p", str(root.port), "-U", str(root.username)]
    dump = tmp_path / "warroom.dump"
    subprocess.run(["pg_dump", *where, "--format=custom", f"--file={dump}", str(name)], check=True)
    with psycopg.connect(SERVER, autocommit=True) as to:
        to.execute(f"DROP DATABASE {name}")
        to.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
    back = ["--exit-on-error", "--no-owner", f"--role={name}", f"--dbname={name}"]
    subprocess.run(["pg_restore", *where, *back, str(dump)], check=True)
    done = warroom("doctor", cwd=tmp_path, WARROOM_DATABASE_URL=installed)
    assert "ok   database: reachable, migrated, writable" in done.stdout
