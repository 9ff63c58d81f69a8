"""War rooms: groups the application makes, with their first message at once, for before it nobody sees them."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable

from bot.adapters.wecom.api import Api
from bot.adapters.wecom.application import Application, members_of
from bot.adapters.wecom.budget import NEW_GROUPS, Budget
from bot.adapters.wecom.text import harmless, short
from bot.domain.chat import Made, NewRoom
from bot.domain.errors import SendFailed
from bot.domain.text import legible

log = logging.getLogger("warroom.wecom")

NAME_LENGTH = 50
CHAT_LENGTH = 32
LEAST = 2
NO_SUCH_MEMBER = frozenset({40003, 40031, 60111, 60102, 86003, 86004, 86224})
FIRST_TRIES = 3
TOO_FEW = (
    "群至少要 {least} 个成员，这里只有 {n} 个（{who}）：在 people.yaml 里给值班的人填 wecom，或用 /warroom bind "
    "把当前的群当战情室 / a group needs {least} members and here are {n} ({who}): name the wecom accounts of those on "
    "call in people.yaml, or make the group at hand the war room with /warroom bind"
)
ROBOT_HINT = (
    "这个群里的命令要 @机器人；机器人要由群成员手动添加一次 / commands in this group go to the robot by @-mention; "
    "a member has to add it to the group once"
)


class Groups:
    """Makes groups; at most 1000 a day."""

    def __init__(self, api: Api, application: Application, now: Callable[[], float] = time.monotonic) -> None:
        self._api, self._application = api, application
        self._budget = Budget(NEW_GROUPS, now)

    async def create(self, wanted: NewRoom) -> Made:
        """Raises SendFailed with words for those who can mend it."""
        members = members_of(wanted.members)
        title = short(legible(wanted.title), NAME_LENGTH) or wanted.incident
        left_out: list[str] = []
        chat = _chat_id(wanted.incident)
        try:
            await self._create(chat, title, members)
        except SendFailed as exc:
            if getattr(exc, "code", 0) not in NO_SUCH_MEMBER:
                raise
            # One unknown account must not cost the others their room.
            members, left_out = await self._sorted(members)
            await self._create(chat, title, members)
        await self._first(chat, wanted)
        return Made(key=f"wecom:chat/{chat}", left_out=tuple(left_out), note=ROBOT_HINT)

    async def _create(self, chat: str, title: str, members: list[str]) -> None:
        if len(members) < LEAST:
            who = ", ".join(members) or "–"
            raise SendFailed(TOO_FEW.format(least=LEAST, n=len(members), who=who), permanent=True)
        self._budget.take("", "new groups")
        body = {"name": title, "userlist": members, "owner": members[0], "chatid": chat}
        await self._api.call("appchat/create", body)

    async def _sorted(self, members: list[str]) -> tuple[list[str], list[str]]:
        """Those WeCom knows, and the others."""

        async def known(user: str) -> bool:
            try:
                await self._api.call("user/get", userid=user)
            except SendFailed as exc:
                return getattr(exc, "code", 0) not in NO_SUCH_MEMBER
            return True

        found = await asyncio.gather(*(known(user) for user in members))
        return (
            [u for u, there in zip(members, found, strict=True) if there],
            [u for u, there in zip(members, found, strict=True) if not there],
        )

    async def _first(self, chat: str, wanted: NewRoom) -> None:
        """Without it nobody sees the group; what comes next makes it visible too, so it is not worth giving up for."""
        lines = [f"🚨 **{harmless(wanted.title)}**", harmless(wanted.topic), wanted.link]
        for left in reversed(range(FIRST_TRIES)):
            try:
                await self._application.first_words(chat, "\n".join(filter(None, lines)))
                return
            except SendFailed as exc:
                log.warning("the first message of the group %s: %s", chat, exc)
                if left and not exc.permanent:
                    await asyncio.sleep(0.5)


def _chat_id(incident: str) -> str:
    """Ours to choose: at most 32 of 0-9a-zA-Z."""
    return (re.sub(r"[^0-9A-Za-z]", "", incident)[: CHAT_LENGTH - 12] + secrets.token_hex(6))[:CHAT_LENGTH]
