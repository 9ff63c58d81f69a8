"""One night, talked through on every chat platform: what is typed, and what the people in the room see."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from bot.app.plain import plain
from bot.domain.message import Buttons, File
from tests.chat.slack_bot import settings as slack_settings
from tests.chat.slack_server import slack_server
from tests.chat.wecom_server import NAME, WeComServer
from tests.chat.whole_bot import Whole, whole_bot

pytestmark = pytest.mark.timeout(240)


class Talk(Protocol):
    """A room on some platform with the engineer lin in it."""

    whole: Whole
    at_once: int

    async def types(self, text: str) -> None:
        """Lin types a line."""
        ...

    async def presses(self, label: str) -> None:
        """Lin presses the newest button of this label."""
        ...

    def shows(self) -> str:
        """Everything lin sees there now."""
        ...

    def files(self) -> dict[str, bytes]:
        """The files lin can take away, by name."""
        ...


class OnConsole:
    at_once = 20

    def __init__(self, whole: Whole) -> None:
        self.whole = whole
        self._shown: Sequence[Any] = ()

    async def types(self, text: str) -> None:
        ident = f"said-{secrets.token_hex(6)}"
        await self.whole.bot.service.say(room="console:main", user="lin", text=text, message_id=ident)

    async def presses(self, label: str) -> None:
        buttons = [b for m in self._shown for block in m.blocks if isinstance(block, Buttons) for b in block.buttons]
        (command, *_) = [b.command for b in reversed(buttons) if b.label.en == label]
        await self.types(command)

    async def look(self) -> None:
        self._shown = [m for m, _, _ in await self.whole.bot.service.messages("console:main")]

    def shows(self) -> str:
        return "\n".join(plain(m.blocks, "en") for m in self._shown)

    def files(self) -> dict[str, bytes]:
        return {b.name: b.content.encode() for m in self._shown for b in m.blocks if isinstance(b, File)}


class OnSlack:
    at_once = 20

    def __init__(self, whole: Whole, slack: Any) -> None:
        self.whole, self.slack = whole, slack

    async def types(self, text: str) -> None:
        answer = await self.slack.types("C0OPS", "U0LIN", text)
        assert answer.status == 200

    async def presses(self, label: str) -> None:
        answer = await self.slack.presses("C0OPS", "U0LIN", label)
        assert answer.status == 200

    async def look(self) -> None:
        pass

    def shows(self) -> str:
        return "\n".join(self.slack.shown("C0OPS"))

    def files(self) -> dict[str, bytes]:
        return {f["name"]: f["content"] for f in self.slack.space.files.values() if f["channel"] == "C0OPS"}


class OnWeCom:
    at_once = 8
    """WeCom takes 30 messages a minute in one conversation; the rest would wait."""

    def __init__(self, whole: Whole, wecom: WeComServer) -> None:
        self.whole, self.wecom = whole, wecom

    async def types(self, text: str) -> None:
        await self.wecom.types("wecom:bot/ops", "lin", text)

    async def presses(self, label: str) -> None:
        if self.wecom.mode == "socket":
            await self.wecom.presses("wecom:bot/ops", "lin", label)
            return
        # A stream has no buttons: it says what to type instead.
        (*_, typed) = re.findall(rf"^{label}: `@{NAME} (.+)`$", self.shows(), re.MULTILINE)
        await self.types(typed)

    async def look(self) -> None:
        pass

    def shows(self) -> str:
        return "\n".join(self.wecom.shown("wecom:bot/ops"))

    def files(self) -> dict[str, bytes]:
        # In callback mode the robot has no files to give; the application gives them to who asked, alone.
        room = "wecom:bot/ops" if self.wecom.mode == "socket" else "wecom:app/lin"
        return dict(shown.file for shown in self.wecom.screen(room) if shown.file)


def on_wecom(mode: Any) -> Callable[[Path], Any]:
    @asynccontextmanager
    async def begin(folder: Path) -> AsyncIterator[Any]:
        async with WeComServer(mode=mode) as wecom, whole_bot(folder, wecom=wecom.settings()) as whole:
            wecom.caller.base = whole.bot.config.url
            if mode == "socket":
                await asyncio.wait_for(wecom.robot.subscribed.wait(), 30)
            yield OnWeCom(whole, wecom)

    return begin


@asynccontextmanager
async def on_console(folder: Path) -> AsyncIterator[Any]:
    async with whole_bot(folder) as whole:
        yield OnConsole(whole)


def on_slack(mode: Any) -> Callable[[Path], Any]:
    @asynccontextmanager
    async def begin(folder: Path) -> AsyncIterator[Any]:
        async with slack_server(mode=mode) as slack, whole_bot(folder, slack=slack_settings(slack, mode)) as whole:
            slack.events_url = f"{whole.bot.config.url}/slack/events"
            if mode == "socket":
                await slack.connected()
            yield OnSlack(whole, slack)

    return begin


PLATFORMS = {
    "console": on_console,
    "slack-http": on_slack("http"),
    "slack-socket": on_slack("socket"),
    "wecom-socket": on_wecom("socket"),
    "wecom-callback": on_wecom("callback"),
}


@pytest.fixture(params=list(PLATFORMS))
async def talk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    async with PLATFORMS[request.param](tmp_path) as talk:
        yield talk


async def sees(talk: Any, *words: str) -> str:
    """Wait until the room shows all of them."""

    async def shown() -> bool:
        await talk.look()
        return all(word in talk.shows() for word in words)

    await talk.whole.until(shown, lambda: f"{words} in:\n{talk.shows()}")
    return str(talk.shows())


async def hears(talk: Any, what: Callable[[], Awaitable[bool]]) -> None:
    await talk.whole.until(what, talk.shows)


async def test_a_night_from_the_declaration_to_the_postmortem(talk: Any) -> None:
    await talk.types("/help")
    await sees(talk, "/diag sms", "/watch stop")

    await talk.types("/incident declare the shop is down sev3")
    await sees(talk, "INC-1 the shop is down", "sev3")

    await talk.types("/diag web")
    await sees(talk, "/diag web · INC-1")

    await talk.types("/page lin")

    async def rings() -> bool:
        return bool(talk.whole.phone.requests)

    await hears(talk, rings)
    await sees(talk, "call to lin")
    await talk.presses("I have it")
    await sees(talk, "lin has INC-1")

    await talk.types("/note 23:40 COS is down too")
    await sees(talk, "COS is down too")

    await talk.types("/watch")
    talk.whole.page.status = 200
    await sees(talk, "recovered")

    await talk.types("/incident resolve")
    await sees(talk, "INC-1 resolved after")
    await talk.types("/postmortem")

    async def arrived() -> bool:
        await talk.look()
        return any(name.startswith("INC-1") and name.endswith(".md") for name in talk.files())

    await hears(talk, arrived)
    (report,) = (content.decode() for name, content in talk.files().items() if name.endswith(".md"))
    assert "the shop is down" in report
    assert "COS is down too" in report

    await talk.types("/nonsense")
    await sees(talk, "/help lists them all")

    async with talk.whole.bot.parts.store.begin() as tx:
        entries = await tx.timeline.read(incident="INC-1")
    assert {e.actor for e in entries if e.kind == "command"} == {"lin"}
    assert [e.kind.value for e in entries].count("ack") == 1


async def test_what_is_typed_at_once_is_carried_out_once_each(talk: Any) -> None:
    await asyncio.gather(*(talk.types(f"/note line {n:02}") for n in range(talk.at_once)))
    await sees(talk, *(f"line {n:02}" for n in range(talk.at_once)))
    async with talk.whole.bot.parts.store.begin() as tx:
        rooms = [r.key for p in ("console", "slack", "wecom") for r in await tx.rooms.list(p)]
        notes = [e.en for room in rooms for e in await tx.timeline.read(room=room) if e.kind == "note"]
    assert sorted(notes) == [f"line {n:02}" for n in range(talk.at_once)]
