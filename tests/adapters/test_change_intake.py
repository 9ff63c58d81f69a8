"""`/hooks/changes/NAME` of a whole bot on a real socket."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.adapters.config import Config, load
from bot.app.changes import recent
from bot.bootstrap import Bot
from bot.domain.errors import ConfigError
from bot.domain.incident import Run
from bot.domain.sender import Sender
from bot.domain.webhooks import headers
from tests.adapters.bots import serving

API = "canary-changes-api-4Hd8"
TOKEN = "canary-changes-token-8Jw2"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ROW = {"kind": "deploy", "title": "sms-gateway 1.4.2", "who": "lin", "env": "prod", "service": "sms"}


class Up:
    """A bot that is up, and a client without credentials."""

    def __init__(self, bot: Bot, client: httpx.AsyncClient) -> None:
        self.bot, self.client = bot, client

    async def posts(self, body: Any, *, token: str = TOKEN, path: str = "/hooks/changes/ci") -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(path, content=raw, headers={"Authorization": f"Bearer {token}"})

    async def signs(self, body: Any, delivery: str, *, secret: str = SECRET, age_s: int = 0) -> httpx.Response:
        raw = json.dumps(body).encode()
        signed = headers(secret, id=delivery, timestamp=int(time.time()) - age_s, body=raw)
        return await self.client.post("/hooks/changes/ci", content=raw, headers=signed)

    async def types(self, text: str) -> None:
        asked = {"text": text, "user": "lin", "lang": "en"}
        auth = {"Authorization": f"Bearer {API}"}
        assert (await self.client.post("/api/v1/commands", json=asked, headers=auth)).status_code == 200

    async def told(self) -> list[str]:
        """The lines of the incident that tell of changes."""
        auth = {"Authorization": f"Bearer {API}"}
        rows = (await self.client.get("/api/v1/incidents/INC-1/timeline", headers=auth)).json()
        return [row["en"] for row in rows if row["kind"] == "change"]

    async def kept(self) -> list[str]:
        since = datetime.now(UTC) - timedelta(days=1)
        return [change.title for change in await recent(self.bot.parts.store, since=since)]


@asynccontextmanager
async def a_bot(folder: Path) -> AsyncIterator[Up]:
    sender = Sender(name="ci", secret=SECRET, token=TOKEN)
    async with serving(Config(lang="en", api_token=API, changes=(sender,)), folder) as (bot, client):
        yield Up(bot, client)


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    async with a_bot(tmp_path) as running:
        yield running


async def test_a_change_is_kept_and_stands_on_the_open_incidents_timeline(up: Up) -> None:
    await up.types("/incident declare sms fails")
    answer = await up.posts({**ROW, "url": "https://ci.example/7"})
    assert (answer.status_code, answer.json()) == (200, {"new": 1})
    assert await up.kept() == ["sms-gateway 1.4.2"]
    assert await up.told() == ["deploy: sms-gateway 1.4.2 (sms, prod) https://ci.example/7"]


async def test_without_an_incident_it_is_kept_for_later(up: Up) -> None:
    answer = await up.posts([ROW, {"title": "a policy", "kind": "permission"}])
    assert answer.json() == {"new": 2}
    assert sorted(await up.kept()) == ["a policy", "sms-gateway 1.4.2"]


async def test_a_change_told_twice_counts_once(up: Up) -> None:
    await up.types("/incident declare sms fails")
    now = datetime.now(UTC).isoformat()
    assert [(await up.posts({**ROW, "at": now})).json()["new"] for _ in range(2)] == [1, 0]
    assert [(await up.signs({"title": "signed"}, "d-1")).json()["new"] for _ in range(2)] == [1, 0]
    assert len(await up.told()) == 2


async def test_a_change_of_another_environment_is_kept_and_not_told(up: Up) -> None:
    await up.types("/incident declare sms fails")
    (incident,) = await up.bot.service.incidents()
    at = datetime.now(UTC)
    document = {"agents": [{"name": "a", "env": "prod"}, {"name": "b", "env": ""}]}
    run = Run(id="r", playbook="sms", room=incident.room, user="lin", started_at=at, finished_at=at, document=document)
    async with up.bot.parts.store.begin() as tx:
        await tx.runs.save(run)
    for env in ("prod", "staging", ""):
        assert (await up.posts({**ROW, "env": env, "title": env or "none"})).json() == {"new": 1}
    assert await up.told() == ["deploy: prod (sms, prod)", "deploy: none (sms)"]
    assert len(await up.kept()) == 3


async def test_who_cannot_prove_itself_changes_nothing(up: Up) -> None:
    for answer in (
        await up.posts(ROW, token="canary-wrong"),
        await up.posts(ROW, token="x"),
        await up.client.post("/hooks/changes/ci", json=ROW),
        await up.signs(ROW, "d-1", secret="whsec_" + "QUFB" * 8),
        await up.signs(ROW, "d-2", age_s=400),
    ):
        assert answer.status_code == 401
        assert "canary" not in answer.text
    assert (await up.posts(ROW, path="/hooks/changes/nobody")).status_code == 404
    assert (await up.client.get("/hooks/changes/ci")).status_code == 405
    assert await up.kept() == []


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"7", b"[[]]", b'{"kind": "deploy"}', json.dumps([ROW] * 101).encode(), b"[" * 100_000, b"\xff"],
)
async def test_what_is_no_change_is_refused_whole_and_in_words(up: Up, body: bytes) -> None:
    answer = await up.posts(body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_change")
    assert (await up.posts([ROW, {"title": ""}])).status_code == 400
    assert await up.kept() == []


async def test_our_own_secrets_in_a_change_are_not_kept(up: Up) -> None:
    await up.types("/incident declare sms fails")
    await up.posts({**ROW, "title": f"set {API}", "who": TOKEN})
    assert "canary" not in str(await up.kept() + await up.told())


def test_a_sender_needs_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "warroom.toml"
    file.write_text('[[changes]]\nname = "my-ci"\n')
    with pytest.raises(ConfigError, match=r"WARROOM_CHANGES_MY_CI_SECRET .* or WARROOM_CHANGES_MY_CI_TOKEN"):
        load(file, {})
    config = load(file, {"WARROOM_CHANGES_MY_CI_TOKEN": TOKEN})
    assert (config.changes[0].token, config.secrets()) == (TOKEN, (TOKEN,))
    assert "canary" not in repr(config)
    with pytest.raises(ConfigError, match="whsec_"):
        load(file, {"WARROOM_CHANGES_MY_CI_SECRET": "not base64!"})
