"""Somebody acknowledges while the database is away: it is kept, nobody is told that it is done, and later it is."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bot.adapters.config import Config
from bot.domain.page import Person
from bot.domain.pager_kinds import PagerConfig
from bot.domain.webhooks import headers
from tests.adapters.bots import serving
from tests.adapters.phone_server import phone_server
from tests.adapters.test_web import SECRET, TOKEN, Up
from tests.app.test_degraded import Away


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    """A bot whose database can be taken away, with a page to lin that has rung."""
    async with phone_server() as phone:
        config = Config(
            lang="en",
            api_token=TOKEN,
            spool=tmp_path / "spool",
            pagers=(PagerConfig(name="gw", kind="webhook", url=phone.url, secret=SECRET),),
            people=(Person(name="lin", phone="+8613800000001", lang="en"),),
        )
        async with serving(config, tmp_path, token=TOKEN) as (bot, client):
            running = Up(bot, phone, client)
            await running.types("/page lin")
            await running.paged()
            away = Away(bot.parts.store)
            bot.parts.store = away
            away.away = True
            yield running
            away.away = False


async def back(up: Up) -> list[str]:
    """The kinds of entries once the database has been back for long enough."""
    up.bot.parts.store.away = False  # type: ignore[attr-defined]
    async with asyncio.timeout(20):
        while "ack" not in (kinds := await up.kinds()):
            await asyncio.sleep(0.1)
    return kinds


async def test_the_button_of_the_link_says_that_it_is_kept_and_not_that_it_is_done(up: Up) -> None:
    asked = await up.paged()
    async with httpx.AsyncClient(base_url=up.bot.config.url, trust_env=False) as stranger:
        answer = await stranger.post(urlsplit(asked["ack_url"]).path)
    assert answer.status_code == 202
    assert "not recorded yet" in answer.text
    assert "还没有记进数据库" in answer.text
    assert "acknowledged" not in answer.text
    assert "已确认" not in answer.text
    assert (await back(up)).count("ack") == 1


async def test_a_provider_whose_key_was_pressed_is_told_so_too(up: Up) -> None:
    raw = json.dumps({"key": "INC-1:0:lin:1", "status": "answered", "digits": "1"}).encode()
    signed = headers(SECRET, id=secrets.token_hex(8), timestamp=int(time.time()), body=raw)
    answer = await up.client.post("/hooks/phone/gw", content=raw, headers=signed)
    assert (answer.status_code, answer.json()["kept"]) == (200, True)
    assert (await back(up)).count("ack") == 1


async def test_a_command_by_the_api_is_no_success_and_is_carried_out_later(up: Up) -> None:
    answer = await up.types("/ack")
    assert answer["error"] == "not_yet_recorded"
    assert "not yet recorded" in answer["messages"][0]["text"]
    assert (await back(up)).count("ack") == 1
