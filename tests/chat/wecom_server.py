"""WeCom on loopback: qyapi, the robot's long connection over wss, callbacks; as strict as the real one.

    async with WeComServer() as wecom:
        await wecom.types("wecom:bot/ops", "lin", "/diag sms")        # a group: the robot is @-mentioned
        await wecom.types("wecom:one/lin", "lin", "/diag sms")        # alone with the robot
        await wecom.presses("wecom:bot/ops", "lin", "拉战情室")        # a button of the latest card that has it
        wecom.shown("wecom:bot/ops")                                  # what people there see, as lines of text

`complaints` is everything WeCom refused or dropped: a good bot leaves it empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any, Literal, Self

from aiohttp import web

from bot.domain.platforms import WeComApp, WeComBot, WeComSettings
from bot.lab.pki import Authority
from tests.chat.wecom_callbacks import Caller
from tests.chat.wecom_limits import card_of, card_text
from tests.chat.wecom_qyapi import Qyapi
from tests.chat.wecom_socket import Callback, RobotSocket
from tests.chat.wecom_world import Shown, World, card_shown

NAME = "War room 助手"


class WeComServer:
    """A company with a robot called `NAME`. Rooms are named as the bot names them."""

    def __init__(self, *, mode: Literal["socket", "callback"] = "socket") -> None:
        self.mode = mode
        self.world = World()
        self.robot = RobotSocket(self.world, bot_id="aib-1", secret="canary-wecom-bot")
        self.qyapi = Qyapi(self.world)
        self.qyapi.hooks["hook-key-canary"] = "vendor"
        self.caller = Caller(self.world, corp_id=self.qyapi.corp_id, agent_id=self.qyapi.agent_id)
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
        plain = web.Application(client_max_size=32 * 1024 * 1024)
        plain.router.add_route("*", "/cgi-bin/{path:.+}", self.qyapi.serve)
        plain.router.add_post("/response/{ident}", self.caller.taken)
        self.caller.root = f"http://127.0.0.1:{await self._serve(plain)}"
        self.api_url = f"{self.caller.root}/cgi-bin/"
        self.bot_url = f"wss://127.0.0.1:{await self._serve(app, context)}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.qyapi.released.set()
        tasks = list(self.caller.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stack.aclose()

    async def _serve(self, app: web.Application, context: ssl.SSLContext | None = None) -> int:
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return int(runner.addresses[0][1])

    def settings(self, **more: Any) -> WeComSettings:
        """As the bot is to be configured for this company."""
        secrets: dict[str, Any] = {"secret": self.robot.secret}
        if self.mode == "callback":
            secrets = {"mode": "callback", "token": self.caller.bot_token, "aes_key": self.caller.bot_key}
        bot = WeComBot(bot_id=self.robot.bot_id, name=NAME, url=self.bot_url, ca_file=self.ca_file, **secrets)
        app = WeComApp(
            corp_id=self.qyapi.corp_id,
            agent_id=self.qyapi.agent_id,
            secret=self.qyapi.secret,
            token=self.caller.app_token,
            aes_key=self.caller.app_key,
        )
        hooks = tuple((name, key) for key, name in self.qyapi.hooks.items())
        return WeComSettings(**{"api_url": self.api_url, "bot": bot, "app": app, "webhooks": hooks, **more})

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
        msgid = msgid or self.world.ident("msg")
        if room.startswith("app/"):
            ident = int(msgid.removeprefix("msg") or 0) if msgid.startswith("msg") else msgid
            await self.caller.app(self._fields(user, MsgType="text", Content=text, MsgId=ident))
            return str(ident)
        self.world.met.add(room)
        mention = f"@{NAME}\u2005{text}" if room.startswith("bot/") else text
        body = self._body(room, user, msgid, msgtype="text", text={"content": mention})
        if quote:
            body["quote"] = {"msgtype": "text", "text": {"content": quote}}
        if self.mode == "socket":
            callback = Callback(room=room, user=user, event="", at=self.world.now())
            await self.world.begin(user, lambda: callback.goes_on(self.world.now()))
            callback.at = self.world.now()
            await self.robot.push("aibot_msg_callback", body, callback)
            return msgid
        body["response_url"] = self.caller.url(room)
        asked = talk = Shown(text="", live=True)
        await self.world.begin(user, lambda: talk.live)
        try:
            _, answer = await self.caller.robot(body)
        finally:
            asked.live = False
        stream = (answer or {}).get("stream", {}).get("id")
        known = next((shown for shown in self.screen(room) if stream and shown.stream == stream), None)
        talk = known or self.caller.follow(room, body, answer) or asked
        return msgid

    async def presses(self, room: str, user: str, label: str) -> None:
        """Somebody presses the button of that label on the latest card that has it."""
        room = _bare(room)
        card = next((s for s in reversed(self.screen(room)) if label in s.buttons), None)
        assert card is not None, f"no button {label!r} in {room}: {self.shown(room)}"
        key = card.buttons[label]
        if room.startswith("app/"):
            code = self.qyapi.code(room, card.task)
            more = {"Event": "template_card_event", "EventKey": key, "TaskId": card.task, "ResponseCode": code}
            await self.caller.app(self._fields(user, MsgType="event", CardType="button_interaction", **more))
            return
        event = {"card_type": "button_interaction", "event_key": key, "task_id": card.task}
        body = self._body(room, user, self.world.ident("press"), msgtype="event", create_time=1700000000)
        body["event"] = {"eventtype": "template_card_event", "template_card_event": event}
        if self.mode == "socket":
            callback = Callback(room=room, user=user, event="template_card_event", at=self.world.now(), task=card.task)
            await self.robot.push("aibot_event_callback", body, callback)
            return
        body["response_url"] = self.caller.url(room)
        _, answer = await self.caller.robot(body)
        if answer is not None:
            assert answer["response_type"] == "update_template_card"
            new = card_of(answer["template_card"], None, self.world.complaints)
            fresh = card_shown(new, card_text(new))
            card.text, card.buttons = fresh.text, fresh.buttons

    def _body(self, room: str, user: str, msgid: str, **more: Any) -> dict[str, Any]:
        kind, _, chat = room.partition("/")
        group = {"chatid": chat, "chattype": "group"} if kind == "bot" else {"chattype": "single"}
        return {"msgid": msgid, "aibotid": self.robot.bot_id, **group, "from": {"userid": user}, **more}

    def _fields(self, user: str, **more: Any) -> dict[str, Any]:
        to = {"ToUserName": self.qyapi.corp_id, "FromUserName": user, "CreateTime": int(time.time())}
        return {**to, **more, "AgentID": self.qyapi.agent_id}


def _bare(room: str) -> str:
    return room.removeprefix("wecom:")
