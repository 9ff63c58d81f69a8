"""A watch lasts as long as its row: through restarts, a database that is away, and several bots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.app.ports import Tx
from bot.app.watch import resume
from bot.domain.errors import StoreUnavailable
from bot.domain.incident import EntryKind, Watch
from tests.diagnosis import nights
from tests.transcript import ROOM, Night, a_night

RECOVERED = "recovered: green 5 times in a row"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.app.watch.PAUSE_S", 0.02)


async def watches(night: Night) -> list[Watch]:
    async with night.parts.store.begin() as tx:
        return list(await tx.watches.list())


def recoveries(night: Night) -> int:
    return night.shows().count(RECOVERED)


async def test_a_watch_goes_on_after_a_restart_and_still_says_when_it_is_over(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/diag sms")
        await night.types("/incident declare")
        await night.types("/watch")
        await night.until(" red")
        assert [w.playbook for w in await watches(night)] == ["sms"]
    async with a_night(tmp_path) as night:
        await night.until(RECOVERED)
        assert await watches(night) == []
        assert [e.kind for e in await night.timeline("INC-1")].count(EntryKind.RECOVERY) == 1
    async with a_night(tmp_path) as night:
        await asyncio.sleep(0.3)
        assert recoveries(night) == 0


async def test_a_watch_that_was_stopped_stays_stopped_after_a_restart(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/watch sms")
        await night.types("/watch stop")
        await night.until("watch ended")
        assert "[Stop watching" not in night.shows()
    async with a_night(tmp_path) as night:
        await asyncio.sleep(0.3)
        assert night.shows() == ""


async def test_resolving_the_incident_ends_its_watch(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/diag sms")
        await night.types("/incident declare")
        await night.types("/watch")
        await night.types("/incident resolve")
        night.rule = nights.healthy
        await night.until("watch ended")
        await asyncio.sleep(0.5)
        assert recoveries(night) == 0


async def test_a_second_watch_of_the_room_takes_the_place_of_the_first(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/watch sms")
        await night.types("/watch cos")
        assert [w.playbook for w in await watches(night)] == ["cos"]
        await night.until("watch ended")
        assert night.shows().count("[Stop watching: /watch stop]") == 1


async def test_two_bots_that_watch_the_same_room_say_it_once(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/watch sms")
        twin = replace(night.parts, jobs=type(night.parts.jobs)())
        await resume(twin)
        night.rule = nights.healthy
        await night.until(RECOVERED)
        await asyncio.sleep(0.5)
        assert recoveries(night) == 1
        await twin.jobs.close()


async def test_a_recovery_that_the_database_missed_is_said_when_it_is_back(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/watch sms")
        store, away = night.parts.store, asyncio.Event()
        away.set()

        class Away:
            @asynccontextmanager
            async def begin(self) -> AsyncIterator[Tx]:
                if away.is_set():
                    raise StoreUnavailable("the disk is full")
                async with store.begin() as tx:
                    yield tx

            async def check(self) -> str | None:
                return None

        night.parts.store = Away()
        night.rule = nights.healthy
        await asyncio.sleep(0.5)
        assert recoveries(night) == 0
        away.clear()
        await night.until(RECOVERED)


async def test_nobody_is_watched_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.app.watch.LONGEST", timedelta(seconds=0.2))
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/watch sms")
        await night.until("watched for 6 hours; stopped")
        assert await watches(night) == []


async def test_a_watch_whose_playbook_is_gone_after_a_restart_says_so(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night, night.parts.store.begin() as tx:
        at = night.parts.clock.now()
        await tx.watches.save(Watch(room=ROOM, playbook="fax", message="watch-1", since=at, started_at=at))
    async with a_night(tmp_path) as night:
        await night.until("playbook fax is gone; watch ended")
        assert await watches(night) == []


async def test_a_region_that_is_silent_is_never_a_recovery(tmp_path: Path) -> None:
    async with a_night(tmp_path, who=nights.lost("east-vm")) as night:
        await night.types("/watch sms")
        await night.until("without data")
        await asyncio.sleep(0.5)
        assert recoveries(night) == 0
