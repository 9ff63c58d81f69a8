"""Bots that are told of the same alerts at once wait for each other in one order, and never in a circle."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.app.alert_sources import AlertSource
from bot.app.alerts import take
from bot.app.dispatch import handle
from bot.domain.alert import Alert, AlertKind, AlertRules, AlertStatus
from tests.store.fixtures import database, store_url
from tests.transcript import ROOM, a_night

__all__ = ["database", "store_url"]

ROUNDS, BOTS = 5, 4


def source(name: str) -> AlertSource:
    rules = AlertRules(by=("host",), most=3)
    return AlertSource(name=name, kind=AlertKind.GENERIC, token="t", room=ROOM, rules=rules)


def alert(of: str, host: str, number: int) -> Alert:
    return Alert(
        source=of,
        key=f"{host}-{number}",
        status=AlertStatus.FIRING,
        title=f"{host} is down",
        severity="sev2",
        labels={"host": host},
        at=datetime.now(UTC),
    )


async def test_a_delivery_waits_for_the_incident_it_joins_before_it_numbers_the_one_it_opens(
    store_url: str, tmp_path: Path
) -> None:
    """Somebody who has the first one and opens another meanwhile would wait for the number, and both for ever."""
    async with a_night(tmp_path, url=store_url) as night:
        await take(night.parts, source("a"), [alert("a", "gw-0", 0)])
        elsewhere = replace(source("a"), room="console:elsewhere")
        async with night.parts.store.begin() as tx:
            held = await tx.incidents.get("INC-1")
            assert held is not None
            taking = asyncio.create_task(take(night.parts, elsewhere, [alert("a", "gw-0", 1), alert("a", "gw-1", 1)]))
            await asyncio.wait([taking], timeout=1)
            opened = await tx.incidents.open(replace(held, id="", room="console:third", origin_room="console:third"))
        taken = await taking
    assert opened.id == "INC-2"
    assert (taken.joined, taken.opened) == (["INC-1"], ["INC-3"])


async def test_two_sources_with_one_room_open_and_join_incidents_at_once_while_people_acknowledge(
    store_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_night(tmp_path, url=store_url) as night:
        await take(night.parts, source("a"), [alert("a", "gw-0", 0)])
        await take(night.parts, source("b"), [alert("b", "gw-0", 0)])

        async def told(bot: int) -> None:
            name = "ab"[bot % 2]
            for n in range(1, ROUNDS):
                # One that is known, with more to tell, and two that are new: a number is taken, a lock is wanted.
                news = [alert(name, "gw-0", n), alert(name, f"h{bot}-{n}", n), alert(name, f"i{bot}-{n}", n)]
                await take(night.parts, source(name), news)

        async def typed() -> None:
            for _ in range(ROUNDS):
                await handle(night.parts, "/ack", user="lin", room=ROOM)
                await handle(night.parts, "/note still looking", user="chen", room=ROOM)

        # PostgreSQL breaks a circle after a second, and what was broken off raises StoreBusy or is logged.
        await asyncio.gather(*(told(bot) for bot in range(BOTS)), typed())
        async with night.parts.store.begin() as tx:
            opened = await tx.incidents.list(limit=500)
    assert len(opened) >= BOTS
    assert "deadlock" not in caplog.text
