"""A room goes on to the next incident, and the cards of the one before are still there to be pressed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.app.alert_sources import AlertSource
from bot.app.alerts import take
from bot.app.reminders import remind
from bot.domain.alert import Alert, AlertKind, AlertStatus
from bot.domain.incident import Incident
from bot.testing import FixedClock
from tests.transcript import ROOM, Night, a_night


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def night(clock: FixedClock, tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path, clock=clock) as night:
        yield night


async def stands(night: Night, name: str) -> Incident:
    async with night.parts.store.begin() as tx:
        found = await tx.incidents.look(name)
    assert found is not None
    return found


def buttons(night: Night) -> set[str]:
    """What the buttons of the room type, but for those that only look."""
    typed = set(re.findall(r"\[[^\]]*?: (/[^\]]+)\]", night.shows()))
    return {command for command in typed if command.split()[0] not in ("/diag", "/timeline", "/watch", "/vendor")}


async def test_a_reminder_of_the_last_incident_puts_nothing_off_for_the_next(night: Night, clock: FixedClock) -> None:
    await night.types("/incident declare SMS is slow sev3")
    await clock.advance(timedelta(hours=2, seconds=5).total_seconds())
    assert await remind(night.parts)
    await night.settle()
    pressed = {command for command in buttons(night) if "snooze" in command}
    assert pressed
    await night.types("/incident resolve")
    await night.types("/incident declare all is down sev1")
    for command in pressed:
        await night.types(command)
    assert (await stands(night, "INC-2")).snoozed is None


async def test_every_button_of_an_incidents_cards_names_it(night: Night, clock: FixedClock) -> None:
    await night.types("/incident declare all is down sev1")
    await clock.advance(timedelta(minutes=16).total_seconds())
    while await remind(night.parts):
        pass
    await night.settle()
    pressed = buttons(night)
    assert any("snooze" in command for command in pressed)
    assert any("commander" in command for command in pressed)
    assert {command for command in pressed if "INC-1" not in command} == set()


async def test_a_card_of_alerts_that_are_over_resolves_its_own_incident_only(night: Night) -> None:
    source = AlertSource(name="prom", kind=AlertKind.GENERIC, token="t", room=ROOM)

    def told(status: AlertStatus) -> Alert:
        return Alert(
            source="prom", key="k", status=status, title="SMS fails", severity="sev3", at=night.parts.clock.now()
        )

    await take(night.parts, source, [told(AlertStatus.FIRING)])
    await take(night.parts, source, [told(AlertStatus.RESOLVED)])
    await night.settle()
    (pressed,) = {command for command in buttons(night) if command.startswith("/incident resolve")}
    await night.types("/incident resolve")
    await night.types("/incident declare all is down sev1")
    await night.types(pressed)
    assert (await stands(night, "INC-2")).is_open
