"""The database is away: alerts wait on the disk, people are called from there, and everything is merged afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.spool import FileSpool
from bot.app.degraded import Degraded, spooled_id
from bot.app.dispatch import merge_command
from bot.app.escalation import begin_escalation
from bot.app.page import phone_reported
from bot.domain.errors import SendFailed, StoreUnavailable
from bot.domain.incident import Incident, IncidentState
from bot.domain.page import CallStatus
from bot.testing import FixedClock
from tests.app.test_escalation import DIRECTORY
from tests.store.fixtures import database, store_url
from tests.transcript import ROOM, Night, a_night

__all__ = ["database", "store_url"]

ALERT = {"alert": "grafana:sms", "title": "SMS is down", "severity": "sev1"}
LIN, CHEN = (f"{spooled_id('grafana:sms')}:{n}:{who}:1" for n, who in ((1, "lin"), (2, "chen")))


class Away:
    """The night's store, which can be taken away."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.away = False

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        if self.away:
            raise StoreUnavailable("away")
        async with self._store.begin() as tx:
            yield tx

    async def check(self) -> str | None:
        return "away" if self.away else await self._store.check()


class Spooled:
    """A night without its database, and the spool."""

    def __init__(self, night: Night, clock: FixedClock, folder: Path) -> None:
        self.night, self.clock, self.folder = night, clock, folder
        self.store = Away(night.parts.store)
        night.parts.store = self.store
        self.degraded = self.again()

    def again(self) -> Degraded:
        """As after a restart: nothing is known but what is on the disk."""
        parts = self.night.parts
        merge = {"alert": self._open, "callback": self._callback, "command": lambda row: merge_command(parts, row)}
        degraded = Degraded(parts, FileSpool(self.folder), [self.night.pager], merge)
        parts.keep = degraded.keep
        return degraded

    async def after(self, seconds: float) -> list[str]:
        """The keys called so far, once so much more time has passed."""
        await self.clock.advance(seconds)
        await self.degraded.look()
        return [c.key for c in self.night.pager.calls]

    async def _open(self, row: Mapping[str, Any]) -> None:
        parts = self.night.parts
        async with parts.store.begin() as tx:
            opened = await tx.incidents.open(
                Incident(
                    id="",
                    title=row["title"],
                    severity=row["severity"],
                    state=IncidentState.DECLARED,
                    room=ROOM,
                    origin_room=ROOM,
                    opened_at=parts.clock.now(),
                    opened_by="alert",
                )
            )
            await begin_escalation(parts, tx, opened)

    async def _callback(self, row: Mapping[str, Any]) -> None:
        status = CallStatus(row["status"])
        await phone_reported(self.night.parts, pager=row["pager"], key=row["page"], status=status, digits=row["digits"])

    async def press(self, key: str) -> None:
        row = {"pager": "phone", "page": key, "status": "answered", "digits": "1"}
        assert await self.degraded.keep("callback", f"{key}:1", row)


@pytest.fixture
async def spooled(store_url: str, tmp_path: Path) -> AsyncIterator[Spooled]:
    clock = FixedClock()
    async with a_night(tmp_path, url=store_url, clock=clock, directory=DIRECTORY) as night:
        spooled = Spooled(night, clock, tmp_path / "spool")
        spooled.store.away = True
        yield spooled
        spooled.store.away = False


async def test_an_alert_waits_fifteen_seconds_for_the_database_and_then_people_are_called_without_it(
    spooled: Spooled,
) -> None:
    assert await spooled.degraded.keep("alert", "grafana:sms", ALERT)
    assert await spooled.degraded.keep("alert", "grafana:sms", ALERT)  # Alertmanager repeats itself
    assert await spooled.after(14) == []
    assert await spooled.after(2) == [LIN]
    assert await spooled.after(240) == [LIN]
    assert await spooled.after(60) == [LIN, CHEN]


async def test_a_restart_in_between_calls_nobody_twice(spooled: Spooled) -> None:
    await spooled.degraded.keep("alert", "grafana:sms", ALERT)
    assert await spooled.after(16) == [LIN]
    spooled.degraded = spooled.again()
    assert await spooled.after(10) == [LIN]


async def test_a_provider_that_is_away_too_is_asked_again(spooled: Spooled) -> None:
    spooled.night.pager.fail_next(SendFailed("cannot be reached"))
    await spooled.degraded.keep("alert", "grafana:sms", ALERT)
    assert await spooled.after(16) == [LIN]
    assert spooled.night.pager.rung == {}
    assert await spooled.after(1) == [LIN, LIN]
    assert list(spooled.night.pager.rung) == [LIN]


async def test_when_the_database_is_back_the_incident_takes_the_escalation_over_as_it_stands(
    spooled: Spooled,
) -> None:
    await spooled.degraded.keep("alert", "grafana:sms", ALERT)
    assert await spooled.after(16) == [LIN]
    spooled.store.away = False
    assert await spooled.after(10) == [LIN]
    await spooled.night.settle()
    assert "called while the database was away: lin" in [e.en for e in await spooled.night.timeline("INC-1")]
    assert "@lin by chat, phone: dialled (phone)" in spooled.night.shows()
    await spooled.clock.advance(300)
    spooled.night.parts.wake()
    assert [c.key for c in await spooled.night.rings(2)] == [LIN, "INC-1:2:chen:1"]
    assert list(FileSpool(spooled.folder).all()) == []
    # The provider reports about the first call by the key it was given.
    assert await spooled.night.phone(LIN, CallStatus.ANSWERED, "1")
    assert "lin has INC-1 (by key press)" in spooled.night.shows()


async def test_a_key_pressed_meanwhile_stops_the_calls_and_acknowledges_the_incident_that_is_merged(
    spooled: Spooled,
) -> None:
    await spooled.degraded.keep("alert", "grafana:sms", ALERT)
    await spooled.after(16)
    await spooled.press(LIN)
    assert await spooled.after(900) == [LIN]
    spooled.store.away = False
    await spooled.after(1)
    await spooled.night.settle()
    assert "lin has INC-1 (by key press)" in spooled.night.shows()
    assert [c.key for c in spooled.night.pager.calls] == [LIN]


async def test_an_ack_that_is_typed_is_answered_as_not_yet_recorded_and_carried_out_later(spooled: Spooled) -> None:
    spooled.store.away = False
    await spooled.night.types("/page")
    await spooled.night.rings(1)
    spooled.store.away = True
    from bot.app.dispatch import handle

    error = await handle(spooled.night.parts, "/ack", user="chen", room=ROOM)
    assert error is not None
    assert error.code == "not_yet_recorded"
    assert any("noted, not yet recorded" in str(put.message.blocks) for put in spooled.night.chat.puts)
    error = await handle(spooled.night.parts, "/note something", user="chen", room=ROOM)
    assert error is not None
    assert error.code == "store_unavailable"
    spooled.store.away = False
    await spooled.after(1)
    await spooled.night.settle()
    assert "chen has INC-1" in spooled.night.shows()
    assert len(await spooled.night.timeline("INC-1")) > 0


async def test_two_acknowledgements_typed_in_one_minute_are_two(spooled: Spooled) -> None:
    from bot.app.dispatch import handle

    spooled.store.away = False
    for room in (ROOM, "console:other"):
        assert await handle(spooled.night.parts, "/page", user="lin", room=room) is None
    spooled.store.away = True
    for incident in ("INC-1", "INC-2"):
        error = await handle(spooled.night.parts, f"/ack {incident}", user="chen", room=ROOM)
        assert error is not None
    spooled.store.away = False
    await spooled.after(1)
    async with spooled.store.begin() as tx:
        assert [i.acked_by for i in await tx.incidents.list()] == ["chen", "chen"]


async def test_what_cannot_be_merged_is_set_aside_and_keeps_nothing_out(spooled: Spooled) -> None:
    await spooled.degraded.keep("callback", "broken", {"nothing": "useful"})
    await spooled.degraded.keep("alert", "grafana:sms", ALERT)
    spooled.store.away = False
    await spooled.after(1)
    assert [c.key for c in await spooled.night.rings(1)] == ["INC-1:1:lin:1"]
    assert [p.suffix for p in spooled.folder.iterdir()] == [".bad"]


async def test_a_spool_that_cannot_be_written_says_so(spooled: Spooled) -> None:
    spooled.folder.write_text("not a folder")
    assert not await spooled.degraded.keep("alert", "grafana:sms", ALERT)
