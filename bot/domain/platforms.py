"""How the chat platforms are reached: what the sections [slack] and [wecom] and their secrets say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class SlackSettings:
    """Slack, by Socket Mode (no public address) or HTTP at `/slack/events`."""

    mode: Literal["socket", "http"] = "socket"
    api_url: str = "https://slack.com/api/"
    bot_token: str = field(repr=False)
    signing_secret: str = field(default="", repr=False)
    app_token: str = field(default="", repr=False)
    reaction: str = "memo"
    """The reaction that captures a message into the timeline."""
    room_name: str = "inc-{number}-{title}"
    """The name of a war room's channel; {number}, {title} and {date} are filled in."""
    war_rooms: Literal["public", "private"] = "public"
    """Who may see a war room: everybody in the workspace, or who is invited."""
    archive: bool = True
    """Whether a war room is archived when its incident is closed."""

    def secrets(self) -> tuple[str, ...]:
        """For redaction."""
        return tuple(filter(None, (self.bot_token, self.signing_secret, self.app_token)))


@dataclass(frozen=True, kw_only=True, slots=True)
class WeComApp:
    """The self-built application: 1:1 messages, cards, files, rooms it makes; its callback is `/wecom/callback`."""

    corp_id: str
    agent_id: int
    secret: str = field(repr=False)
    token: str = field(repr=False)
    aes_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class WeComBot:
    """The intelligent robot (aibot) in groups: a long connection, or callbacks to `/wecom/bot`."""

    bot_id: str
    name: str = ""
    """What people @-mention; it is cut from what they type."""
    mode: Literal["socket", "callback"] = "socket"
    url: str = "wss://openws.work.weixin.qq.com"
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    aes_key: str = field(default="", repr=False)
    ca_file: str = ""
    """Certificates to trust for `url`, for an address of one's own; "" for the public ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeComSettings:
    """WeCom: the application, the robot or both, and webhook robots that only mirror."""

    api_url: str = "https://qyapi.weixin.qq.com/cgi-bin/"
    app: WeComApp | None = None
    bot: WeComBot | None = None
    webhooks: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(name, key) of group webhook robots: rooms "wecom:hook/NAME" that can only be written to."""

    def secrets(self) -> tuple[str, ...]:
        """For redaction."""
        app = (self.app.secret, self.app.token, self.app.aes_key) if self.app else ()
        bot = (self.bot.secret, self.bot.token, self.bot.aes_key) if self.bot else ()
        return tuple(filter(None, (*app, *bot, *(key for _, key in self.webhooks))))
