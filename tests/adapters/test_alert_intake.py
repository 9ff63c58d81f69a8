"""`/hooks/alerts/NAME` of a whole bot on a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.adapters.config import Config
from bot.app.alert_sources import AlertSource
from bot.bootstrap import Bot, build, listen
from bot.domain.alert import AlertKind, AlertRules
from bot.domain.page import Person
from bot.domain.webhooks import headers
from tests.adapters.alert_bodies import alertmanager, prometheus, tencent
from tests.store.databases import sqlite_database

API = "canary-alerts-api-2Kd7"
TOKEN = "canary-alerts-token-5Tz1"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Up:
    """A bot that is up, and a client without credentials."""

    def __init__(self, bot: Bot, client: httpx.AsyncClient) -> None:
        self.bot, self.client = bot, client

    async def posts(self, body: bytes, *, to: str = "prom", token: str = TOKEN) -> httpx.Response:
        auth = {"Authorization": f"Bearer {token}"}
        return await self.client.post(f"/hooks/alerts/{to}", content=body, headers=auth)

    async def asks(self, path: str) -> Any:
        return (await self.client.get(path, headers={"Authorization": f"Bearer {API}"})).json()

    async def types(self, text: str, room: str = "console:main") -> Any:
        asked = {"text": text, "user": "lin", "lang": "en", "room": room}
        return (
            await self.client.post("/api/v1/commands", json=asked, headers={"Authorization": f"Bearer {API}"})
        ).json()

    async def incidents(self) -> list[tuple[str, str, str, str]]:
        return [(i["id"], i["title"], i["severity"], i["state"]) for i in await self.asks("/api/v1/incidents")]

    async def told(self, incident: str, kind: str) -> list[str]:
        rows = await self.asks(f"/api/v1/incidents/{incident}/timeline")
        return [row["en"] for row in rows if row["kind"] == kind]

    async def card(self, incident: str) -> str:
        """The card of its alerts, as it is now."""
        async with self.bot.parts.store.begin() as tx:
            found = await tx.incidents.get(incident)
            assert found is not None
            messages = [m for m, _, _ in await tx.messages.list(found.origin_room) if m.key == f"alerts-{incident}"]
        assert len(messages) == 1, "one card, edited in place"
        return str(messages[0].blocks)


@asynccontextmanager
async def a_bot(folder: Path, *sources: AlertSource) -> AsyncIterator[Up]:
    config = Config(
        port=0,
        lang="en",
        database_url=sqlite_database(folder / "warroom.db"),
        spool=folder / "spool",
        api_token=API,
        alerts=sources,
        people=(Person(name="lin", phone="+8613800000001", lang="en"),),
    )
    listener, config = listen(config)
    bot = await build(config)
    ready = asyncio.Event()
    serving = asyncio.create_task(bot.serve(listener, on_ready=ready.set))
    try:
        async with httpx.AsyncClient(base_url=config.url, trust_env=False, timeout=30) as client:
            await asyncio.wait_for(ready.wait(), 20)
            yield Up(bot, client)
    finally:
        bot.stop()
        await serving


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    sources = (
        AlertSource(name="prom", kind=AlertKind.ALERTMANAGER, token=TOKEN, secret=SECRET),
        AlertSource(name="byhost", kind=AlertKind.ALERTMANAGER, token=TOKEN, rules=AlertRules(by=("host",), most=3)),
        AlertSource(name="cloud", kind=AlertKind.TENCENT, token=TOKEN, severity="sev3"),
    )
    async with a_bot(tmp_path, *sources) as running:
        yield running


async def test_an_alert_opens_an_incident_calls_people_and_its_playbook_is_looked_at(up: Up) -> None:
    answer = await up.posts(alertmanager(prometheus(playbook="sms", env="prod")))
    assert (answer.status_code, answer.json()) == (200, {"opened": ["INC-1"], "joined": [], "known": 0})
    assert await up.incidents() == [("INC-1", "SmsErrors on all", "sev1", "declared")]
    assert await up.told("INC-1", "alert") == ["alert firing: SmsErrors on all"]
    assert await up.told("INC-1", "escalation"), "the escalation has begun"
    assert "SmsErrors on all" in await up.card("INC-1")
    async with up.bot.parts.store.begin() as tx:
        found = await tx.incidents.get("INC-1")
    assert found is not None
    assert (found.playbook, found.environments) == ("sms", ("prod",))


async def test_the_same_alert_again_is_no_news(up: Up) -> None:
    await up.posts(alertmanager(prometheus()))
    answer = await up.posts(alertmanager(prometheus()))
    assert answer.json() == {"opened": [], "joined": ["INC-1"], "known": 1}
    assert len(await up.told("INC-1", "alert")) == 1


async def test_a_storm_is_one_incident_with_one_card(up: Up) -> None:
    for part in range(4):
        storm = [prometheus(f"A{part}", fingerprint=f"{part}-{n}", instance=f"gw-{n}") for n in range(250)]
        assert (await up.posts(alertmanager(*storm))).status_code == 200
    assert [i[0] for i in await up.incidents()] == ["INC-1"]
    assert "1000 alerts firing" in await up.card("INC-1")
    assert len(await up.told("INC-1", "alert")) == 4


async def test_a_storm_over_many_groups_opens_as_many_incidents_as_the_source_allows(up: Up) -> None:
    storm = [prometheus(fingerprint=f"{n}", host=f"gw-{n}") for n in range(100)]
    await up.posts(alertmanager(*storm[:50]), to="byhost")
    await up.posts(alertmanager(*storm[50:]), to="byhost")
    assert len(await up.incidents()) == 3


async def test_deliveries_at_the_same_moment_open_one_incident(up: Up) -> None:
    answers = await asyncio.gather(*(up.posts(alertmanager(prometheus(fingerprint=f"{n}"))) for n in range(20)))
    assert {a.status_code for a in answers} == {200}
    assert [i[0] for i in await up.incidents()] == ["INC-1"]


async def test_a_graver_alert_raises_the_severity_and_calls_people(up: Up) -> None:
    await up.posts(alertmanager(prometheus("Slow", severity="info", fingerprint="a")))
    assert not await up.told("INC-1", "escalation")
    await up.posts(alertmanager(prometheus("Down", severity="critical", fingerprint="b")))
    assert [i[2] for i in await up.incidents()] == ["sev1"]
    assert await up.told("INC-1", "escalation")


async def test_when_all_are_over_the_card_says_so_and_the_incident_stays_open(up: Up) -> None:
    await up.posts(alertmanager(prometheus(fingerprint="a"), prometheus("Other", fingerprint="b")))
    await up.posts(alertmanager(prometheus(fingerprint="a", status="resolved"), status="resolved"))
    assert "1 alert firing, 1 over" in await up.card("INC-1")
    await up.posts(alertmanager(prometheus("Other", fingerprint="b", status="resolved"), status="resolved"))
    assert "all 2 alerts are over" in await up.card("INC-1")
    assert (await up.incidents())[0][3] == "declared"


async def test_after_it_was_resolved_the_same_alert_is_a_new_night(up: Up) -> None:
    await up.posts(alertmanager(prometheus()))
    await up.types("/incident resolve")
    answer = await up.posts(alertmanager(prometheus()))
    assert answer.json()["opened"] == ["INC-2"]


async def test_alerts_of_a_duplicate_go_to_the_incident_that_stays(up: Up) -> None:
    await up.posts(alertmanager(prometheus(fingerprint="a", host="x")), to="byhost")
    await up.posts(alertmanager(prometheus(fingerprint="b", host="y")), to="byhost")
    async with up.bot.parts.store.begin() as tx:
        second = await tx.incidents.get("INC-2")
    assert second is not None
    await up.types("/incident merge INC-1", room=second.room)
    await up.posts(
        alertmanager(prometheus(fingerprint="b", host="y", status="resolved"), status="resolved"), to="byhost"
    )
    assert any("over" in line for line in await up.told("INC-1", "alert"))


async def test_tencents_alarm_opens_and_ends_by_its_session(up: Up) -> None:
    await up.posts(tencent(), to="cloud")
    assert (await up.incidents())[0][1:3] == ("CPU of the gateway CPU 利用率 97.3%", "sev3")
    await up.posts(tencent(status="0"), to="cloud")
    assert "the alert is over" in await up.card("INC-1")


async def test_who_cannot_prove_itself_opens_nothing(up: Up) -> None:
    assert (await up.posts(alertmanager(prometheus()), token="wrong")).status_code == 401
    assert (await up.client.post("/hooks/alerts/prom", content=alertmanager(prometheus()))).status_code == 401
    assert (await up.posts(alertmanager(prometheus()), to="nobody")).status_code == 404
    assert await up.incidents() == []


async def test_a_signed_delivery_is_taken_and_an_old_one_is_not(up: Up) -> None:
    body = alertmanager(prometheus())
    for age, status in ((0, 200), (3600, 401)):
        signed = headers(SECRET, id=f"d{age}", timestamp=int(time.time()) - age, body=body)
        assert (await up.client.post("/hooks/alerts/prom", content=body, headers=signed)).status_code == status


async def test_what_is_no_alert_is_refused_and_opens_nothing(up: Up) -> None:
    for body in (b"{", b"[]", json.dumps({"alerts": [{"status": "firing"}]}).encode()):
        answer = await up.posts(body)
        assert answer.status_code == 400, answer.text
    assert (await up.posts(b'{"alerts": "' + b"x" * 3_000_000 + b'"}')).status_code == 413
    assert await up.incidents() == []
