"""Messages that people want in the timeline: fetched, with their author, their time and a link to them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from bot.adapters.slack.api import Api
from bot.adapters.slack.mrkdwn import typed
from bot.adapters.slack.people import People
from bot.adapters.slack.read import NAME, Keep, author, moment
from bot.adapters.slack.recent import Recent
from bot.adapters.slack.trouble import SlackRefused
from bot.app.ports import ChatDoor
from bot.domain.chat import Captured
from bot.domain.errors import SendFailed
from bot.domain.text import legible

log = logging.getLogger(__name__)

MOST_CHARACTERS = 4000
MOST_NAMES = 10
_ACCOUNT = re.compile(r"@([UW][A-Z0-9]{2,})\b")


class Keeper:
    """`bot` is the bot's own account, "" until Slack has told it: what the bot pins is nothing to keep."""

    def __init__(self, api: Api, people: People) -> None:
        self._api = api
        self._people = people
        self.bot = ""
        self.roots: Recent[str] = Recent(1000)
        """The thread each kept message is in or begins, by what the door knows it by."""

    async def keep(self, keep: Keep, door: ChatDoor) -> bool:
        """Bring it to the door; False when it was kept before. Raises SendFailed, Unreadable, StoreUnavailable."""
        if not keep.respond and keep.by.id == await self.whoami():
            return True
        message = keep.message if keep.message.get("text") and keep.message.get("user") else await self._fetched(keep)
        link = message.get("permalink") or await self._link(keep)
        ident = f"keep/{keep.channel}/{keep.ts}"
        self.roots.put(ident, str(message.get("thread_ts") or keep.ts))
        return await door.captured(
            Captured(
                text=(await self._with_names(legible(_text_of(message))))[:MOST_CHARACTERS] or "…",
                author=author(message),
                by=keep.by,
                room=f"{NAME}:{keep.channel}",
                at=moment(keep.ts),
                message_id=ident,
                link=legible(str(link)),
            )
        )

    async def _with_names(self, text: str) -> str:
        """The text with names in place of accounts: a timeline is read where nobody knows them."""
        for account in dict.fromkeys(_ACCOUNT.findall(text)[:MOST_NAMES]):
            try:
                profile = await self._people.profile(account)
            except SendFailed as exc:
                log.info("a kept message has an account without a name: %s", exc)
                return text
            if profile is not None and profile.name:
                text = re.sub(rf"@{account}\b", lambda _, name=profile.name: f"@{name}", text)  # type: ignore[misc]
        return text

    async def whoami(self) -> str:
        """The bot's own account; "" while Slack does not tell."""
        if not self.bot:
            try:
                self.bot = str((await self._api.call(self._api.client.auth_test)).get("user_id", ""))
            except SendFailed as exc:
                log.info("cannot ask Slack who the bot is: %s", exc)
        return self.bot

    async def _fetched(self, keep: Keep) -> Mapping[str, Any]:
        """The message: in the channel, or in a thread of it. Raises SendFailed."""
        where = {"channel": keep.channel, "latest": keep.ts, "oldest": keep.ts, "inclusive": True}
        answer = await self._api.call(self._api.client.conversations_history, **where, limit=1)
        found = _of(answer, keep.ts)
        if found is None:
            answer = await self._api.call(self._api.client.conversations_replies, **where, ts=keep.ts, limit=10)
            found = _of(answer, keep.ts)
        if found is None:
            raise SendFailed("conversations.history: the message is gone", permanent=True)
        return found

    async def _link(self, keep: Keep) -> str:
        try:
            answer = await self._api.call(self._api.client.chat_getPermalink, channel=keep.channel, message_ts=keep.ts)
        except SlackRefused as exc:
            log.info("no link to a kept message: %s", exc)
            return ""
        return str(answer.get("permalink", ""))


def _of(answer: Mapping[str, Any], ts: str) -> Mapping[str, Any] | None:
    rows = answer.get("messages")
    return (
        next((m for m in rows if isinstance(m, dict) and m.get("ts") == ts), None) if isinstance(rows, list) else None
    )


def _text_of(message: Mapping[str, Any]) -> str:
    files = message.get("files")
    names = [f"📎 {f.get('name', '')}" for f in files if isinstance(f, dict)] if isinstance(files, list) else []
    return "\n".join(filter(None, (typed(str(message.get("text") or "")), *names)))
