"""WeCom as it calls back: encrypted, signed, again when no answer comes, and asking how streams go on."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import Any

import aiohttp
from aiohttp import web

from tests.chat.wecom_crypto import decrypt, encrypt, sign
from tests.chat.wecom_limits import Refused, card_of, card_text, text_of
from tests.chat.wecom_world import Shown, World, card_shown

ANSWER_S = 5.0
VERIFY_S = 1.0
TRIES = 3
STREAM_S = 360.0
POLL_S = 0.2


class Caller:
    """Calls a bot at `base` + /wecom/callback and /wecom/bot."""

    def __init__(self, world: World, *, corp_id: str, agent_id: int) -> None:
        self.world, self.corp_id, self.agent_id = world, corp_id, agent_id
        self.base = ""
        self.app_token, self.bot_token = "apptoken", "bottoken"
        self.app_key, self.bot_key = (secrets.token_hex(22)[:42] + "A" for _ in range(2))
        self.answered: list[tuple[str, int, float]] = []
        """(path, status, seconds)"""
        self.tasks: set[asyncio.Task[None]] = set()
        self.urls: dict[str, tuple[str, float]] = {}
        self.root = ""

    async def verify(self, path: str, *, key: str = "", token: str = "") -> tuple[int, str]:
        """What the administration page does when the address is saved."""
        robot = path == "/wecom/bot"
        key = key or (self.bot_key if robot else self.app_key)
        token = token or (self.bot_token if robot else self.app_token)
        echo = encrypt(key, "1616140317555161061", "" if robot else self.corp_id)
        async with aiohttp.ClientSession() as client:
            began = time.monotonic()
            query = _query(token, echo) | {"echostr": echo}
            async with client.get(self.base + path, params=query) as answer:
                status, text = answer.status, await answer.text()
        if time.monotonic() - began > VERIFY_S:
            self.world.complaints.append(f"{path}: the address was verified too late")
        return status, text

    def sealed_app(
        self, fields: dict[str, Any] | str, *, receiver: str = "", stamp: int | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Body and query of a callback with these fields, or with this text instead of them."""
        inner = (
            fields if isinstance(fields, str) else f"<xml>{''.join(_element(k, v) for k, v in fields.items())}</xml>"
        )
        sealed = encrypt(self.app_key, inner, receiver or self.corp_id)
        body = (
            f"<xml><ToUserName><![CDATA[{self.corp_id}]]></ToUserName><Encrypt><![CDATA[{sealed}]]></Encrypt>"
            f"<AgentID><![CDATA[{self.agent_id}]]></AgentID></xml>"
        )
        return body.encode(), _query(self.app_token, sealed, stamp=stamp)

    async def app(self, fields: dict[str, Any], *, tries: int = TRIES) -> int:
        """An event or message for the application; the status of its last answer."""
        body, query = self.sealed_app(fields)
        status, text = await self._call("/wecom/callback", body, query, tries)
        if status == 200 and text not in ("", "success"):
            self.world.complaints.append(f"/wecom/callback answered {text[:80]!r}")
        return status

    async def robot(self, body: dict[str, Any], *, tries: int = TRIES) -> tuple[int, dict[str, Any] | None]:
        """Something for the robot: (status, what the bot answered)."""
        sealed = encrypt(self.bot_key, json.dumps(body, ensure_ascii=False), "")
        query = _query(self.bot_token, sealed)
        status, text = await self._call("/wecom/bot", json.dumps({"encrypt": sealed}).encode(), query, tries)
        if status != 200 or not text:
            return status, None
        row = json.loads(text)
        assert row["msgsignature"] == sign(self.bot_token, str(row["timestamp"]), row["nonce"], row["encrypt"])
        return status, json.loads(decrypt(self.bot_key, row["encrypt"], ""))

    async def raw(self, path: str, body: bytes, query: dict[str, str], *, method: str = "POST") -> tuple[int, str]:
        """Whatever somebody sends to the bot's address: (status, text), no second try."""
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, self.base + path, params=query, data=body) as answer,
        ):
            return answer.status, await answer.text()

    async def _call(self, path: str, body: bytes, query: dict[str, str], tries: int) -> tuple[int, str]:
        status, text = 0, ""
        for _ in range(tries):
            began = time.monotonic()
            try:
                timeout = aiohttp.ClientTimeout(total=ANSWER_S)
                async with (
                    aiohttp.ClientSession(timeout=timeout) as client,
                    client.post(self.base + path, params=query, data=body) as answer,
                ):
                    status, text = answer.status, await answer.text()
            except TimeoutError:
                self.world.complaints.append(f"{path}: no answer within {ANSWER_S:g} s")
                status, text = 0, ""
            self.answered.append((path, status, time.monotonic() - began))
            if status == 200 or 400 <= status < 500:
                break
        return status, text

    def url(self, room: str) -> str:
        """An address that takes one message, within an hour."""
        ident = secrets.token_hex(8)
        self.urls[ident] = (room, self.world.now() + 3600)
        return f"{self.root}/response/{ident}"

    async def taken(self, request: web.Request) -> web.Response:
        """A message to such an address."""
        room, until = self.urls.pop(request.match_info["ident"], ("", 0.0))
        try:
            self._say_at(room, until, await request.json())
        except Refused as exc:
            self.world.complaints.append(f"response_url: {exc}")
            return web.json_response({"errcode": exc.code, "errmsg": exc.words})
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    def _say_at(self, room: str, until: float, body: dict[str, Any]) -> None:
        if not room or self.world.now() > until:
            raise Refused(60140, "response_url is used up or expired")
        if body.get("msgtype") == "markdown":
            self.world.show(room, Shown(text=text_of(body, "markdown", 20480)))
        elif body.get("msgtype") == "template_card":
            card = card_of(body.get("template_card"), self.world.tasks, self.world.complaints)
            self.world.show(room, card_shown(card, card_text(card)))
        else:
            raise Refused(40008, "invalid message type")

    def follow(self, room: str, body: dict[str, Any], answer: dict[str, Any] | None) -> Shown | None:
        """Show what the bot answered, and ask on while its stream is open."""
        if answer is None:
            return None
        if answer.get("msgtype") != "stream":
            self.world.complaints.append(f"a message was answered with {answer.get('msgtype')}")
            return None
        stream = answer["stream"]
        shown = self.world.show(room, Shown(text=text_of(answer, "stream", 20480), stream=stream["id"], live=True))
        shown.live = not stream["finish"]
        if shown.live:
            task = asyncio.create_task(self._ask_on(body, shown))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return shown

    async def _ask_on(self, body: dict[str, Any], shown: Shown) -> None:
        began = self.world.now()
        kept = {k: v for k, v in body.items() if k in ("aibotid", "chatid", "chattype", "from")}
        while shown.live and self.world.now() - began < STREAM_S:
            await asyncio.sleep(POLL_S)
            asked = {**kept, "msgid": self.world.ident("refresh"), "msgtype": "stream", "stream": {"id": shown.stream}}
            _, answer = await self.robot(asked, tries=1)
            if answer is not None and answer.get("msgtype") == "stream":
                assert answer["stream"]["id"] == shown.stream
                shown.text = text_of(answer, "stream", 20480)
                shown.live = not answer["stream"]["finish"]


def _element(name: str, value: object) -> str:
    return f"<{name}>{value if isinstance(value, int) else f'<![CDATA[{value}]]>'}</{name}>"


def _query(token: str, sealed: str, *, stamp: int | None = None) -> dict[str, str]:
    moment, nonce = str(int(time.time()) if stamp is None else stamp), secrets.token_hex(5)
    return {"msg_signature": sign(token, moment, nonce, sealed), "timestamp": moment, "nonce": nonce}
