"""What works in the room a fault was found in works in its war room too."""

from __future__ import annotations

from pathlib import Path

from bot.domain.chat import Made, NewRoom
from bot.domain.errors import SendFailed
from bot.domain.incident import EntryKind
from tests.diagnosis import nights
from tests.transcript import Night, a_night


async def opened(night: Night) -> str:
    night.rule = nights.vpc_dns_rate_limited
    await night.types("/diag sms")
    await night.types("/warroom open")
    ((room, _, _),) = night.chat.rooms
    return room


async def test_the_buttons_of_the_verdict_work_in_the_war_room(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        room = await opened(night)
        assert "[Watch until recovered: /watch]" in night.shows(room)
        assert await night.types("/watch", room=room) is None
        assert "[Stop watching: /watch stop]" in night.shows(room)
        assert await night.types("/vendor tencent", room=room) is None
        assert "please help" in night.shows("console:vendor-tencent")
        assert {EntryKind.WATCH, EntryKind.VENDOR} <= {e.kind for e in await night.timeline("INC-1")}


async def test_one_war_room_for_each_incident(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        room = await opened(night)
        error = await night.types("/warroom open")
        assert error is not None
        assert error.code == "room_open"
        assert room in night.shows()
        assert len(night.chat.rooms) == 1


async def test_where_no_room_can_be_created_the_room_at_hand_is_the_war_room(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:

        async def refuse(wanted: NewRoom) -> Made:
            raise SendFailed("not allowed", permanent=True)

        night.chat.create_room = refuse  # type: ignore[method-assign,assignment]
        await night.types("/warroom open")
        assert "no room can be created (not allowed); this room is the war room of INC-1" in night.shows()
        assert await night.types("/incident status") is None


async def test_a_room_can_be_bound_to_the_one_incident_that_is_open(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.types("/incident declare SMS is down")
        assert await night.types("/warroom bind", room="console:other") is None
        assert "INC-1 SMS is down" in night.shows("console:other")
        await night.types("/ack", user="chen", room="console:other")
        assert "chen has INC-1" in night.shows()


async def test_an_acknowledgement_cancels_the_page_that_still_waits(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.pager.down = SendFailed("HTTP 503")
        await night.types("/page chen")
        await night.types("/ack", user="lin")
        night.pager.down = None
        await night.types("/timeline")
        (acked,) = [e for e in await night.timeline("INC-1") if e.kind is EntryKind.ACK]
        assert acked.data["cancelled"] == 1
        assert night.pager.rung == {}
