"""Incidents, rooms and runs."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from bot.app.ports import Store
from bot.domain.incident import Impact, IncidentState, Room, Search, StatusUpdate, VendorCase
from tests.store.samples import after, incident, run


async def test_twelve_incidents_declared_at_once_get_twelve_numbers_without_a_gap(store: Store) -> None:
    async def declare(n: int) -> None:
        async with store.begin() as tx:
            await tx.incidents.open(incident(title=str(n)))
            if n % 3 == 0:
                raise RuntimeError("changed my mind")

    await asyncio.gather(*(declare(n) for n in range(18)), return_exceptions=True)
    async with store.begin() as tx:
        ids = [inc.id for inc in await tx.incidents.list()]
    assert ids == [f"INC-{n}" for n in range(12, 0, -1)]


async def test_an_imported_incident_keeps_its_number_and_the_next_one_follows_it(store: Store) -> None:
    async with store.begin() as tx:
        await tx.incidents.open(incident(id="INC-17"))
        assert (await tx.incidents.open(incident())).id == "INC-18"


async def test_an_incident_is_written_back_whole(store: Store) -> None:
    async with store.begin() as tx:
        opened = await tx.incidents.open(incident())
    async with store.begin() as tx:
        read = await tx.incidents.get(opened.id)
        assert read == opened
        acked = dataclasses.replace(opened, acked_at=after(3), acked_by="wang", epoch=1, severity="sev2")
        await tx.incidents.save(acked)
    async with store.begin() as tx:
        assert await tx.incidents.get(opened.id) == acked
        assert await tx.incidents.get("INC-404") is None
        with pytest.raises(LookupError, match="INC-404"):
            await tx.incidents.save(incident(id="INC-404"))


async def test_roles_impact_vendors_and_the_latest_update_are_kept(store: Store) -> None:
    full = incident(
        roles={"commander": ("lin",), "responder": ("chen", "王")},
        environments=("prod", "test"),
        impact=Impact(text="验证码收不到", customers=("acme", "globex"), amount="3,000/h"),
        update=StatusUpdate(text="已切换通道", by="lin", at=after(20)),
        vendors=(VendorCase(name="tencent", asked_at=after(5), ticket="T-1", replied_at=after(9)),),
        merged_into="INC-9",
        playbook="sms",
        update_due_at=after(30),
        commander_due_at=after(10),
        snoozed=after(25),
    )
    async with store.begin() as tx:
        opened = await tx.incidents.open(full)
    async with store.begin() as tx:
        assert await tx.incidents.look(opened.id) == dataclasses.replace(full, id="INC-1")


async def test_closed_incidents_are_not_open_and_mitigated_ones_are(store: Store) -> None:
    async with store.begin() as tx:
        for state in IncidentState:
            await tx.incidents.open(incident(state=state))
        assert [i.state.value for i in await tx.incidents.list(only_open=True)] == [
            "mitigated",
            "investigating",
            "declared",
        ]


async def test_two_acknowledgements_at_once_see_each_other(store: Store) -> None:
    async with store.begin() as tx:
        inc = await tx.incidents.open(incident())

    async def acknowledge() -> None:
        async with store.begin() as tx:
            read = await tx.incidents.get(inc.id)
            assert read is not None
            await asyncio.sleep(0.02)
            await tx.incidents.save(dataclasses.replace(read, epoch=read.epoch + 1))

    await asyncio.gather(*(acknowledge() for _ in range(4)))
    async with store.begin() as tx:
        assert (await tx.incidents.get(inc.id)).epoch == 4  # type: ignore[union-attr]


async def test_resolved_incidents_are_left_out_when_only_open_ones_are_asked_for(store: Store) -> None:
    async with store.begin() as tx:
        for minute in range(3):
            await tx.incidents.open(incident(opened_at=after(minute)))
        await tx.incidents.open(incident(state=IncidentState.RESOLVED, resolved_at=after(9)))
        assert [i.id for i in await tx.incidents.list(only_open=True)] == ["INC-3", "INC-2", "INC-1"]
        assert len(await tx.incidents.list(limit=2)) == 2


async def test_rooms_are_updated_in_place_and_listed_by_platform_oldest_first(store: Store) -> None:
    async with store.begin() as tx:
        inc = await tx.incidents.open(incident())
        for key in ("slack:C2", "console:ops", "slack:C1"):
            await tx.rooms.save(Room(key=key, title=key))
        await tx.rooms.save(Room(key="slack:C2", title="战情室", lang="en", incident=inc.id))
        assert [r.key for r in await tx.rooms.list("slack")] == ["slack:C2", "slack:C1"]
        assert await tx.rooms.get("slack:C2") == Room(key="slack:C2", title="战情室", lang="en", incident="INC-1")
        assert await tx.rooms.get("slack:C3") is None


async def test_a_run_that_was_attached_while_under_way_stays_attached_when_it_finishes(store: Store) -> None:
    started = run()
    async with store.begin() as tx:
        await tx.runs.save(started)
        inc = await tx.incidents.open(incident())
        assert await tx.runs.attach(room="console:ops", incident=inc.id, since=after(-1)) == 1
    async with store.begin() as tx:
        await tx.runs.save(dataclasses.replace(started, finished_at=after(1), document={"verdict": ["healthy"]}))
        read = await tx.runs.get("run-1")
    assert read is not None
    assert (read.incident, read.document) == (inc.id, {"verdict": ["healthy"]})


async def test_the_latest_run_is_the_newest_finished_one_of_the_room(store: Store) -> None:
    async with store.begin() as tx:
        found = {"verdict": ["healthy"]}
        await tx.runs.save(run("old", finished_at=after(1), document=found))
        await tx.runs.save(run("new", started_at=after(5), finished_at=after(6), document=found))
        await tx.runs.save(run("cos", playbook="cos", started_at=after(7), finished_at=after(8), document=found))
        await tx.runs.save(run("interrupted", started_at=after(8), finished_at=after(9)))
        await tx.runs.save(run("running", started_at=after(9)))
        await tx.runs.save(run("elsewhere", room="slack:C1", started_at=after(9), finished_at=after(9), document=found))
        assert (await tx.runs.latest(room="console:ops")).id == "cos"  # type: ignore[union-attr]
        assert (await tx.runs.latest(room="console:ops", playbook="sms")).id == "new"  # type: ignore[union-attr]
        assert await tx.runs.latest(room="console:none") is None


async def test_incidents_are_found_by_words_in_title_and_impact_by_severity_and_by_whether_they_are_over(
    store: Store,
) -> None:
    async with store.begin() as tx:
        await tx.incidents.open(
            incident(title="短信发不出去 100%", impact=Impact(text="验证码收不到", customers=("acme",)))
        )
        await tx.incidents.open(incident(title="COS 403", severity="sev3", state=IncidentState.RESOLVED))

    async def found(**asked: Any) -> list[str]:
        async with store.begin() as tx:
            return [i.id for i in await tx.incidents.list(search=Search(**asked))]

    assert await found() == ["INC-2", "INC-1"]
    assert await found(text="验证码") == ["INC-1"]
    assert await found(text="ACME 短信") == ["INC-1"]
    assert await found(text="100%") == ["INC-1"]
    assert await found(text="_") == []
    assert await found(text="inc-2") == ["INC-2"]
    assert await found(severity="sev3") == ["INC-2"]
    assert await found(is_open=True) == ["INC-1"]
    assert await found(is_open=False, text="403") == ["INC-2"]
