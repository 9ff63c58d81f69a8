"""The HTTP side of a whole bot on a real socket: API, hooks of the phone, links that acknowledge."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from bot.adapters.config import Config
from bot.bootstrap import Bot
from bot.domain.incident import EntryKind
from bot.domain.page import Person
from bot.domain.pager_kinds import PagerConfig
from bot.domain.webhooks import headers
from tests.adapters.bots import serving
from tests.adapters.phone_server import PhoneServer, phone_server

TOKEN = "canary-web-4Hd8"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Up:
    """A bot that is up, its phone provider, and a client that knows the token."""

    def __init__(self, bot: Bot, phone: PhoneServer, client: httpx.AsyncClient) -> None:
        self.bot = bot
        self.phone = phone
        self.client = client

    async def types(self, text: str, **more: str) -> Any:
        answer = await self.client.post("/api/v1/commands", json={"text": text, "user": "lin", "lang": "en", **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def paged(self) -> dict[str, Any]:
        """What the provider was asked."""
        for _ in range(200):
            if self.phone.requests:
                return dict(self.phone.requests[-1].json)
            await asyncio.sleep(0.02)
        raise AssertionError("nobody was called")

    async def kinds(self, incident: str = "INC-1") -> list[str]:
        rows = (await self.client.get(f"/api/v1/incidents/{incident}/timeline")).json()
        return [row["kind"] for row in rows]

    async def reports(self, body: dict[str, Any], *, secret: str = SECRET, path: str = "/hooks/phone/gw") -> int:
        raw = json.dumps(body).encode()
        signed = headers(secret, id=secrets.token_hex(8), timestamp=int(time.time()), body=raw)
        return (await self.client.post(path, content=raw, headers=signed)).status_code


@asynccontextmanager
async def a_bot(folder: Path) -> AsyncIterator[Up]:
    async with phone_server() as phone:
        pager = PagerConfig(name="gw", kind="webhook", url=phone.url, secret=SECRET)
        config = Config(
            lang="en",
            api_token=TOKEN,
            pagers=(pager,),
            people=(Person(name="lin", phone="+8613800000001", lang="en"), Person(name="chen", lang="zh")),
        )
        async with serving(config, folder, token=TOKEN) as (bot, client):
            yield Up(bot, phone, client)


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    async with a_bot(tmp_path) as running:
        yield running


async def test_looking_at_an_acknowledge_link_does_nothing_and_its_button_acknowledges_once(up: Up) -> None:
    await up.types("/page lin")
    asked = await up.paged()
    path = urlsplit(asked["ack_url"]).path
    stranger = httpx.AsyncClient(base_url=up.bot.config.url, trust_env=False)
    async with stranger:
        assert "I have it" in (await stranger.get(path)).text
        assert "ack" not in await up.kinds()
        for _ in range(2):
            answer = await stranger.post(path)
            assert (answer.status_code, "acknowledged" in answer.text) == (200, True)
        assert (await up.kinds()).count("ack") == 1
        assert (await stranger.post(path.replace(":lin:", ":chen:"))).status_code == 404
        assert (await stranger.post(path.replace("/ack/", "/ack/0", 1))).status_code == 404
    (row,) = (await up.client.get("/api/v1/incidents")).json()
    assert row["acked_by"] == "lin"


async def test_the_provider_is_told_where_to_report_and_key_1_acknowledges(up: Up) -> None:
    await up.types("/page lin")
    asked = await up.paged()
    assert asked["key"] == "INC-1:0:lin:1"
    assert asked["callback_url"] == f"{up.bot.config.url}/hooks/phone/gw"
    assert "Press 1 to acknowledge" in asked["text"]
    assert await up.reports({"key": asked["key"], "status": "ringing"}) == 200
    assert await up.reports({"key": asked["key"], "status": "answered", "digits": "1"}) == 200
    assert (await up.kinds()).count("ack") == 1


@pytest.mark.parametrize(
    ("body", "secret", "path", "status"),
    [
        ({"key": "INC-1:1:lin:1", "status": "answered", "digits": "1"}, "whsec_" + "QUFB" * 8, "/hooks/phone/gw", 401),
        ({"key": "INC-1:1:lin:1", "status": "answered", "digits": "1"}, SECRET, "/hooks/phone/gw/wrong", 401),
        ({"key": "INC-9:1:lin:1", "status": "answered", "digits": "1"}, SECRET, "/hooks/phone/gw", 404),
        ({"key": "INC-1:1:lin:1", "status": "asleep"}, SECRET, "/hooks/phone/gw", 400),
        ({"key": "INC-1:1:lin:1", "status": "ringing"}, SECRET, "/hooks/phone/other", 404),
    ],
)
async def test_what_the_provider_did_not_say_acknowledges_nothing(
    up: Up, body: dict[str, Any], secret: str, path: str, status: int
) -> None:
    await up.types("/page lin")
    assert await up.reports(body, secret=secret, path=path) == status
    assert "ack" not in await up.kinds()


async def test_a_provider_that_cannot_sign_reports_with_the_secret_in_the_path(up: Up) -> None:
    await up.types("/page lin")
    key = (await up.paged())["key"]
    answer = await up.client.post(f"/hooks/phone/gw/{SECRET}", json={"key": key, "status": "no_answer"})
    assert answer.json() == {"result": 0, "errmsg": "OK"}
    assert EntryKind.CALL.value in await up.kinds()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/diag"),
        ("GET", "/api/v1/runs/run-1"),
        ("POST", "/api/v1/commands"),
        ("GET", "/api/v1/agents"),
        ("GET", "/api/v1/incidents"),
        ("GET", "/api/v1/incidents/INC-1/timeline"),
        ("GET", "/api/v1/reports"),
    ],
)
@pytest.mark.parametrize("shown", ["", "Bearer wrong", "Bearer", "Basic eDp5", "Bearer ключ"])
async def test_every_call_needs_the_token_and_says_which(up: Up, method: str, path: str, shown: str) -> None:
    answer = await up.client.request(method, path, headers={"Authorization": shown.encode()}, content=b"{}")
    assert answer.status_code == 401
    assert "WARROOM_API_TOKEN" in answer.json()["error"]["en"]
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_body_without_an_announced_length_is_counted(up: Up) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65536

    answer = await up.client.post("/api/v1/commands", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"text": null}',
        b'{"text": 7}',
        b"\xff\xfe",
        b'{"text": "\\ud800"}',
        b'{"text": "a\\u0000b"}',
        b'{"text": "/note \\u0000"}',
        b'{"text": "/help", "user": ""}',
        b'{"text": "/help", "room": ""}',
        b'{"text": "/help", "room": "console:"}',
        b'{"text": "/help", "lang": "xx"}',
        b'{"text": "/diag sms region=\\ud800"}',
        b'{"text": ' + b"1" * 5000 + b"}",
    ],
)
async def test_no_body_makes_a_server_error(up: Up, body: bytes) -> None:
    for path in ("/api/v1/commands", "/api/v1/diag", "/hooks/phone/gw", f"/hooks/phone/gw/{SECRET}"):
        answer = await up.client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code < 500, (path, answer.text)


async def test_a_command_answers_in_the_language_asked_for_and_tells_errors_by_code(up: Up) -> None:
    said = await up.types("/diag smss")
    assert said["error"] == "unknown_playbook"
    assert 'did you mean "sms"' in said["messages"][-1]["text"]
    said = await up.types("/diag smss", lang="zh")
    assert "是不是 “sms”" in said["messages"][-1]["text"]
    assert said["messages"][-1]["blocks"][0]["type"] == "header"


async def test_a_diag_without_agents_or_with_a_bad_document_is_refused_in_words(up: Up) -> None:
    for asked, code in (
        ({"playbook": "sms"}, "no_agents"),
        ({"yaml": "playbook: [x"}, "bad_playbook"),
        ({}, "missing_playbook"),
    ):
        answer = await up.client.post("/api/v1/diag", json=asked)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == code


async def test_the_api_description_names_every_call_and_its_lock(up: Up) -> None:
    described = (await up.client.get("/api/v1/openapi.json")).json()
    assert described["openapi"].startswith("3.")
    assert set(described["paths"]) == {
        "/api/v1/diag",
        "/api/v1/probe",
        "/api/v1/runs/{run}",
        "/api/v1/commands",
        "/api/v1/agents",
        "/api/v1/agents/{name}",
        "/api/v1/agents/invitations",
        "/api/v1/incidents",
        "/api/v1/incidents/{incident}/timeline",
        "/api/v1/incidents/{incident}/verify",
        "/api/v1/incidents/{incident}/export",
        "/api/v1/reports",
        "/api/v1/oncall",
    }
    for calls in described["paths"].values():
        for call in calls.values():
            assert call["security"]
            assert call["description"]


async def test_a_timeline_is_read_in_part_by_the_same_words_as_in_chat(up: Up) -> None:
    await up.types("/incident declare SMS is down sev4")
    for n in range(5):
        await up.types(f"/note n{n}")
    path = "/api/v1/incidents/INC-1/timeline"
    answer = await up.client.get(path, params={"kind": "note", "limit": 2})
    assert [row["en"] for row in answer.json()] == ["n3", "n4"]
    counted = [answer.headers[name] for name in ("x-total-count", "x-earlier", "x-later")]
    assert counted == ["5", "3", "0"]
    first = answer.json()[0]["seq"]
    before = (await up.client.get(path, params={"kind": "note", "limit": 2, "before": f"#{first}"})).json()
    assert [row["en"] for row in before] == ["n1", "n2"]
    await up.types(f"/note correct #{first} three")
    (row,) = (await up.client.get(path, params={"q": "n3", "kind": "note"})).json()
    assert (row["text"], row["corrected"]["text"], row["corrected"]["by"]) == ("n3", "three", "lin")
    refused = await up.client.get(path, params={"kind": "nots"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_kind")
    assert (await up.client.get(path, params={"limit": 0})).status_code == 422
    lines = (await up.client.get("/api/v1/incidents/INC-1/export", params={"format": "jsonl"})).text.splitlines()
    assert json.loads(lines[0])["entries"] == len(lines) - 1 == len((await up.client.get(path)).json())


async def test_with_the_database_away_the_api_says_so_and_is_back_with_it(tmp_path: Path) -> None:
    async with a_bot(tmp_path) as up:
        await up.types("/note before")
        await up.bot._store.close()
        files = list(tmp_path.glob("warroom.db*"))
        for file in files:
            file.rename(file.with_name(f"away-{file.name}"))
        (tmp_path / "warroom.db").mkdir()
        answer = await up.client.post("/api/v1/commands", json={"text": "/note during"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert "database" in answer.json()["error"]["en"]
        assert (await up.client.get("/readyz")).status_code == 503
        assert (await up.client.get("/healthz")).status_code == 200
        (tmp_path / "warroom.db").rmdir()
        for file in files:
            file.with_name(f"away-{file.name}").rename(file)
        said = await up.types("/timeline")
        assert "before" in said["messages"][-1]["text"]
        assert "during" not in said["messages"][-1]["text"]


async def test_without_a_configured_token_the_api_is_closed(tmp_path: Path) -> None:
    async with serving(Config(), tmp_path) as (_, client):
        assert (await client.get("/api/v1/agents", headers={"Authorization": "Bearer"})).status_code == 401
