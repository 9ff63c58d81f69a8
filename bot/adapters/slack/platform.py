"""Slack as a chat platform: what `bot.bootstrap` builds and the application talks to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, tzinfo

from starlette.routing import Route

from bot.adapters.slack.answers import Answers
from bot.adapters.slack.api import Api
from bot.adapters.slack.bolt import bolt_app
from bot.adapters.slack.doctor import check
from bot.adapters.slack.fit import fit
from bot.adapters.slack.guard import Guard
from bot.adapters.slack.inlet import Inlet
from bot.adapters.slack.keeping import Keeper
from bot.adapters.slack.modal import Modals
from bot.adapters.slack.pace import Pace
from bot.adapters.slack.people import People
from bot.adapters.slack.post import Place, Poster
from bot.adapters.slack.recent import Recent
from bot.adapters.slack.ref import Ref
from bot.adapters.slack.rooms import Rooms
from bot.adapters.slack.socket import IDLE_S, PING_S, SocketMode
from bot.adapters.slack.trouble import SlackRefused
from bot.app.ports import ChatDoor, Clock
from bot.domain.chat import Finding, Made, NewRoom, Profile
from bot.domain.errors import ConfigError
from bot.domain.incident import Room
from bot.domain.message import Message
from bot.domain.page import Person
from bot.domain.platforms import SlackSettings
from bot.domain.text import Lang, Text

log = logging.getLogger(__name__)

PATH = "/slack/events"
NOT_INSIDE = ("not_in_channel", "channel_not_found")
INVITE = Text(
    "Warroom 不在这个频道里，只有你能看到这条回复；输入 /invite @warroom 后大家都能看到",
    "Warroom is not in this channel, so only you can see this; type /invite @warroom and everybody will",
)


class SlackPlatform:
    """Implements `ChatPlatform`, `Direct`, `Profiles`, `Archives` and `Checks`.

    Raises ConfigError where a secret is missing.

    `door` is called for everything that comes in; `severities` are what the form offers; `zone` is what dates in
    names of rooms are told in.
    """

    def __init__(
        self,
        settings: SlackSettings,
        door: ChatDoor,
        *,
        lang: Lang,
        clock: Clock,
        zone: tzinfo = UTC,
        severities: Sequence[str] = ("sev1", "sev2", "sev3", "sev4"),
        gap_s: float = 1.0,
        ping_s: float = PING_S,
        idle_s: float = IDLE_S,
    ) -> None:
        _check(settings)
        self._settings = settings
        self._lang = lang
        self._clock = clock
        self._langs: Recent[Lang] = Recent()
        self._api = Api(token=settings.bot_token, base_url=settings.api_url)
        self._people = People(self._api, clock)
        self._rooms = Rooms(
            self._api, clock, template=settings.room_name, zone=zone, private=settings.war_rooms == "private"
        )
        self._answers = Answers(self._api, clock)
        self._poster = Poster(self._api, clock, Pace(clock, gap_s=gap_s))
        modals = Modals(self._api, severities, self._lang_of)
        self._keeper = Keeper(self._api, self._people)
        self._inlet = Inlet(door, self._answers, self._keeper, modals, lang=lang, reaction=settings.reaction)
        self._app = bolt_app(self._inlet, base_url=settings.api_url)
        self._socket = SocketMode(
            self._api, self._app, app_token=settings.app_token, clock=clock, ping_s=ping_s, idle_s=idle_s
        )

    def routes(self) -> Sequence[Route]:
        """What Slack posts to in HTTP mode; nothing in Socket Mode."""
        if self._settings.mode != "http":
            return ()
        guard = Guard(self._app, self._inlet, signing_secret=self._settings.signing_secret, clock=self._clock)
        return (Route(PATH, guard, methods=["POST"]),)

    async def run(self) -> None:
        """Hold the connection of Socket Mode until cancelled; in HTTP mode there is nothing to hold."""
        if self._settings.mode == "socket":
            await self._socket.run()
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Finish what is being taken in, then hang up."""
        await self._inlet.close()
        await self._poster.close()
        await self._api.close()

    async def put(self, message: Message, room: Room, ref: str | None, *, thread: str | None = None) -> str:
        """Post it, or edit what `ref` names; returns the reference. Raises SendFailed."""
        self._langs.put(room.key, room.lang)
        channel = await self._people.channel(room.key)
        old, parent = Ref.read(ref), Ref.read(thread)
        under = parent.root if parent and parent.channel == channel else self._asked_in(message.answers, channel)
        if old is not None:
            channel = old.channel
        try:
            done = await self._poster.put(message, Place(channel=channel, thread=under, lang=room.lang), old)
        except SlackRefused as exc:
            if exc.error not in NOT_INSIDE or not await self._told_anyway(message, room, channel):
                raise
            return Ref(channel=channel).written()
        return done.written()

    async def _told_anyway(self, message: Message, room: Room, channel: str) -> bool:
        """Where the bot may not write, whoever gave a command there gets the answer all the same."""
        part = fit(message, room.lang, tables=False).parts[0]
        note = {"type": "context", "elements": [{"type": "mrkdwn", "text": INVITE.in_(room.lang)}]}
        return await self._answers.instead(channel, {"text": part.text, "blocks": [*part.blocks[:49], note]})

    async def create_room(self, wanted: NewRoom) -> Made:
        """Make a channel and bring people into it. Raises SendFailed when there is none."""
        made = await self._rooms.create(wanted)
        self._langs.put(made.key, wanted.lang)
        return made

    async def archive(self, room: str) -> None:
        """Put a channel away. Raises SendFailed."""
        await self._rooms.archive(room)

    def refresh(self, room: str) -> None:
        """Nothing: what was said in another language stays as it was said."""

    def direct_room(self, person: Person) -> str | None:
        """The room that is this person's alone."""
        return self._people.direct_room(person)

    async def profile(self, account: str) -> Profile | None:
        """What Slack tells of an account. Raises SendFailed."""
        return await self._people.profile(account)

    def _asked_in(self, answers: str, channel: str) -> str:
        """The thread of the message that is answered; of one that was kept, the message itself."""
        return self._keeper.roots.get(answers) or thread_of(answers, channel)

    async def check(self, accounts: Sequence[str] = ()) -> Sequence[Finding]:
        """What `warroom doctor` says of Slack."""
        return await check(self._api, self._settings, self._clock, accounts)

    def _lang_of(self, room: str) -> Lang:
        return self._langs.get(room) or self._lang


def thread_of(answers: str, channel: str) -> str:
    """The thread in which the message was typed that is answered, as its `message_id` tells it."""
    parts = answers.split("/")
    return parts[3] if len(parts) == 4 and parts[1] == channel else ""


def _check(settings: SlackSettings) -> None:
    """Raises ConfigError; `check` tells more, by asking Slack."""
    if not settings.bot_token.strip():
        raise ConfigError("Slack: WARROOM_SLACK_BOT_TOKEN is missing (OAuth & Permissions, Bot User OAuth Token)")
    if settings.mode == "http" and not settings.signing_secret.strip():
        raise ConfigError(
            'Slack: mode = "http" needs WARROOM_SLACK_SIGNING_SECRET (Basic Information, Signing Secret); without it '
            "anybody could give commands"
        )
    if settings.mode == "socket" and not settings.app_token.strip():
        raise ConfigError(
            'Slack: mode = "socket" needs WARROOM_SLACK_APP_TOKEN (Basic Information, App-Level Tokens, scope '
            "connections:write)"
        )
