"""The platform is in trouble while an incident is opened: what is looked at and who is called does not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.app.alert_sources import AlertSource
from bot.app.alerts import take
from bot.domain.alert import Alert, AlertKind, AlertStatus
from bot.domain.chat import Made, NewRoom
from tests.transcript import ROOM, Night, a_night


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path) as night:
        yield night


def fires(night: Night) -> Alert:
    now = night.parts.clock.now()
    return Alert(source="prom", key="k", status=AlertStatus.FIRING, title="sms fails", severity="sev1", at=now)


async def test_an_alert_for_a_room_of_a_platform_that_is_not_there_opens_its_incident_and_calls(night: Night) -> None:
    source = AlertSource(name="prom", kind=AlertKind.GENERIC, token="t", room="slack:C1")
    taken = await take(night.parts, source, [fires(night)])
    assert taken.opened == ["INC-1"]
    assert len(await night.rings(1)) == 1


async def test_a_platform_that_hangs_holds_up_neither_the_alert_nor_the_calls(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.app.create_room.PATIENCE_S", 0.2)

    async def hang(wanted: NewRoom) -> Made:
        await asyncio.sleep(3600)
        return Made(key="")

    night.chat.create_room = hang  # type: ignore[method-assign,assignment]
    source = AlertSource(name="prom", kind=AlertKind.GENERIC, token="t", room=ROOM)
    async with asyncio.timeout(5):
        taken = await take(night.parts, source, [fires(night)])
    assert taken.opened == ["INC-1"]
    assert len(await night.rings(1)) == 1
    await night.until("no room can be created (no answer within 0.2 s); this room is the war room of INC-1")
