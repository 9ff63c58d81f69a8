"""A browser sees what another bot on the same database says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from bot.adapters.console.follow import Follower
from bot.adapters.console.platform import ConsolePlatform
from bot.domain.errors import StoreUnavailable
from bot.domain.message import Header, Message
from bot.domain.text import same

ROOM = "console:main"


def said(key: str) -> Message:
    return Message(key=key, room=ROOM, blocks=(Header(text=same(key), tone="info"),))


class Record:
    """What is in the database."""

    def __init__(self) -> None:
        self.rows: list[tuple[Message, int]] = []
        self.asked: list[str] = []
        self.away = False

    async def changed(self, room: str, within: timedelta) -> Sequence[tuple[Message, int]]:
        assert within.total_seconds() >= 10
        self.asked.append(room)
        if self.away:
            raise StoreUnavailable("away")
        return list(self.rows)


async def woken(follower: Follower) -> None:
    follower.wake()
    await asyncio.sleep(0.3)


async def test_what_another_bot_says_and_edits_is_offered_once_each() -> None:
    platform, record = ConsolePlatform(), Record()
    follower = Follower(platform, record.changed)
    following = asyncio.create_task(follower.run())
    await woken(follower)
    assert record.asked == []
    with platform.subscribe(ROOM) as browser:
        record.rows = [(said("a"), 1)]
        await woken(follower)
        assert list(browser.take()[0]) == ["a"]
        record.rows = [(said("a"), 1), (said("b"), 1)]
        await woken(follower)
        assert list(browser.take()[0]) == ["b"]
        record.rows = [(said("b"), 1), (said("a"), 2)]
        await woken(follower)
        assert list(browser.take()[0]) == ["a"]
        record.away = True
        await woken(follower)
        record.away = False
        record.rows.append((said("c"), 1))
        await woken(follower)
        assert list(browser.take()[0]) == ["c"]
    following.cancel()
