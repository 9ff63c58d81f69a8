"""A room speaks the language somebody chose for it, else the configuration's of today."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot.adapters.store.store import SqlStore
from bot.app import words
from bot.app.service import MAIN_ROOM
from bot.domain.incident import Room
from bot.domain.text import Lang
from tests.store.databases import sqlite_database
from tests.transcript import a_night


async def main_room(folder: Path, lang: Lang) -> Room:
    """The main room as a bot that is configured for this language finds it after it began."""
    store = SqlStore(sqlite_database(folder / "night.db"), lang=lang)
    try:
        async with store.begin() as tx:
            room = await tx.rooms.get(MAIN_ROOM)
    finally:
        await store.close()
    assert room is not None
    return room


async def test_a_room_whose_language_nobody_chose_follows_the_configuration(tmp_path: Path) -> None:
    async with a_night(tmp_path):
        pass
    for lang in ("en", "zh"):
        room = await main_room(tmp_path, lang)  # type: ignore[arg-type]
        assert (room.lang, room.lang_chosen) == (lang, False)


@pytest.mark.parametrize("typed", ["/language zh", "/language 中文", "/LANGUAGE Chinese"])
async def test_a_chosen_language_is_spoken_at_once_and_outlives_the_configuration(tmp_path: Path, typed: str) -> None:
    async with a_night(tmp_path) as night:
        assert await night.types(typed) is None
        assert "这个房间现在说中文" in night.shows(lang="zh")
        assert night.chat.refreshed == [MAIN_ROOM]
        await night.service.prepare()
        (room,) = await night.service.rooms()
        assert (room.lang, room.title) == ("zh", "故障群")
    assert (await main_room(tmp_path, "en")).lang == "zh"


async def test_the_language_chosen_in_the_console_counts_as_chosen(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.service.set_language(MAIN_ROOM, "zh")
    assert (await main_room(tmp_path, "en")).lang == "zh"


@pytest.mark.parametrize("typed", ["/language", "/language fr", "/language zh en"])
async def test_no_such_language_names_those_there_are(tmp_path: Path, typed: str) -> None:
    async with a_night(tmp_path) as night:
        error = await night.types(typed)
        assert error is not None
        assert str(error) == "which language? write /language zh / /language en"


async def test_help_names_the_command(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.types("/help")
        assert "/language en" in night.shows()


async def test_times_are_shown_with_their_zone(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.parts.timezone = ZoneInfo("Asia/Kolkata")
        await night.types("/note 23:40 COS is down too")
        await night.types("/timeline")
        assert "noted (23:40 UTC+5:30): COS is down too" in night.shows()
        assert "times in UTC+5:30" in night.shows()


@pytest.mark.parametrize(("minutes", "shown"), [(0, "UTC"), (480, "UTC+8"), (-210, "UTC-3:30")])
def test_a_zone_is_its_distance_from_utc(minutes: int, shown: str) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    assert words.zone(at) == shown
