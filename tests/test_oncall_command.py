"""On-call from outside: the command line, and calendars and answers of a whole bot on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import icalendar
import pytest

from bot.adapters.config import Config, load
from bot.bootstrap import build, listen
from bot.cli import main
from bot.domain.errors import ConfigError
from bot.domain.page import Person
from tests.store.databases import sqlite_database

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "oncall.yaml"
TOKEN = "canary-oncall-8sK2"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["oncall", *words])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_check_counts_what_is_there_and_fails_on_a_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "check", str(EXAMPLE))[:2] == (0, "ok: 4 people, 2 schedules, 2 policies, 1 vendors\n")
    broken = tmp_path / "x.yaml"
    broken.write_text("people: {lin: {phone: 138}}\n")
    status, out, err = run(capsys, "check", str(broken))
    assert (status, out) == (1, "")
    assert err.startswith(f"{broken}:1:16: people.lin.phone: 138 is a number to YAML")


def test_show_tells_who_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "show", str(EXAMPLE), "--at", "2026-01-15 18:30")
    assert (status, out.splitlines()[0]) == (0, "backend: ana until Fri 01-16 01:00 UTC+8, then chen")
    status, out, _ = run(capsys, "show", str(EXAMPLE), "--at", "2026-01-15 18:30", "--format", "json")
    assert json.loads(out)[0]["next"] == {"person": "chen", "since": "2026-01-15T17:00:00+00:00"}
    assert run(capsys, "show", str(EXAMPLE), "--at", "soon")[0] == 2
    assert '"$schema"' in run(capsys, "schema")[1]


def test_the_file_is_named_in_the_configuration_or_by_a_variable(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = tmp_path / "warroom.toml"
    toml.write_text('[[people]]\nname = "zoe"\nphone = "+8613800000008"\nslack = "U01ZOE"\nwecom = "Zoe"\n')
    config = load(toml, {"WARROOM_PATHS_ONCALL": str(EXAMPLE)})
    assert config.oncall == EXAMPLE
    assert config.people == (Person(name="zoe", phone="+8613800000008", slack="U01ZOE", wecom="Zoe"),)
    monkeypatch.setenv("WARROOM_PATHS_ONCALL", str(EXAMPLE))
    toml.write_text(toml.read_text() + '[[pagers]]\nname = "gw"\nkind = "webhook"\nurl = "http://gw"\n')
    with pytest.raises(ConfigError, match="WARROOM_PAGER_GW_SECRET"):
        load(toml, {})  # which a check in CI does without
    assert run(capsys, "check", "--config", str(toml))[1].startswith("ok: 5 people, 2 schedules")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    database = sqlite_database(tmp_path / "warroom.db")
    config = Config(port=0, lang="en", database_url=database, api_token=TOKEN, oncall=EXAMPLE)
    listener, config = listen(config)
    bot = await build(config)
    ready = asyncio.Event()
    serving = asyncio.create_task(bot.serve(listener, on_ready=ready.set))
    try:
        async with httpx.AsyncClient(base_url=config.url, trust_env=False, timeout=20) as client:
            await asyncio.wait_for(ready.wait(), 20)
            yield client
    finally:
        bot.stop()
        await serving


async def test_a_calendar_opens_with_its_own_address_and_with_no_other(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/oncall")).status_code == 401
    backend, managers = (await client.get("/api/v1/oncall", headers=AUTH)).json()
    assert (backend["schedule"], managers["schedule"], managers["person"]) == ("backend", "managers", "boss")
    found = await client.get(backend["ics"])
    assert found.status_code == 200
    assert found.headers["content-type"] == "text/calendar; charset=utf-8"
    events = icalendar.Calendar.from_ical(found.content).walk("VEVENT")
    assert len(events) > 90
    assert "on call (backend)" in str(events[0]["SUMMARY"])
    again = icalendar.Calendar.from_ical((await client.get(backend["ics"])).content).walk("VEVENT")
    assert [str(e["UID"]) for e in again] == [str(e["UID"]) for e in events]
    assert (await client.get(backend["ics"].replace("backend", "managers"))).status_code == 401
    assert (await client.get("/api/v1/oncall/backend.ics")).status_code == 401
    assert (await client.get("/api/v1/oncall/backend.ics", headers=AUTH)).status_code == 200
    assert (await client.get("/api/v1/oncall/front.ics", headers=AUTH)).status_code == 404
    chinese = (await client.get(f"{managers['ics']}&lang=zh")).text
    assert "boss 值班（managers）" in chinese


async def test_an_override_is_in_the_calendar_and_in_the_answer_at_once(client: httpx.AsyncClient) -> None:
    typed = {"text": "/oncall override managers lin for 4h", "lang": "en"}
    assert (await client.post("/api/v1/commands", json=typed, headers=AUTH)).status_code == 200
    managers = (await client.get("/api/v1/oncall", headers=AUTH)).json()[1]
    assert (managers["person"], managers["override"], managers["next"]["person"]) == ("lin", "ovr-1", "boss")
    first = icalendar.Calendar.from_ical((await client.get(managers["ics"])).content).walk("VEVENT")[0]
    assert str(first["SUMMARY"]) == "lin on call (managers)"


async def test_a_bot_does_not_start_with_an_on_call_file_that_is_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "x.yaml"
    broken.write_text("people: {lin: {phone: 138}}\n")
    config = Config(database_url=sqlite_database(tmp_path / "warroom.db"))
    with pytest.raises(ConfigError, match=r"x\.yaml:1:16"):
        await build(replace(config, oncall=broken))
