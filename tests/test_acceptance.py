"""The whole chain, once on each database: an alert comes in, and an hour of the night later it is over.

A whole bot on a real socket, a real agent process, a real web page that is ill, and a phone provider that is a server.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.adapters.config import Config
from bot.adapters.store import SqlStore
from bot.app.alert_sources import AlertSource
from bot.app.plain import plain
from bot.app.resources import data_folder
from bot.bootstrap import Bot, build, listen
from bot.domain.alert import AlertKind
from bot.domain.page import Person
from bot.domain.pager_kinds import PagerConfig
from bot.domain.webhooks import headers
from tests.adapters.alert_bodies import alertmanager, prometheus
from tests.adapters.phone_server import PhoneServer, phone_server
from tests.serving import environ
from tests.store.fixtures import database, store_url  # noqa: F401 - fixtures

pytestmark = [pytest.mark.alone, pytest.mark.timeout(120)]

API, AGENT, TOKEN = "canary-chain-api-7Wq3", "canary-chain-agent-1Xc9", "canary-chain-alerts-4Rb6"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SERVICE = """
playbook: web
title: {zh: 商城网页, en: the shop's page}
targets: {web: "http://127.0.0.1:%d"}
probe:
  - http: {to: web, tries: 3, expect_status: [200]}
"""
POLICY = "allow:\n  - {network: 127.0.0.0/8, ports: any, kinds: any}\npublic: deny\n"


class Page:
    """A web page that answers 500 until it is mended."""

    def __init__(self) -> None:
        self.status, self.port = 500, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok" % self.status)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Chain:
    """What people and machines outside see of the bot."""

    def __init__(self, bot: Bot, client: httpx.AsyncClient, phone: PhoneServer, page: Page) -> None:
        self.bot, self.client, self.phone, self.page = bot, client, phone, page

    async def until(self, holds: Callable[[], Any], what: str, seconds: float = 40) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = await holds()
            if found:
                return found
            await asyncio.sleep(0.2)
        raise AssertionError(f"never: {what}\n{await self.everything()}")

    async def api(self, path: str) -> Any:
        return (await self.client.get(path, headers={"Authorization": f"Bearer {API}"})).json()

    async def types(self, text: str, room: str) -> None:
        asked = {"text": text, "user": "lin", "lang": "en", "room": room}
        auth = {"Authorization": f"Bearer {API}"}
        assert (await self.client.post("/api/v1/commands", json=asked, headers=auth)).status_code == 200

    async def alert(self, status: str) -> dict[str, Any]:
        body = alertmanager(prometheus("ShopDown", status=status, playbook="web"), status=status)
        answer = await self.client.post(
            "/hooks/alerts/prom", content=body, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def incident(self) -> Any:
        async with self.bot.parts.store.begin() as tx:
            return await tx.incidents.get("INC-1")

    async def shows(self, room: str) -> str:
        """What stands in a room, as it is now."""
        async with self.bot.parts.store.begin() as tx:
            return "\n".join(plain(m.blocks, "en") for m, _, _ in await tx.messages.list(room))

    async def everything(self) -> str:
        rooms = {r.key for r in await self._rooms()}
        return "\n\n".join(f"== {key}\n{await self.shows(key)}" for key in sorted(rooms))

    async def _rooms(self) -> Any:
        async with self.bot.parts.store.begin() as tx:
            return await tx.rooms.list("console")

    async def presses(self, digits: str) -> None:
        """The person called presses a key; the provider reports it, signed."""
        call = self.phone.requests[-1].json
        body = json.dumps({"key": call["key"], "status": "answered", "digits": digits}).encode()
        signed = headers(SECRET, id=f"cb-{digits}", timestamp=int(time.time()), body=body)
        answer = await self.client.post(call["callback_url"], content=body, headers=signed)
        assert answer.status_code < 300, answer.text


@asynccontextmanager
async def an_agent(hub: str, folder: Path) -> AsyncIterator[None]:
    (folder / "policy.yaml").write_text(POLICY)
    words = ["--hub", hub, "--name", "sh-vm", "--region", "shanghai", "--vantage", "vm", "--env", "prod"]
    words += ["--policy", "policy.yaml", "--state", str(folder)]
    with (folder / "agent.log").open("wb") as log:
        command = [sys.executable, "-m", "bot.cli", "agent", *words]
        env = environ(WARROOM_AGENT_TOKEN=AGENT)
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=env, stderr=log)
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGTERM)
            await process.wait()


@pytest.fixture
async def chain(store_url: str, tmp_path: Path) -> AsyncIterator[Chain]:  # noqa: F811
    page = Page()
    site = await asyncio.start_server(page.serve, "127.0.0.1", 0)
    page.port = site.sockets[0].getsockname()[1]
    books = tmp_path / "playbooks"
    shutil.copytree(data_folder("playbooks") / "hypotheses", books / "hypotheses")
    (books / "web.yaml").write_text(SERVICE % page.port)
    async with site, phone_server() as phone:
        config = Config(
            port=0,
            lang="en",
            database_url=store_url,
            spool=tmp_path / "spool",
            playbooks=books,
            api_token=API,
            agent_token=AGENT,
            alerts=(AlertSource(name="prom", kind=AlertKind.ALERTMANAGER, token=TOKEN),),
            pagers=(PagerConfig(name="phones", kind="webhook", url=phone.url, secret=SECRET),),
            people=(Person(name="lin", phone="+8613800000001", lang="en"),),
        )
        store = SqlStore(store_url)
        await store.upgrade()
        await store.close()
        listener, config = listen(config)
        bot = await build(config)
        ready = asyncio.Event()
        serving = asyncio.create_task(bot.serve(listener, on_ready=ready.set))
        try:
            async with (
                httpx.AsyncClient(base_url=config.url, trust_env=False, timeout=20) as client,
                an_agent(config.url.replace("http", "ws"), tmp_path),
            ):
                await asyncio.wait_for(ready.wait(), 20)
                found = Chain(bot, client, phone, page)
                await found.until(found_ready(found), "the agent is ready")
                yield found
        finally:
            bot.stop()
            await serving


def found_ready(chain: Chain) -> Callable[[], Any]:
    async def ready() -> bool:
        return [a["state"] for a in await chain.api("/api/v1/agents")] == ["ready"]

    return ready


async def test_from_the_alert_to_the_end_of_the_night(chain: Chain) -> None:
    # 22:31 an alert comes in
    assert (await chain.alert("firing"))["opened"] == ["INC-1"]
    incident = await chain.incident()
    assert (incident.severity, incident.playbook, incident.is_open) == ("sev1", "web", True)

    # the phone rings, without anybody having asked
    async def rings() -> bool:
        return bool(chain.phone.requests)

    await chain.until(rings, "the phone rings")
    call = chain.phone.requests[0].json
    assert (call["incident"], call["person"]["name"], call["step"]) == ("INC-1", "lin", 1)

    # a war room is there, and the diagnosis stands in it
    async def diagnosed() -> str:
        room = (await chain.incident()).room
        shown = await chain.shows(room)
        return room if room != incident.origin_room and "/diag web" in shown else ""

    room = await chain.until(diagnosed, "the war room with the diagnosis")
    assert "ShopDown on all" in await chain.shows(room)

    # 22:33 key 1: it is somebody's, the cards say so, and nobody else is called
    await chain.presses("1")

    async def acknowledged() -> bool:
        return (await chain.incident()).acked_by == "lin" and "lin has INC-1" in await chain.shows(room)

    await chain.until(acknowledged, "lin has it")
    assert (await chain.incident()).state == "investigating"
    assert "[I have it: /ack INC-1]" not in await chain.shows(room), "cards have changed"

    # 23:40 mended, the alert is over, the incident resolved
    chain.page.status = 200
    await chain.alert("resolved")
    await chain.until(lambda: said(chain, room, "the alert is over"), "the card says that it is over")
    await chain.types("/diag web", room)
    await chain.types("/incident resolve", room)
    over = await chain.incident()
    assert (over.state, over.is_open) == ("resolved", False)
    kinds = [row["kind"] for row in await chain.api("/api/v1/incidents/INC-1/timeline")]
    for kind in ("incident", "alert", "escalation", "page", "verdict", "call", "ack"):
        assert kind in kinds, (kind, kinds)
    assert kinds.count("ack") == 1
    assert chain.phone.effects == {"INC-1:1:lin:1": 1}, "one call, once"


async def said(chain: Chain, room: str, words: str) -> bool:
    return words in await chain.shows(room)
