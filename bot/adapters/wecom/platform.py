"""WeCom as a chat platform: each kind of room goes its own way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import tzinfo

from starlette.routing import Route

from bot.adapters.wecom.intake import Intake
from bot.adapters.wecom.robot import Robot
from bot.app.ports import ChatDoor
from bot.domain.chat import Finding, Made, NewRoom, Profile
from bot.domain.errors import SendFailed
from bot.domain.incident import Room
from bot.domain.message import Message
from bot.domain.page import Person
from bot.domain.platforms import WeComSettings
from bot.domain.text import Lang

ROBOT_ROOMS = ("wecom:bot/", "wecom:one/")


class WeComPlatform:
    """Implements `ChatPlatform`, `Direct`, `Profiles`, `Partial` and `Checks`.

    Rooms: "wecom:bot/CHATID" a group with the robot, "wecom:one/USERID" somebody alone with it, "wecom:app/USERID"
    with the application, "wecom:chat/CHATID" a group the application made, "wecom:hook/NAME" a webhook robot's.
    `holds` tells whether this bot may have the robot's one connection. `now` gives epoch seconds.
    """

    def __init__(
        self,
        settings: WeComSettings,
        door: ChatDoor,
        *,
        lang: Lang,
        zone: tzinfo,
        holds: Callable[[], Awaitable[bool]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        intake = Intake(door, zone, now)
        bot = settings.bot
        self._robot = Robot(bot, intake, lang=lang, holds=holds) if bot and bot.mode == "socket" else None

    async def run(self) -> None:
        """Keep the robot's connection until cancelled."""
        if self._robot is not None:
            await self._robot.run()
        await asyncio.Event().wait()

    def routes(self) -> Sequence[Route]:
        """Where WeCom calls back."""
        return ()

    async def close(self) -> None:
        """Close the connections."""

    async def put(self, message: Message, room: Room, ref: str | None, *, thread: str | None = None) -> str:
        """Say it in its room, or change what `ref` names where WeCom can. Raises SendFailed.

        WeCom has no threads and no pins.
        """
        if room.key.startswith(ROBOT_ROOMS) and self._robot is not None:
            return await self._robot.put(message, room, ref)
        raise SendFailed(f"{room.key}: this kind of room is not configured", permanent=True)

    async def create_room(self, wanted: NewRoom) -> Made:
        """A group with those people and its first message. Raises SendFailed."""
        raise SendFailed("no application is configured that could make a group", permanent=True)

    def refresh(self, room: str) -> None:
        """What was sent stays as it was; only new messages speak the new language."""

    def direct_room(self, person: Person) -> str | None:
        """The room that is this person's alone."""
        return None

    async def profile(self, account: str) -> Profile | None:
        """What WeCom tells of a member."""
        return None

    def out_of_reach(self) -> Sequence[str]:
        """The robot's rooms while another bot holds its connection."""
        return () if self._robot is None or self._robot.link.mine else ROBOT_ROOMS

    async def check(self) -> Sequence[Finding]:
        """For `warroom doctor`."""
        return ()
