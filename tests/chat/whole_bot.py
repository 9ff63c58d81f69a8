"""A whole bot with a real agent, a phone and a page that is ill, as the people of a chat platform meet it."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.adapters.config import Config
from bot.adapters.store import SqlStore
from bot.app.resources import data_folder
from bot.bootstrap import Bot, build, listen
from bot.domain.page import Person
from bot.domain.pager_kinds import PagerConfig
from tests.adapters.phone_server import PhoneServer, phone_server
from tests.wire.real_agents import TOKEN, agent_process

API, SECRET = "canary-talk-api-5Yd2", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SERVICE = """
playbook: web
title: {zh: 商城网页, en: the shop's page}
targets: {web: "http://127.0.0.1:%d"}
probe:
  - http: {to: web, tries: 3, expect_status: [200]}
"""


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


class Whole:
    """The bot, its phone and its page."""

    def __init__(self, bot: Bot, phone: PhoneServer, page: Page) -> None:
        self.bot, self.phone, self.page = bot, phone, page

    async def until(self, holds: Callable[[], Awaitable[Any]], what: Callable[[], Any], within_s: float = 60) -> Any:
        """Wait; what stands there instead is the message."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if found := await holds():
                return found
            await asyncio.sleep(0.05)
        raise AssertionError(f"never; what is shown:\n{what()}")

    async def agents_ready(self) -> bool:
        return [agent.state for agent in self.bot.hub.agents()] == ["ready"]


@asynccontextmanager
async def whole_bot(folder: Path, url: str = "", **more: Any) -> AsyncIterator[Whole]:
    """Everything up; `more` goes into the configuration."""
    page = Page()
    site = await asyncio.start_server(page.serve, "127.0.0.1", 0)
    page.port = site.sockets[0].getsockname()[1]
    books = folder / "playbooks"
    shutil.copytree(data_folder("playbooks") / "hypotheses", books / "hypotheses")
    (books / "web.yaml").write_text(SERVICE % page.port)
    async with site, phone_server() as phone:
        config = Config(
            port=0,
            lang="en",
            database_url=url or f"sqlite:///{folder / 'warroom.db'}",
            spool=folder / "spool",
            playbooks=books,
            api_token=API,
            agent_token=TOKEN,
            pagers=(PagerConfig(name="phones", kind="webhook", url=phone.url, secret=SECRET),),
            people=(Person(name="lin", phone="+8613800000001", lang="en", slack="U0LIN", wecom="lin"),),
            poll_s=0.2,
        )
        config = replace(config, **more)
        store = SqlStore(config.database_url)
        await store.upgrade()
        await store.close()
        listener, config = listen(config)
        bot = await build(config)
        ready = asyncio.Event()
        serving = asyncio.create_task(bot.serve(listener, on_ready=ready.set))
        try:
            await asyncio.wait_for(ready.wait(), 30)
            async with agent_process(bot.config.url.replace("http", "ws"), folder):
                whole = Whole(bot, phone, page)
                await whole.until(whole.agents_ready, lambda: bot.hub.agents())
                yield whole
        finally:
            bot.stop()
            await serving
