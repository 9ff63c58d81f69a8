"""The card of alerts is one in each room, and tells how they stand wherever people look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.app.alert_sources import AlertSource
from bot.app.alerts import take
from bot.domain.alert import Alert, AlertKind, AlertStatus
from tests.transcript import ROOM, Night, a_night

SOURCE = AlertSource(name="prom", kind=AlertKind.GENERIC, token="t", room=ROOM)


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path) as night:
        yield night


async def told(night: Night, key: str, status: AlertStatus = AlertStatus.FIRING, severity: str = "sev1") -> None:
    now = night.parts.clock.now()
    alert = Alert(source="prom", key=key, status=status, title=f"{key} fails", severity=severity, at=now)
    await take(night.parts, SOURCE, [alert])
    await night.settle()


async def test_the_war_room_and_the_room_of_the_source_show_the_same(night: Night) -> None:
    await told(night, "sms")
    ((room, _, _),) = night.chat.rooms
    await told(night, "login")
    for place in (ROOM, room):
        assert "2 alerts firing" in night.shows(place)
        assert "1 alert firing" not in night.shows(place)
    await told(night, "sms", AlertStatus.RESOLVED)
    await told(night, "login", AlertStatus.RESOLVED)
    for place in (ROOM, room):
        assert "all 2 alerts are over" in night.shows(place)
        assert "firing" not in night.shows(place)


async def test_alerts_of_a_duplicate_go_on_in_the_other_and_its_card_says_so(night: Night) -> None:
    await night.types("/incident declare login is broken sev3", room="console:other")
    await told(night, "sms", severity="sev3")
    await night.types("/incident merge INC-1", room=ROOM)
    assert "its alerts are part of INC-1 now" in night.shows(ROOM)
    assert "1 alert firing" in night.shows("console:other")
    await told(night, "sms", AlertStatus.RESOLVED, severity="sev3")
    assert "the alert is over" in night.shows("console:other")
    assert "the alert is over" in night.shows(ROOM)
