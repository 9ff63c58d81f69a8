"""`db upgrade` and `doctor` as an operator meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.adapters.config import load
from bot.domain.errors import ConfigError
from bot.operate import doctor, ring, upgrade
from tests.adapters.providers.base import serving
from tests.adapters.providers.twilio import SID, TwilioServer
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


PHONES = """
[[people]]
name = "lin"
phone = "+8613800000001"
[[pagers]]
name = "tw"
kind = "twilio"
account_sid = "AC1"
from = "+15005550006"
[[pagers]]
name = "ali"
kind = "aliyun_vms"
template = "TTS_1"
[[pagers]]
name = "pd"
kind = "pagerduty"
"""
KEYS = {
    "TW_AUTH_TOKEN": "canary-tw",
    "ALI_ACCESS_KEY_ID": "canary-id",
    "ALI_ACCESS_KEY_SECRET": "canary-key",
    "ALI_CALLBACK_SECRET": "canary-path",
    "PD_ROUTING_KEY": "canary-pd",
}


def lines(said: str) -> list[str]:
    return [line.removeprefix("ok   ") for line in said.splitlines() if line.startswith("ok   phone")]


async def test_doctor_says_of_each_phone_what_comes_back_what_replaces_it_and_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(f"WARROOM_PAGER_{name}", value)
    (tmp_path / "warroom.toml").write_text(PHONES)
    assert await doctor(None) == 0
    said = capsys.readouterr().out
    order, tw, ali, pd = lines(said)
    assert order == "phones, in this order: tw, ali, pd"
    assert "nothing comes back: set server.public_url" in tw
    assert "its status is polled and calls say to acknowledge in the chat" in tw
    assert "at most 1/min, 5/h, 20/day to one person, failed calls included" in ali
    assert "calls whoever is on call there, not the person of the page" in pd
    assert "WARROOM_PAGER_PD_WEBHOOK_SECRET" in pd
    assert "canary" not in said
    monkeypatch.setenv("WARROOM_SERVER_PUBLIC_URL", "https://warroom.example")
    assert await doctor(None) == 0
    _, tw, ali, pd = lines(capsys.readouterr().out)
    assert "reports come to https://warroom.example/hooks/phone/tw;" in tw
    assert "/hooks/phone/ali/<WARROOM_PAGER_ALI_CALLBACK_SECRET>, pressed keys do not: set show_number and " in ali
    assert "nothing comes back: set WARROOM_PAGER_PD_WEBHOOK_SECRET; until then its status is not known" in pd


async def test_doctor_names_people_nobody_can_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARROOM_PAGER_TW_AUTH_TOKEN", "canary-tw")
    text = PHONES.partition('[[pagers]]\nname = "ali"')[0] + '[[people]]\nname = "chen"\n'
    (tmp_path / "warroom.toml").write_text(text)
    assert await doctor(None) == 1
    assert "MEND people: chen: no phone, so nobody can call them" in capsys.readouterr().out


async def test_a_test_call_goes_through_the_provider_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARROOM_PAGER_TW_AUTH_TOKEN", "canary-twilio-token")
    async with serving(TwilioServer()) as server:
        text = PHONES.partition('[[pagers]]\nname = "ali"')[0].replace("AC1", SID)
        (tmp_path / "warroom.toml").write_text(f'{text}url = "{server.url}"\n')
        assert await ring(None, "Lin", "") == 0
        assert "tw takes the call to lin (reference twilio-1)" in capsys.readouterr().out
        assert "这是一次测试呼叫" in server.rung[0].said
        server.troubles.append("refuse")
        assert await ring(None, "lin", "tw") == 1
        assert "tw does not call lin: HTTP 400: Twilio 21211" in capsys.readouterr().err
        for who, through, says in (("wang", "", "no 'wang'; it has: lin"), ("lin", "ali", "no 'ali'; it has: tw")):
            with pytest.raises(ConfigError, match=says):
                await ring(None, who, through)
