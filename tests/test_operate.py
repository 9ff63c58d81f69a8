"""`db upgrade` and `doctor` as an operator meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.adapters.config import load
from bot.domain.errors import ConfigError
from bot.operate import doctor, upgrade
from tests.wire.on_nats import own_server

READY = {"WARROOM_API_TOKEN": "canary-api-token", "WARROOM_AGENT_TOKEN": "canary-agent-token"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in READY.items():
        monkeypatch.setenv(name, value)


async def test_upgrade_makes_the_database_and_may_be_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert await upgrade(None) == 0
        assert capsys.readouterr().out == "database: up to date\n"
    assert (tmp_path / "warroom.db").exists()


async def test_doctor_finds_nothing_to_mend_when_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    await upgrade(None)
    assert await doctor(None) == 0
    said = capsys.readouterr().out
    assert "ok   database: reachable, migrated, writable" in said
    assert "ok   playbooks: cos, sms and " in said
    assert "none configured; /page cannot call anybody" in said
    assert "canary" not in said


async def test_doctor_names_each_thing_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WARROOM_AGENT_TOKEN")
    monkeypatch.delenv("WARROOM_API_TOKEN")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "bad.yaml").write_text("playbook: [\n")
    (tmp_path / "warroom.toml").write_text('[paths]\nplaybooks = "ours"\n[database]\nurl = "sqlite:///no/such/w.db"\n')
    assert await doctor(None) == 1
    said = capsys.readouterr().out
    mend = [line for line in said.splitlines() if line.startswith("MEND")]
    assert [line.split()[1] for line in mend] == ["database:", "playbooks:", "WARROOM_API_TOKEN:"]
    assert "bad.yaml:" in mend[1]
    assert "ok   WARROOM_AGENT_TOKEN: not set; each new agent needs a token of `warroom agent enroll`" in said


async def test_a_database_file_that_serve_will_make_is_nothing_to_mend_and_is_not_made_by_looking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await doctor(None) == 0
    assert "ok   database: warroom.db is not there yet; `warroom serve` makes it" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


async def test_doctor_tries_the_nats_that_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a hub: a login that may only be an agent is found out before the night on which it matters."""
    users = "{user: hub, password: p1}, {user: agent, password: p2, permissions: {subscribe: none, publish: none}}"
    monkeypatch.setenv("WARROOM_NATS_USER", "hub")
    monkeypatch.setenv("WARROOM_NATS_PASSWORD", "p1")
    with own_server(tmp_path, f"authorization {{ users: [{users}] }}") as nats:
        monkeypatch.setenv("WARROOM_AGENTS_NATS_URL", nats.url)
        assert await doctor(None) == 0
        assert f"ok   NATS: {nats.url} lets the bot in" in capsys.readouterr().out
        monkeypatch.setenv("WARROOM_NATS_USER", "agent")
        monkeypatch.setenv("WARROOM_NATS_PASSWORD", "p2")
        assert await doctor(None) == 1
        assert "permissions violation for subscription" in capsys.readouterr().out.lower()
        monkeypatch.setenv("WARROOM_AGENTS_NATS_URL", nats.url.replace("nats:", "tls:"))
        assert await doctor(None) == 1
        assert (
            f"MEND NATS: {nats.url.replace('nats:', 'tls:')} cannot be used: it offers no TLS"
            in capsys.readouterr().out
        )
        monkeypatch.setenv("WARROOM_NATS_CA_FILE", "missing.pem")
        assert await doctor(None) == 1
        assert "MEND NATS: WARROOM_NATS_CA_FILE missing.pem" in capsys.readouterr().out
        monkeypatch.delenv("WARROOM_NATS_CA_FILE")
    monkeypatch.setenv("WARROOM_AGENTS_NATS_URL", nats.url)
    assert await doctor(None) == 1
    assert f"MEND NATS: {nats.url} cannot be used: " in capsys.readouterr().out


async def test_upgrade_says_why_it_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "warroom.db").write_bytes(b"this is no database, whatever its name says" * 100)
    assert await upgrade(None) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("database: ")


async def test_a_configuration_that_is_wrong_is_an_error_before_anything_is_touched(tmp_path: Path) -> None:
    (tmp_path / "warroom.toml").write_text('[database]\nurl = "mongodb://x"\n')
    with pytest.raises(ConfigError, match="mongodb"):
        await upgrade(None)
    assert load(None, {}).database_url == "mongodb://x"
