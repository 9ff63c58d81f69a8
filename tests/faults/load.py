"""People: they open incidents that page, and acknowledge a part of them in every way there is."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.provider import Provider

WAYS = ("room", "name", "phone", "link")
LAST = "boss"
"""Who takes what nobody has in the end; an acknowledgement of before is never by this name."""
STUBBORN = 1
"""So many incidents are acknowledged by nobody before the end."""


@dataclass
class Load:
    """`url` leads to whichever bot answers. What was promised is kept for the judge: it must have happened."""

    url: str
    token: str
    provider: Provider
    seed: int
    most: int = 4
    pace: int = 1
    opened: list[str] = field(default_factory=list)
    """Rooms in which `/page` was accepted."""
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    """(incident, way) whose acknowledgement was accepted, or is kept in a spool: it must be found in the end."""
    kept: int = 0
    """How many of them were answered with "not recorded yet"."""
    answers: dict[str, float] = field(default_factory=dict)
    """Incident -> when (monotonic s) an acknowledgement was answered as recorded: it is not younger than this."""
    _stubborn: int = 0
    _number: int = 0

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._open: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        auth = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(
            base_url=self.url, headers=auth, timeout=3 * self.pace, trust_env=False
        ) as self._client:
            try:
                while True:
                    if len(self._open) < self.most:
                        self._number += 1
                        task = asyncio.create_task(self._incident(f"console:f{self._number}"))
                        self._open.add(task)
                        task.add_done_callback(self._open.discard)
                    await asyncio.sleep(self._dice.uniform(0.05, 0.4) * self.pace)
            finally:
                for task in self._open:
                    task.cancel()
                await asyncio.gather(*self._open, return_exceptions=True)

    async def _incident(self, room: str) -> None:
        if self._dice.random() < 0.5:
            await self.say(f"/incident declare fault in {room}", room)
        while not await self.say("/page", room):
            await asyncio.sleep(0.2)
        self.opened.append(room)
        found = await self._find(room)
        if self._stubborn < STUBBORN and self._dice.random() < 0.2:
            self._stubborn += 1
            return
        await asyncio.sleep(self._dice.choice((0.0, self._dice.uniform(0, 1), self._dice.uniform(0.5, 5))) * self.pace)
        await self._acknowledge(found, room, self._dice.choice(WAYS))

    async def _find(self, room: str) -> str:
        while True:
            with suppress(httpx.HTTPError, ValueError, KeyError):
                for row in (await self._client.get("/api/v1/incidents")).raise_for_status().json():
                    # One that was declared may have moved to a room of its own by now.
                    if row["room"] == room or row["title"].endswith(room):
                        return str(row["id"])
            await asyncio.sleep(0.2)

    async def _acknowledge(self, incident: str, room: str, way: str) -> None:
        while True:
            with suppress(httpx.HTTPError, ValueError):
                if became := await self._try(incident, room, way):
                    self.acknowledged.append((incident, way))
                    if became == "recorded":
                        self.answers.setdefault(incident, time.monotonic())
                    self.kept += became == "kept"
                    return
            await asyncio.sleep(0.15)

    async def _try(self, incident: str, room: str, way: str) -> str:
        """ "recorded", "kept", or "" for an answer that promises nothing."""
        if way == "room":
            return await self._command("/ack", room)
        page = self.provider.latest(incident)
        if way in ("name", "end") or page is None:
            return await self._command(f"/ack {incident}", "console:main", LAST if way == "end" else "lin")
        press: Any = self.provider.press if way == "phone" else self.provider.follow
        return str(await press(self._client, page))

    async def say(self, text: str, room: str) -> bool:
        """A chat command; whether it was carried out."""
        return await self._command(text, room) == "recorded"

    async def _command(self, text: str, room: str, user: str = "lin") -> str:
        row = {"text": text, "room": room, "user": user, "lang": "en"}
        with suppress(httpx.HTTPError, ValueError):
            answer = await self._client.post("/api/v1/commands", json=row)
            error = answer.json()["error"] if answer.is_success else "refused"
            return {None: "recorded", "not_yet_recorded": "kept"}.get(error, "")
        return ""

    async def finish(self, incidents: set[str]) -> None:
        """Somebody has everything, with a bot that is up."""
        auth = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(
            base_url=self.url, headers=auth, timeout=5 * self.pace, trust_env=False
        ) as self._client:
            for incident in sorted(incidents):
                await self._acknowledge(incident, "", "end")
