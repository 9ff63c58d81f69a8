"""Brings what Slack delivers to the door, and decides what Slack is told: acknowledged once it is recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from bot.adapters.slack.answers import Answers
from bot.adapters.slack.keeping import Keeper
from bot.adapters.slack.modal import Modals, wants_form
from bot.adapters.slack.read import Keep, Line, Nothing, Unreadable, read
from bot.app.ports import ChatDoor
from bot.domain.errors import SendFailed, StoreUnavailable
from bot.domain.text import Lang, Text

log = logging.getLogger(__name__)

PATIENCE_S = 2.5
"""Slack waits 3 s for an acknowledgement; one that is not recorded by then is acknowledged, and goes on."""
NOT_TAKEN = Text(
    "Warroom 现在记不下命令（数据库和本地暂存都不可用）；请稍后再试，并用电话联系值班",
    "Warroom can record nothing just now (neither database nor spool); try again, and call who is on duty by phone",
)
BROKEN = Text("这个命令没能执行；已写进 Warroom 的日志", "this could not be carried out; the log of Warroom says why")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What Slack is told: an HTTP status, and for commands a body."""

    status: int = 200
    body: Mapping[str, Any] | None = None


class Inlet:
    """One for both ways in. `bot` is the bot's own account, once it is known."""

    def __init__(
        self, door: ChatDoor, answers: Answers, keeper: Keeper, modals: Modals, *, lang: Lang, reaction: str
    ) -> None:
        self._door = door
        self._answers = answers
        self._keeper = keeper
        self._modals = modals
        self._lang = lang
        self._reaction = reaction
        self._working: set[asyncio.Task[Reply]] = set()

    def read(self, body: Mapping[str, Any]) -> Line | Keep | Nothing:
        """What it is. Raises Unreadable."""
        return read(body, bot=self._keeper.bot, reaction=self._reaction)

    async def take(self, body: Mapping[str, Any]) -> Reply:
        """Take one delivery in. Never raises."""
        try:
            found = self.read(body)
        except Unreadable as exc:
            log.warning("Slack delivered something unreadable: %s", exc)
            return Reply(status=400)
        match found:
            case Line():
                self._answers.know(found)
                return await self._in_time(self._line(found))
            case Keep():
                return await self._in_time(self._keep(found))
            case Nothing():
                return Reply()

    async def close(self) -> None:
        """Wait a moment for what is being taken in."""
        if self._working:
            await asyncio.wait(self._working, timeout=PATIENCE_S)
        for task in self._working:
            task.cancel()

    async def _in_time(self, work: Coroutine[Any, Any, Reply]) -> Reply:
        """The reply, or an acknowledgement when it takes longer than Slack waits; the work goes on."""
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_S)
        if done:
            return task.result()
        log.warning("acknowledged to Slack before it was recorded: that takes longer than %.1f s", PATIENCE_S)
        return Reply()

    async def _line(self, line: Line) -> Reply:
        if wants_form(line) and await self._modals.opened(line):
            return Reply()
        try:
            await self._door.said(line.inbound)
        except StoreUnavailable as exc:
            log.error("a command could not be recorded: %s", exc)
            return await self._failed(line, NOT_TAKEN)
        except Exception:
            log.exception("a command could not be taken in")
            return await self._failed(line, BROKEN)
        return Reply(body={"response_type": "in_channel"} if line.typed else None)

    async def _failed(self, line: Line, why: Text) -> Reply:
        """An event comes again when it is not acknowledged; a command does not, so that whoever typed it is told."""
        if line.again:
            return Reply(status=503)
        if line.typed:
            return Reply(body={"response_type": "ephemeral", "text": why.in_(self._lang)})
        await self._answers.privately(line.respond, why.in_(self._lang))
        return Reply()

    async def _keep(self, keep: Keep) -> Reply:
        try:
            text = await self._keeper.keep(keep, self._door)
        except (StoreUnavailable, SendFailed) as exc:
            log.warning("a message could not be kept: %s", exc)
            if keep.respond:
                await self._answers.privately(keep.respond, str(exc))
                return Reply()
            return Reply(status=503)
        except Unreadable as exc:
            log.warning("a message to keep is not readable: %s", exc)
            return Reply()
        except Exception:
            log.exception("a message could not be kept")
            return Reply()
        await self._answers.privately(keep.respond, text.in_(self._lang))
        return Reply()
