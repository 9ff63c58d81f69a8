"""WeCom on loopback: qyapi, the robot's long connection over wss, callbacks; as strict as the real one.

    async with WeComServer() as wecom:
        await wecom.types("wecom:bot/ops", "lin", "/diag sms")        # a group: the robot is @-mentioned
        await wecom.types("wecom:one/lin", "lin", "/diag sms")        # alone with the robot
        await wecom.presses("wecom:bot/ops", "lin", "拉战情室")        # a button of the latest card that has it
        wecom.shown("wecom:bot/ops")                                  # what people there see, as lines of text

`complaints` is everything WeCom refused or dropped: a good bot leaves it empty.
"""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from pathlib import Path
from typing import Any, Literal, Self

from aiohttp import web

from bot.domain.platforms import WeComBot, WeComSettings
from bot.lab.pki import Authority
from tests.chat.wecom_socket import Callback, RobotSocket
from tests.chat.wecom_world import Shown, World

NAME = "War room 助手"


class WeComServer:
    """A company with a robot called `NAME`. Rooms are named as the bot names them."""

    def __init__(self, *, mode: Literal["socket", "callback"] = "socket") -> None:
        self.mode = mode
        self.world = World()
        self.robot = RobotSocket(self.world, bot_id="aib-1", secret="canary-wecom-bot")
        for user in ("lin", "wang", "zhao"):
            self.world.add_user(user)

    async def __aenter__(self) -> Self:
        self._stack = contextlib.AsyncExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        authority = Authority("WeCom stand-in")
        leaf = authority.issue(["127.0.0.1", "localhost"])
        for name, content in (("ca.pem", authority.certificate), ("leaf.pem", leaf.certificate + leaf.key)):
            (folder / name).write_bytes(content)
        self.ca_file = str(folder / "ca.pem")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "leaf.pem")
        app = web.Application()
        app.router.add_get("/", self.robot.serve)
        self.bot_url = f"wss://127.0.0.1:{await self._serve(app, context)}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _serve(self, app: web.Application, context: ssl.SSLContext | None = None) -> int:
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return int(runner.addresses[0][1])

    def settings(self, **more: Any) -> WeComSettings:
        """As the bot is to be configured for this company."""
        bot = WeComBot(
            bot_id=self.robot.bot_id, name=NAME, secret=self.robot.secret, url=self.bot_url, ca_file=self.ca_file
        )
        return WeComSettings(**{"bot": bot, **more})

    @property
    def complaints(self) -> list[str]:
        """What a good bot would not have done."""
        dropped = [f"dropped {n} for {key}" for key, n in self.world.rates.dropped.items()]
        return [*self.world.complaints, *dropped]

    def shown(self, room: str) -> list[str]:
        """What people see there now, oldest first; buttons in brackets."""
        return [shown.line for shown in self.screen(room)]

    def screen(self, room: str) -> list[Shown]:
        """The same with everything known of it."""
        return self.world.rooms.get(_bare(room), [])

    async def types(self, room: str, user: str, text: str, *, msgid: str = "", quote: str = "") -> str:
        """Somebody writes; returns the message's id. In a group the robot is mentioned."""
        room = _bare(room)
        kind, _, chat = room.partition("/")
        self.world.met.add(room)
        msgid = msgid or self.world.ident("msg")
        body: dict[str, Any] = {
            "msgid": msgid,
            "aibotid": self.robot.bot_id,
            "chattype": "group" if kind == "bot" else "single",
            "from": {"userid": user},
            "msgtype": "text",
            "text": {"content": f"@{NAME}\u2005{text}" if kind == "bot" else text},
        }
        if kind == "bot":
            body["chatid"] = chat
        if quote:
            body["quote"] = {"msgtype": "text", "text": {"content": quote}}
        await self.robot.push("aibot_msg_callback", body, Callback(room=room, user=user, event="", at=self.world.now()))
        return msgid

    async def presses(self, room: str, user: str, label: str) -> None:
        """Somebody presses the button of that label on the latest card that has it."""
        room = _bare(room)
        kind, _, chat = room.partition("/")
        card = next((s for s in reversed(self.screen(room)) if label in s.buttons), None)
        assert card is not None, f"no button {label!r} in {room}: {self.shown(room)}"
        event = {"card_type": "button_interaction", "event_key": card.buttons[label], "task_id": card.task}
        body: dict[str, Any] = {
            "msgid": self.world.ident("press"),
            "create_time": 1700000000,
            "aibotid": self.robot.bot_id,
            "chattype": "group" if kind == "bot" else "single",
            "from": {"corpid": "wwcorp", "userid": user},
            "msgtype": "event",
            "event": {"eventtype": "template_card_event", "template_card_event": event},
        }
        if kind == "bot":
            body["chatid"] = chat
        callback = Callback(room=room, user=user, event="template_card_event", at=self.world.now(), task=card.task)
        await self.robot.push("aibot_event_callback", body, callback)


def _bare(room: str) -> str:
    return room.removeprefix("wecom:")
