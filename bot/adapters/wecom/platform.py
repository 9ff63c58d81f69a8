"""WeCom as a chat platform: each kind of room goes its own way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import tzinfo

from starlette.routing import Route

from bot.adapters.wecom.api import Api, Http
from bot.adapters.wecom.application import Application
from bot.adapters.wecom.callbacks import AppCallback, RobotCallback
from bot.adapters.wecom.doctor import Doctor
from bot.adapters.wecom.groups import Groups
from bot.adapters.wecom.hooks import Hooks
from bot.adapters.wecom.intake import Intake
from bot.adapters.wecom.members import Members
from bot.adapters.wecom.polled import PolledRobot
from bot.adapters.wecom.robot import Robot
from bot.app.ports import ChatDoor
from bot.domain.chat import Finding, Made, NewRoom, Profile
from bot.domain.errors import SendFailed
from bot.domain.incident import Room
from bot.domain.message import Message
from bot.domain.page import Person
from bot.domain.platforms import WeComBot, WeComSettings
from bot.domain.text import Lang

ROBOT_ROOMS = ("wecom:bot/", "wecom:one/")
APP_ROOMS = ("wecom:app/", "wecom:chat/")
HOOK_ROOMS = ("wecom:hook/",)
NO_APP = (
    "没有配置自建应用，不能新建群；当前的群就是战情室（/warroom bind）/ no application is configured that could create "
    "a group (WARROOM_WECOM_SECRET); the group at hand is the war room (/warroom bind)"
)


class WeComPlatform:
    """Implements `ChatPlatform`, `Direct`, `Profiles`, `Partial` and `Checks`.

    Rooms: "wecom:bot/CHATID" a group with the robot, "wecom:one/USERID" somebody alone with it, "wecom:app/USERID"
    with the application, "wecom:chat/CHATID" a group the application made, "wecom:hook/NAME" a webhook robot's.
    `holds` tells whether this bot may have the robot's one connection. `now` gives epoch seconds. `public_url` is
    where this bot is reached, "" for nowhere.
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
        public_url: str = "",
    ) -> None:
        self._settings, self._public_url, self._now = settings, public_url, now
        self._http = Http(settings.api_url, now)
        self._hooks = Hooks(self._http, dict(settings.webhooks))
        self._routes: list[Route] = []
        intake, bot = Intake(door, zone, now), settings.bot
        self._api: Api | None = None
        self._application: Application | None = None
        if settings.app is not None:
            self._api = Api(self._http, settings.app)
            typed = f"@{bot.name} " if bot and bot.name else ""
            self._application = Application(self._api, settings.app, typed=typed)
            self._groups = Groups(self._api, self._application)
            self._members = Members(self._api)
            self._routes.append(AppCallback(settings.app, self._application, intake, now).route())
        self._robot: Robot | None = None
        self._polled: PolledRobot | None = None
        if bot is not None and bot.mode == "socket":
            self._robot = Robot(bot, intake, lang=lang, holds=holds)
        elif bot is not None:
            self._polled = self._callback_robot(bot, intake, lang)
            self._routes.append(RobotCallback(bot, self._polled, now).route())

    def _callback_robot(self, bot: WeComBot, intake: Intake, lang: Lang) -> PolledRobot:
        give = self._application.file_to if self._application else None
        return PolledRobot(bot, intake, self._http, lang=lang, give_file=give)

    async def run(self) -> None:
        """Keep the robot's connection and say what has waited, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in (self._robot, self._polled, self._application, self._hooks):
                if part is not None:
                    group.create_task(part.run())

    def routes(self) -> Sequence[Route]:
        """Where WeCom calls back."""
        return self._routes

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def put(self, message: Message, room: Room, ref: str | None, *, thread: str | None = None) -> str:
        """Say it in its room, or change what `ref` names where WeCom can. Raises SendFailed.

        WeCom has no threads and no pins.
        """
        if room.key.startswith(ROBOT_ROOMS):
            robot = self._robot or self._polled
            if robot is not None:
                return await robot.put(message, room, ref)
        elif room.key.startswith(APP_ROOMS):
            if self._application is not None:
                return await self._application.put(message, room, ref)
        elif room.key.startswith(HOOK_ROOMS):
            return await self._hooks.put(message, room, ref)
        raise SendFailed(f"{room.key}: nothing of WeCom that is configured has this room", permanent=True)

    async def create_room(self, wanted: NewRoom) -> Made:
        """A group with those people and its first message. Raises SendFailed."""
        if self._application is None:
            raise SendFailed(NO_APP, permanent=True)
        return await self._groups.create(wanted)

    def refresh(self, room: str) -> None:
        """What was sent stays as it was; only new messages speak the new language."""

    def direct_room(self, person: Person) -> str | None:
        """The room that is this person's alone: the application's, or the robot's where there is none."""
        if not person.wecom:
            return None
        if self._application is not None:
            return f"wecom:app/{person.wecom}"
        return f"wecom:one/{person.wecom}" if self._robot is not None else None

    async def profile(self, account: str) -> Profile | None:
        """What WeCom tells of a member. Raises SendFailed."""
        return await self._members.profile(account) if self._api is not None else None

    def out_of_reach(self) -> Sequence[str]:
        """The robot's rooms while another bot holds its connection."""
        return () if self._robot is None or self._robot.link.mine else ROBOT_ROOMS

    async def check(self, accounts: Sequence[str] = ()) -> Sequence[Finding]:
        """For `warroom doctor`."""
        doctor = Doctor(self._settings, self._http, self._api, self._robot.link if self._robot else None)
        return await doctor.look(accounts, public_url=self._public_url, now=self._now)
