"""A line of chat is carried out once, or not at all and then said so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.app.dispatch import handle
from bot.app.ports import Store, Tx
from bot.domain.errors import SendFailed, StoreUnavailable
from bot.domain.incident import EntryKind
from tests.transcript import ROOM, Night, a_night


class Shaky:
    """A store whose transactions fail at their commit as long as it is told to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.shaky = True

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        async with self._store.begin() as tx:
            yield tx
            if self.shaky:
                raise StoreUnavailable("the disk is full")

    async def check(self) -> str | None:
        return await self._store.check()


async def notes(night: Night) -> list[str]:
    return [e.en for e in await night.timeline() if e.kind is EntryKind.NOTE]


async def test_a_message_that_could_not_be_recorded_is_carried_out_when_the_platform_delivers_it_again(
    tmp_path: Path,
) -> None:
    async with a_night(tmp_path) as night:
        whole = night.parts.store
        night.parts.store = shaky = Shaky(whole)
        error = await handle(night.parts, "/note COS is down too", user="lin", room=ROOM, message_id="m1")
        assert error is not None
        assert error.code == "store_unavailable"
        assert "nothing recorded before is lost" in night.shows()
        shaky.shaky = False
        assert await night.types("/note COS is down too", key="m1") is None
        assert await night.types("/note COS is down too", key="m1") is None
        assert await notes(night) == ["COS is down too"]


async def test_a_command_that_is_refused_leaves_nothing_but_its_refusal(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        error = await night.types("/page bob", key="m1")
        assert error is not None
        assert await night.types("/page bob", key="m1") is None
        (entry,) = await night.timeline()
        assert entry.data == {"error": "unknown_person"}
        assert entry.en.startswith("/page bob → ")
        assert night.pager.calls == []


async def test_two_people_may_use_the_same_message_id(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.types("/note one", key="m1", user="lin")
        await night.types("/note two", key="m1", user="chen")
        assert await notes(night) == ["one", "two"]


async def test_with_database_and_platform_both_away_the_bot_stays_up(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.parts.store = Shaky(night.parts.store)
        night.chat.down = SendFailed("HTTP 503")
        error = await handle(night.parts, "/note x", user="lin", room=ROOM)
        assert error is not None
        assert error.code == "store_unavailable"


@pytest.mark.parametrize("typed", ["/note\tCOS", "note\nCOS", "／note　COS", "/note\u00a0COS", "  / NOTE  COS  "])
async def test_spaces_of_every_kind_and_a_missing_slash_are_understood(tmp_path: Path, typed: str) -> None:
    async with a_night(tmp_path) as night:
        assert await night.types(typed) is None
        assert await notes(night) == ["COS"]


@pytest.mark.parametrize(
    ("typed", "title"),
    [
        ("/incident declare can't send SMS codes", "can't send SMS codes"),
        ('/incident declare "SMS is down"', "SMS is down"),
        ("/incident declare p99=3s, was 20ms", "p99=3s, was 20ms"),
        ("/incident declare 短信 发不出去", "短信 发不出去"),
        ("/incident declare", "untitled incident"),
    ],
)
async def test_an_incidents_title_is_what_was_typed(tmp_path: Path, typed: str, title: str) -> None:
    async with a_night(tmp_path) as night:
        assert await night.types(typed) is None
        (opened,) = await night.service.incidents()
        assert opened.title == title
