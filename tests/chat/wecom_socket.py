"""The robot's long connection as WeCom keeps it: one at a time, strict about frames, streams and rates."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import ssl
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from tests.chat.wecom_limits import MEMBER, Refused, card_of, card_text, text_of
from tests.chat.wecom_world import Shown, World, card_shown

STREAM_S = 360.0
CARD_S = 5.0
DAY_S = 86_400.0


@dataclass
class Callback:
    """Something that was pushed over the connection, and may be answered under its req_id."""

    room: str
    user: str
    event: str
    at: float
    task: str = ""
    streams: dict[str, Shown] = field(default_factory=dict)
    updated: bool = False
    acked_at: float | None = None

    def goes_on(self, now: float) -> bool:
        """Whether the answer has not ended yet."""
        if now - self.at > STREAM_S:
            return False
        return self.acked_at is None or any(shown.live for shown in self.streams.values())


@dataclass
class Upload:
    name: str
    size: int
    chunks: int
    md5: str
    parts: dict[int, bytes] = field(default_factory=dict)


class RobotSocket:
    """Faults: `down` refuses connections, `silent` answers nothing, `fail` answers the next frames with an error,
    `lose` carries out the next frame of that cmd and breaks off before the answer, `forgetful` knows on a connection
    only what was pushed over it.
    """

    def __init__(self, world: World, *, bot_id: str, secret: str) -> None:
        self.world, self.bot_id, self.secret = world, bot_id, secret
        self.live: web.WebSocketResponse | None = None
        self.subscribed = asyncio.Event()
        self.connections = 0
        self.pings = 0
        self.frames: list[dict[str, Any]] = []
        """Everything the bot sent, apart from pings."""
        self.callbacks: dict[str, Callback] = {}
        self.down = self.silent = False
        self.fail: list[int] = []
        self.lose: list[str] = []
        self.forgetful = False
        self._uploads: dict[str, Upload] = {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            return web.Response(status=503)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        known = False
        try:
            async for message in ws:
                if message.type is not WSMsgType.TEXT:
                    self.world.complaints.append(f"a {message.type.name} frame")
                    continue
                frame = json.loads(message.data)
                if self.silent:
                    continue
                if frame.get("cmd") == "aibot_subscribe":
                    known = await self._subscribe(ws, frame)
                elif not known:
                    await _answer(ws, frame, 846609, "not subscribed")
                elif frame.get("cmd") == "ping":
                    self.pings += 1
                    await _answer(ws, frame)
                else:
                    await self._carry_out(ws, frame)
        finally:
            if self.live is ws:
                self.live = None
                self.subscribed.clear()
        return ws

    async def push(self, cmd: str, body: dict[str, Any], callback: Callback) -> str:
        """Send something to the bot, once it is connected; returns the req_id."""
        req_id = self.world.ident("req")
        self.callbacks[req_id] = callback
        while True:
            await asyncio.wait_for(self.subscribed.wait(), 20)
            assert self.live is not None
            try:
                await self.live.send_json({"cmd": cmd, "headers": {"req_id": req_id}, "body": body})
            except ConnectionError:
                # Broken off at this moment: it goes over the next connection.
                await asyncio.sleep(0.05)
            else:
                return req_id

    async def take_over(self, url: str, ca_file: str) -> None:
        """Somebody else connects with this robot's secret, and leaves again."""
        context = ssl.create_default_context(cafile=ca_file)
        async with aiohttp.ClientSession() as client, client.ws_connect(url, ssl=context) as ws:
            body = {"bot_id": self.bot_id, "secret": self.secret}
            await ws.send_json({"cmd": "aibot_subscribe", "headers": {"req_id": "other"}, "body": body})
            assert (await ws.receive_json())["errcode"] == 0

    async def cut(self, code: int = 1000) -> None:
        """Close the connection: 1000 is a clean close, 0 breaks it off."""
        ws = self.live
        assert ws is not None
        self.subscribed.clear()
        if code == 0:
            transport = ws._req.transport  # type: ignore[union-attr]
            assert transport is not None
            transport.abort()
        else:
            await ws.close(code=code)

    async def _subscribe(self, ws: web.WebSocketResponse, frame: dict[str, Any]) -> bool:
        body = frame.get("body", {})
        if body != {"bot_id": self.bot_id, "secret": self.secret}:
            await _answer(ws, frame, 853000, "invalid bot_id or secret")
            return False
        old, self.live = self.live, ws
        self.connections += 1
        if self.forgetful:
            for callback in self.callbacks.values():
                callback.at = float("-inf")
        if old is not None:
            event = {"msgid": self.world.ident("ev"), "msgtype": "event", "event": {"eventtype": "disconnected_event"}}
            with contextlib.suppress(ConnectionError, RuntimeError):
                kick = {"cmd": "aibot_event_callback", "headers": {"req_id": self.world.ident("req")}, "body": event}
                await old.send_json(kick)
                asyncio.get_running_loop().create_task(old.close())
        await _answer(ws, frame)
        self.subscribed.set()
        return True

    async def _carry_out(self, ws: web.WebSocketResponse, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        if ws is not self.live:
            await _answer(ws, frame, 846608, "connection was taken over")
            return
        if self.fail:
            await _answer(ws, frame, self.fail.pop(0), "made to fail")
            return
        try:
            found = self._do(str(frame.get("cmd")), str(frame["headers"]["req_id"]), frame.get("body") or {})
        except Refused as exc:
            self.world.complaints.append(f"{frame.get('cmd')}: {exc}")
            await _answer(ws, frame, exc.code, exc.words)
            return
        if frame.get("cmd") in self.lose:
            self.lose.remove(frame["cmd"])
            await self.cut(0)
            return
        await _answer(ws, frame, body=found)

    def _do(self, cmd: str, req_id: str, body: dict[str, Any]) -> dict[str, Any] | None:
        acts = {
            "aibot_respond_msg": lambda: self._respond(req_id, body),
            "aibot_respond_update_msg": lambda: self._update(req_id, body),
            "aibot_send_msg": lambda: self._send(body),
            "aibot_upload_media_init": lambda: self._init(body),
            "aibot_upload_media_chunk": lambda: self._chunk(body),
            "aibot_upload_media_finish": lambda: self._finish(body),
        }
        if cmd not in acts:
            raise Refused(40008, f"unknown cmd {cmd}")
        return acts[cmd]()

    def _respond(self, req_id: str, body: dict[str, Any]) -> None:
        callback = self.callbacks.get(req_id)
        if callback is None or callback.event or self.world.now() - callback.at > DAY_S:
            raise Refused(846605, "invalid req_id")
        self._spend(callback.room)
        callback.acked_at = callback.acked_at or self.world.now()
        if body.get("msgtype") != "stream":
            self._shown(callback.room, body)
            return
        stream = body["stream"]
        ident, finish = stream.get("id"), stream.get("finish")
        if not isinstance(ident, str) or not ident or not isinstance(finish, bool) or "msg_item" in stream:
            raise Refused(40058, "stream.id, stream.finish or msg_item")
        text = text_of(body, "stream", 20480)
        shown = callback.streams.get(ident)
        if shown is None:
            shown = callback.streams[ident] = self.world.show(callback.room, Shown(text="", stream=ident, live=True))
        if not shown.live or self.world.now() - callback.at > STREAM_S:
            raise Refused(846606, "stream is finished")
        shown.text, shown.live = text, not finish

    def _update(self, req_id: str, body: dict[str, Any]) -> None:
        callback = self.callbacks.get(req_id)
        if callback is None or callback.event != "template_card_event" or callback.updated:
            raise Refused(846605, "invalid req_id")
        if self.world.now() - callback.at > CARD_S:
            raise Refused(846607, "too late to update the card")
        if body.get("response_type") != "update_template_card":
            raise Refused(40058, "response_type")
        card = card_of(body.get("template_card"), None, self.world.complaints)
        if card.get("task_id") != callback.task:
            raise Refused(42045, "task_id is not the card's")
        callback.updated, callback.acked_at = True, self.world.now()
        for shown in self.world.rooms[callback.room]:
            if shown.task == callback.task:
                new = card_shown(card, card_text(card))
                shown.text, shown.buttons = new.text, new.buttons

    def _send(self, body: dict[str, Any]) -> None:
        kind = {1: "one", 2: "bot"}.get(body.get("chat_type", 0))
        chat = body.get("chatid")
        if kind is None:
            kind = "bot" if f"bot/{chat}" in self.world.met else "one"
        room = f"{kind}/{chat}"
        if room not in self.world.met:
            raise Refused(93006, "invalid chatid: nobody there has talked to the robot")
        self._spend(room)
        self._shown(room, body)

    def _shown(self, room: str, body: dict[str, Any]) -> None:
        match body.get("msgtype"):
            case "markdown":
                self.world.show(room, Shown(text=text_of(body, "markdown", 20480)))
            case "template_card":
                card = card_of(body.get("template_card"), self.world.tasks, self.world.complaints)
                self.world.show(room, card_shown(card, card_text(card)))
            case "file":
                name, content, _ = self.world.media[_media(self.world, body["file"].get("media_id"))]
                self.world.show(room, Shown(text=f"📎 {name}", kind="file", file=(name, content)))
            case other:
                raise Refused(40008, f"invalid msgtype {other}")

    def _spend(self, room: str) -> None:
        if not self.world.rates.fits(f"robot:{room}", self.world.now(), *MEMBER):
            raise Refused(45009, "reach max frequency of this conversation")

    def _init(self, body: dict[str, Any]) -> dict[str, Any]:
        size, chunks = body.get("total_size", 0), body.get("total_chunks", 0)
        if body.get("type") != "file" or not body.get("filename") or not 5 < size <= 20 * 1024 * 1024:
            raise Refused(40006, "invalid media size")
        if not 1 <= chunks <= 100:
            raise Refused(40006, "too many chunks")
        ident = self.world.ident("upload")
        self._uploads[ident] = Upload(body["filename"], size, chunks, body.get("md5", ""))
        return {"upload_id": ident}

    def _chunk(self, body: dict[str, Any]) -> None:
        upload = self._uploads.get(body.get("upload_id", ""))
        if upload is None or not 0 <= body.get("chunk_index", -1) < upload.chunks:
            raise Refused(40007, "invalid upload_id or chunk_index")
        part = base64.b64decode(body["base64_data"], validate=True)
        if len(part) > 512 * 1024:
            raise Refused(40006, "chunk too large")
        upload.parts[body["chunk_index"]] = part

    def _finish(self, body: dict[str, Any]) -> dict[str, Any]:
        upload = self._uploads.pop(body.get("upload_id", ""), None)
        if upload is None or sorted(upload.parts) != list(range(upload.chunks)):
            raise Refused(40007, "chunks are missing")
        content = b"".join(upload.parts[i] for i in range(upload.chunks))
        if len(content) != upload.size or (upload.md5 and hashlib.md5(content).hexdigest() != upload.md5):
            raise Refused(40007, "size or md5")
        media = self.world.ident("media")
        self.world.media[media] = (upload.name, content, self.world.now())
        return {"type": "file", "media_id": media, "created_at": "1380000000"}


def _media(world: World, ident: object) -> str:
    if not isinstance(ident, str) or ident not in world.media:
        raise Refused(40007, "invalid media_id")
    return ident


async def _answer(
    ws: web.WebSocketResponse, frame: dict[str, Any], code: int = 0, words: str = "ok", body: Any = None
) -> None:
    answer = {"headers": {"req_id": frame.get("headers", {}).get("req_id", "")}, "errcode": code, "errmsg": words}
    with contextlib.suppress(ConnectionError, RuntimeError):
        await ws.send_json(answer | ({"body": body} if body is not None else {}))
