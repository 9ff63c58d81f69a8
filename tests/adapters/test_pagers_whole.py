"""A whole bot and each provider: the phone rings, somebody presses 1, and the incident is theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from bot.adapters.config import Config
from bot.bootstrap import build, listen
from bot.domain.page import Person
from tests.adapters.providers.base import Provider, serving
from tests.adapters.providers.twilio import TwilioServer
from tests.adapters.test_pagers import PUBLIC, SERVERS
from tests.store.databases import sqlite_database

TOKEN = "canary-whole-3Kd9"


class Up:
    """A bot that is up, and its provider."""

    def __init__(self, server: Provider, client: httpx.AsyncClient) -> None:
        self.server = server
        self.client = client

    async def types(self, text: str) -> str:
        answer = await self.client.post("/api/v1/commands", json={"text": text, "user": "lin", "lang": "en"})
        return "\n".join(message["text"] for message in answer.json()["messages"])

    async def rings(self, times: int = 1) -> None:
        await self.until(lambda: len(self.server.rung) >= times, "the phone does not ring")

    async def reports(self, **what: Any) -> httpx.Response:
        told = {"url": f"{PUBLIC}/hooks/phone/p", **self.server.answers(self.server.rung[-1], **what)}
        url = urlsplit(told["url"])
        path = f"{url.path}/{told['secret']}" if "secret" in told else f"{url.path}?{url.query}"
        return await self.client.post(path, content=told["body"], headers=told["headers"])

    async def timeline(self) -> list[dict[str, Any]]:
        return list((await self.client.get("/api/v1/incidents/INC-1/timeline")).json())

    async def sent(self) -> None:
        """Until it is on record that the provider has taken the call."""
        for _ in range(200):
            if any(row["data"].get("state") == "sent" for row in await self.timeline()):
                return
            await asyncio.sleep(0.02)
        raise AssertionError(await self.timeline())

    async def until(self, fine: Any, otherwise: str, seconds: float = 10) -> None:
        for _ in range(int(seconds / 0.02)):
            if fine():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(otherwise)


@asynccontextmanager
async def a_bot(kind: str, folder: Path, *, public_url: str = PUBLIC) -> AsyncIterator[Up]:
    async with serving(SERVERS[kind]()) as server:
        config = Config(
            port=0,
            lang="en",
            public_url=public_url,
            database_url=sqlite_database(folder / "warroom.db"),
            api_token=TOKEN,
            pagers=(server.config(timeout_s=1.5),),
            people=(Person(name="lin", phone="+8613800000001", lang="zh"),),
        )
        listener, config = listen(config)
        bot = await build(config)
        ready = asyncio.Event()
        task = asyncio.create_task(bot.serve(listener, on_ready=ready.set))
        local = f"http://127.0.0.1:{config.port}"
        auth = {"Authorization": f"Bearer {TOKEN}"}
        try:
            async with httpx.AsyncClient(base_url=local, headers=auth, trust_env=False, timeout=20) as client:
                await asyncio.wait_for(ready.wait(), 20)
                yield Up(server, client)
        finally:
            bot.stop()
            await task


ON_THEIR_SITE = {"pagerduty": "Tenex Engineer", "goalert": "Chen", "flashduty": "Chen"}
"""Who acknowledges there, as these tell: somebody else than the one who was called."""


@pytest.mark.parametrize("kind", SERVERS)
async def test_key_1_makes_the_incident_theirs_and_a_forged_one_does_not(kind: str, tmp_path: Path) -> None:
    async with a_bot(kind, tmp_path) as up:
        await up.types("/page lin")
        await up.rings()
        await up.sent()
        assert (await up.reports(digits="1", forged=True)).status_code == 401
        (row,) = (await up.client.get("/api/v1/incidents")).json()
        assert row["acked_by"] is None
        for _ in range(2):
            answer = await up.reports(digits="1")
            assert answer.status_code == 200, answer.text
        (row,) = (await up.client.get("/api/v1/incidents")).json()
        assert row["acked_by"] == ON_THEIR_SITE.get(kind, "lin")
        assert [entry["kind"] for entry in await up.timeline()].count("ack") == 1


async def test_a_report_of_a_call_whose_answer_was_lost_finds_its_page_by_the_number(tmp_path: Path) -> None:
    async with a_bot("tencent_vms", tmp_path) as up:
        up.server.troubles += ["reset"] * 50
        await up.types("/page lin")
        await up.rings()
        assert (await up.reports(digits="1")).status_code == 200
        (row,) = (await up.client.get("/api/v1/incidents")).json()
        assert row["acked_by"] == "lin"


@pytest.mark.parametrize("kind", ["tencent_vms", "aliyun_vms", "pagerduty", "goalert", "flashduty"])
async def test_events_of_others_are_taken_and_do_nothing(kind: str, tmp_path: Path) -> None:
    async with a_bot(kind, tmp_path) as up:
        up.server.place("somebody else's", "+8613911111111", "")
        answer = await up.reports(digits="1")
        assert answer.status_code == 200
        assert (await up.client.get("/api/v1/incidents")).json() == []


async def test_without_a_public_address_it_is_asked_how_the_call_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.bootstrap.EVERY_S", 1.0)
    async with a_bot("twilio", tmp_path, public_url="") as up:
        assert isinstance(up.server, TwilioServer)
        await up.types("/page lin")
        await up.rings()
        assert "请在群里确认" in up.server.rung[0].said
        known = []
        for word in ("ringing", "busy"):
            up.server.calls["twilio-1"]["status"] = word
            for _ in range(400):
                known = [e["data"]["status"] for e in await up.timeline() if e["kind"] == "call"]
                if known[-1:] == [word]:
                    break
                await asyncio.sleep(0.02)
        assert known == ["ringing", "busy"]
        asked = len(up.server.asked)
        await asyncio.sleep(1.5)
        assert len(up.server.asked) == asked  # the call is over: nobody asks on
