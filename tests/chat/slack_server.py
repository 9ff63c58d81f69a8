"""Slack on loopback: Web API, files, response addresses and Socket Mode, as strict as the real one.

    async with SlackServer() as slack:                       # mode "http" posts to slack.events_url, "socket" waits
        slack.add_channel("C0OPS", "ops")                    # for the bot to connect
        await slack.types("C0OPS", "U0LIN", "/diag sms")     # a command; "@warroom ..." mentions the bot; a direct
        await slack.presses("C0OPS", "U0LIN", "I have it")   # message where the channel is a D...
        slack.shown("C0OPS")                                 # what a person there sees, as lines of text

`complaints` holds everything Slack refused or that came too late: a good bot leaves it empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from tests.chat.slack_limits import Refused
from tests.chat.slack_methods import BOT, BOT_ID, TEAM, Channel, Invites, Workspace, call
from tests.chat.slack_shown import lines_of

ACK_S = 3.0
GAP_S = 0.9
"""Two messages to one channel at less than this are too many; "about one a second"."""
RETRIES = 3


@dataclass
class Answer:
    """How the bot acknowledged a delivery: `status` is HTTP's, 200 for an envelope; `body` is what it said with it."""

    status: int
    body: Any = None
    took_s: float = 0.0
    tries: int = 1


@dataclass
class Called:
    """One call of the Web API."""

    method: str
    args: dict[str, Any]
    answer: dict[str, Any]
    at: float


@dataclass
class Envelope:
    """Something to deliver over a socket."""

    id: str
    type: str
    payload: dict[str, Any]
    acked: asyncio.Future[Any]


@dataclass
class Socket:
    """A Socket Mode connection."""

    ws: web.WebSocketResponse
    silent: bool = False
    sent: set[str] = field(default_factory=set)


class SlackServer:
    """A workspace with one installed app. Faults: `down`, `hang`, `storm`, `reset`, `fail`, `disconnect`, `silence`."""

    def __init__(
        self,
        *,
        mode: Literal["http", "socket"] = "http",
        scopes: list[str] | None = None,
        clock: Callable[[], float] = time.time,
        strict_rate: bool = True,
    ) -> None:
        self.mode = mode
        self.space = Workspace(now=clock)
        if scopes is not None:
            self.space.scopes = scopes
        self.bot_token, self.app_token, self.signing_secret = "xoxb-canary-slack", "xapp-canary-slack", "s3cr3t-slack"
        self.events_url = ""
        self.complaints: list[str] = []
        self.calls: list[Called] = []
        self.answers: list[Answer] = []
        self.responses: list[tuple[str, dict[str, Any]]] = []
        """(channel, body) of what came to a response_url."""
        self.ephemeral: dict[str, list[str]] = {}
        self.connections = 0
        self.acks: Counter[str] = Counter()
        self.sockets: list[Socket] = []
        self.down = False
        self.hang: set[str] = set()
        self.storm: dict[str, float] = {}
        """Method ("*" for all) and the Retry-After it answers until it is taken out."""
        self.reset: set[str] = set()
        """Methods that are carried out once more without an answer: the connection breaks instead."""
        self.fail: dict[str, deque[str]] = {}
        """Method and the errors of its next calls."""
        self._strict_rate = strict_rate
        self._last_post: dict[str, float] = {}
        self._counter = itertools.count(1)
        self._envelopes: dict[str, Envelope] = {}
        self._response_uses: Counter[str] = Counter()
        self._released = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_post("/upload/{file}", self._upload)
        app.router.add_post("/respond/{id}/{channel}", self._respond)
        app.router.add_get("/socket", self._socket)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.root = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.url = f"{self.root}/api/"
        self.space.url = self.root
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._released.set()
        await self._client.close()
        await self._runner.cleanup()

    # --- the workspace

    def add_channel(self, key: str, name: str, *members: str, private: bool = False, joined: bool = True) -> Channel:
        """A channel; `joined` puts the bot into it."""
        inside = [BOT, *members] if joined else list(members)
        self.space.channels[key] = Channel(id=key, name=name, private=private, members=inside)
        return self.space.channels[key]

    def add_user(self, key: str, name: str, *, email: str = "", locale: str = "en-US", phone: str = "") -> None:
        """Somebody in the workspace."""
        profile = {"real_name": name, "display_name": name, "email": email, "phone": phone}
        self.space.users[key] = {"id": key, "name": name, "real_name": name, "locale": locale, "profile": profile}

    def shown(self, channel: str) -> list[str]:
        """What a person in the channel sees now; lines of a thread begin with "  ↳ "."""
        return lines_of(self.space.channel(channel))

    def said(self, channel: str) -> list[dict[str, Any]]:
        """The messages of a channel as they stand, oldest first."""
        return list(self.space.channel(channel).messages.values())

    def methods(self) -> list[str]:
        """The methods called so far, in order."""
        return [called.method for called in self.calls]

    # --- what people do

    async def types(self, channel: str, user: str, text: str, *, thread: str = "") -> Answer:
        """A line in a channel, as its first character says: a slash command, a mention, or a message."""
        if text.startswith("/") and not channel.startswith("D"):
            return await self.deliver(self.slash(channel, user, text))
        if text.startswith("/"):  # Slack has slash commands in direct messages as well
            return await self.deliver(self.slash(channel, user, text))
        return await self.deliver(self.message(channel, user, text, thread=thread))

    def slash(self, channel: str, user: str, text: str) -> dict[str, Any]:
        """The form of a slash command."""
        place = self.space.channel(channel)
        command, _, rest = text.partition(" ")
        return {
            "token": "legacy",
            "team_id": TEAM,
            "team_domain": "team",
            "channel_id": place.id,
            "channel_name": place.name,
            "user_id": user,
            "user_name": self._name(user),
            "command": command,
            "text": rest,
            "api_app_id": "A0APP",
            "is_enterprise_install": "false",
            "response_url": self._response_url(place.id),
            "trigger_id": self.trigger(),
        }

    def message(self, channel: str, user: str, text: str, *, thread: str = "") -> dict[str, Any]:
        """The event of a message: `app_mention` where "@warroom" is in it, `message` in a direct channel."""
        place = self.space.channel(channel)
        written = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        written = written.replace("@warroom", f"<@{BOT}>")
        said = {"user": user, "text": written}
        row = self.space.post(place, {**said, "thread_ts": thread} if thread else said)
        event = {"type": "app_mention", "user": user, "text": written, "ts": row["ts"], "channel": place.id}
        if place.user:
            event |= {"type": "message", "channel_type": "im"}
        if thread:
            event["thread_ts"] = thread
        return self.event({**event, "event_ts": row["ts"]})

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        """The envelope of the Events API."""
        return {
            "token": "legacy",
            "team_id": TEAM,
            "api_app_id": "A0APP",
            "event": event,
            "type": "event_callback",
            "event_id": f"Ev{next(self._counter):08}",
            "event_time": int(self.space.now()),
            "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
        }

    async def presses(self, channel: str, user: str, label: str) -> Answer:
        """The newest button with this label in the channel."""
        return await self.deliver(self.press(channel, user, label))

    def press(self, channel: str, user: str, label: str) -> dict[str, Any]:
        """The payload of a pressed button."""
        place = self.space.channel(channel)
        for said in reversed(place.messages.values()):
            for block in said.get("blocks", []):
                for element in block.get("elements", []) if block["type"] == "actions" else []:
                    if element["text"]["text"] == label:
                        return self._action(place, user, said, block, element)
        raise AssertionError(f"no button {label!r} in {self.shown(channel)}")

    def _action(self, place: Channel, user: str, said: dict[str, Any], block: Any, element: Any) -> dict[str, Any]:
        action = {"type": "button", "action_id": element["action_id"], "value": element.get("value", "")}
        action |= {"block_id": block.get("block_id", "b"), "text": element["text"], "action_ts": self.space.ts()}
        return {
            "type": "block_actions",
            "user": {"id": user, "username": self._name(user), "team_id": TEAM},
            "api_app_id": "A0APP",
            "container": {"type": "message", "message_ts": said["ts"], "channel_id": place.id, "is_ephemeral": False},
            "trigger_id": self.trigger(),
            "team": {"id": TEAM, "domain": "team"},
            "channel": {"id": place.id, "name": place.name},
            "message": {**said, "type": "message"},
            "response_url": self._response_url(place.id),
            "actions": [action],
        }

    async def marks(self, channel: str, user: str, ts: str, reaction: str = "memo") -> Answer:
        """A reaction on a message."""
        author = self.space.channel(channel).messages[ts].get("user", "")
        item = {"type": "message", "channel": channel, "ts": ts}
        event = {"type": "reaction_added", "user": user, "reaction": reaction, "item_user": author, "item": item}
        return await self.deliver(self.event({**event, "event_ts": self.space.ts()}))

    async def pins(self, channel: str, user: str, ts: str) -> Answer:
        """A message is pinned."""
        item = {"type": "message", "channel": channel, "message": {"ts": ts}, "created_by": user}
        event = {"type": "pin_added", "user": user, "channel_id": channel, "item": item}
        return await self.deliver(self.event({**event, "event_ts": self.space.ts()}))

    async def keeps(self, channel: str, user: str, ts: str) -> Answer:
        """The message shortcut "add to timeline"."""
        place = self.space.channel(channel)
        payload = {
            "type": "message_action",
            "callback_id": "add_to_timeline",
            "trigger_id": self.trigger(),
            "user": {"id": user, "name": self._name(user)},
            "team": {"id": TEAM, "domain": "team"},
            "channel": {"id": place.id, "name": place.name},
            "message_ts": ts,
            "message": {**place.messages[ts], "type": "message"},
            "response_url": self._response_url(place.id),
        }
        return await self.deliver(payload)

    async def submits(self, user: str, **values: str) -> Answer:
        """The newest modal, filled in: block id = value."""
        key, view = next(reversed(self.space.views.items()))
        state: dict[str, Any] = {}
        for block in view["blocks"]:
            if block["type"] == "input":
                state[block["block_id"]] = {block["element"]["action_id"]: _filled(block, values)}
        view = {**view, "state": {"values": state}, "hash": "h", "id": key}
        payload = {"type": "view_submission", "user": {"id": user, "name": self._name(user)}, "view": view}
        return await self.deliver({**payload, "team": {"id": TEAM, "domain": "team"}, "trigger_id": self.trigger()})

    def trigger(self) -> str:
        """A trigger id, good for 3 s and one view."""
        key = f"{next(self._counter)}.{TEAM}.abc"
        self.space.triggers[key] = self.space.now() + 3
        return key

    def _name(self, user: str) -> str:
        return str(self.space.users[user]["name"]) if user in self.space.users else user.lower()

    def _response_url(self, channel: str) -> str:
        return f"{self.root}/respond/R{next(self._counter)}/{channel}"

    # --- deliveries

    async def deliver(self, payload: dict[str, Any], *, retry: bool = True) -> Answer:
        """Bring it to the bot as the mode says; events that are not acknowledged come again, as Slack does."""
        event = payload.get("type") == "event_callback"
        for tries in range(1, RETRIES + 2):
            answer = await (self._over_http(payload, tries) if self.mode == "http" else self._over_socket(payload))
            answer.tries = tries
            if answer.took_s > ACK_S or answer.status != 200:
                self.complaints.append(f"not acknowledged: {answer.status} after {answer.took_s:.1f} s")
            if answer.status == 200 or not event or not retry:
                break
        self.answers.append(answer)
        return answer

    async def _over_http(self, payload: dict[str, Any], tries: int) -> Answer:
        body, kind = encoded(payload)
        more = {"X-Slack-Retry-Num": str(tries - 1), "X-Slack-Retry-Reason": "http_error"} if tries > 1 else {}
        return await self.post(body, {**self.signed(body, kind), **more})

    async def post(self, body: bytes, headers: dict[str, str]) -> Answer:
        """One request to the bot, as it is given."""
        began = time.monotonic()
        try:
            async with self._client.post(self.events_url, data=body, headers=headers) as answer:
                text = await answer.text()
                return Answer(answer.status, _json_or(text), time.monotonic() - began)
        except aiohttp.ClientError as exc:
            return Answer(0, str(exc), time.monotonic() - began)

    def signed(self, body: bytes, kind: str, *, at: float | None = None) -> dict[str, str]:
        """The headers Slack sends with a body."""
        ts = str(int(self.space.now() if at is None else at))
        base = b"v0:" + ts.encode() + b":" + body
        digest = hmac.new(self.signing_secret.encode(), base, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": ts, "X-Slack-Signature": f"v0={digest}", "Content-Type": kind}

    async def _over_socket(self, payload: dict[str, Any]) -> Answer:
        began = time.monotonic()
        kind = "slash_commands" if "command" in payload else "events_api" if "event" in payload else "interactive"
        envelope = Envelope(f"env-{next(self._counter)}", kind, payload, asyncio.get_running_loop().create_future())
        return await self.send(envelope, began)

    async def send(self, envelope: Envelope, began: float) -> Answer:
        """An envelope to one of the sockets; to another one when the first breaks before it has acknowledged."""
        self._envelopes[envelope.id] = envelope
        deadline = began + 15
        while time.monotonic() < deadline:
            socket = next((s for s in reversed(self.sockets) if envelope.id not in s.sent), None)
            if socket is not None and not socket.ws.closed:
                socket.sent.add(envelope.id)
                body = {"envelope_id": envelope.id, "type": envelope.type, "payload": envelope.payload}
                with contextlib.suppress(ConnectionError):
                    await socket.ws.send_str(json.dumps({**body, "accepts_response_payload": True}))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(envelope.acked), 0.05)
                return Answer(200, envelope.acked.result(), time.monotonic() - began)
        return Answer(0, "no acknowledgement", time.monotonic() - began)

    async def disconnect(self, reason: str = "refresh_requested", *, after_s: float = 0.2) -> None:
        """Tell every socket that it will be closed, and close it."""
        going = list(self.sockets)
        for socket in going:
            await socket.ws.send_str(json.dumps({"type": "disconnect", "reason": reason, "debug_info": {}}))
        await asyncio.sleep(after_s)
        for socket in going:
            await socket.ws.close()

    def silence(self, *, but_pings: bool = False) -> None:
        """Every socket of now goes deaf and stays open: nothing is read on it any more, or nothing `but_pings`."""
        for socket in self.sockets:
            socket.silent = not but_pings
        self.sockets.clear()

    async def connected(self, count: int = 1, *, within_s: float = 30.0) -> None:
        """Wait until so many sockets are open."""
        async with asyncio.timeout(within_s):
            while len(self.sockets) < count:
                await asyncio.sleep(0.02)

    # --- endpoints

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if method in self.hang or "*" in self.hang:
            await self._released.wait()
        if self.down:
            return web.Response(status=503, text="<html>down</html>", content_type="text/html")
        wait_s = self.storm.get(method, self.storm.get("*"))
        if wait_s is not None:
            self.calls.append(Called(method, {}, {"error": "ratelimited"}, time.monotonic()))
            return self._limited(wait_s)
        try:
            args = await _arguments(request)
            answer = self._answer(method, args, request.headers.get("Authorization", ""))
        except Refused as exc:
            return self._refused(method, exc)
        if isinstance(answer, float):
            self.complaints.append(f"{method}: too fast")
            return self._limited(answer)
        self.calls.append(Called(method, args, answer, time.monotonic()))
        if method in self.reset:
            self.reset.discard(method)
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"ok": True, **answer}, headers={"X-OAuth-Scopes": ",".join(self.space.scopes)})

    def _answer(self, method: str, args: dict[str, Any], shown: str) -> dict[str, Any] | float:
        if planned := self.fail.get(method):
            raise Planned(planned.popleft())
        token = args.pop("token", "") or shown.removeprefix("Bearer ")
        if method == "apps.connections.open":
            return self._open_connection(token)
        if token != self.bot_token:
            raise Refused(
                "not_allowed_token_type" if token == self.app_token else "invalid_auth" if token else "not_authed"
            )
        if method == "chat.postMessage" and self._strict_rate:
            now, key = time.monotonic(), str(args.get("channel"))
            if now - self._last_post.get(key, -9.0) < GAP_S:
                return 1.0
            answer = call(self.space, method, args)
            self._last_post[key] = now
            return answer
        return call(self.space, method, args)

    def _open_connection(self, token: str) -> dict[str, Any]:
        if token != self.app_token:
            raise Refused("not_allowed_token_type" if token == self.bot_token else "invalid_auth")
        return {"url": f"{self.root.replace('http', 'ws')}/socket?ticket={next(self._counter)}"}

    def _refused(self, method: str, exc: Refused) -> web.Response:
        body: dict[str, Any] = {"ok": False, "error": exc.error}
        if exc.error == "missing_scope":
            body |= {"needed": exc.why, "provided": ",".join(self.space.scopes)}
        if isinstance(exc, Invites):
            body["errors"] = exc.errors
        self.calls.append(Called(method, {}, body, time.monotonic()))
        if exc.error not in ("name_taken", "already_archived", "already_pinned") and not isinstance(
            exc, (Invites, Planned)
        ):
            self.complaints.append(f"{method}: {exc}")
        return web.json_response(body, headers={"X-OAuth-Scopes": ",".join(self.space.scopes)})

    def _limited(self, wait_s: float) -> web.Response:
        headers = {"Retry-After": f"{wait_s:g}"}
        return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)

    async def _upload(self, request: web.Request) -> web.Response:
        file = self.space.files[request.match_info["file"]]
        body = await request.read()
        if self.down:
            return web.Response(status=503)
        if len(body) != file["length"]:
            self.complaints.append(f"upload of {len(body)} bytes, {file['length']} announced")
            return web.Response(status=400, text="length")
        file["content"] = body
        return web.Response(text=f"OK - {len(body)}")

    async def _respond(self, request: web.Request) -> web.Response:
        key, channel = request.match_info["id"], request.match_info["channel"]
        self._response_uses[key] += 1
        if self._response_uses[key] > 5:
            self.complaints.append("a response_url used more than five times")
            return web.Response(status=404, text="used_url")
        body = await request.json()
        self.responses.append((channel, body))
        return web.Response(text="ok")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(autoping=False)
        await ws.prepare(request)
        socket = Socket(ws)
        if len(self.sockets) >= 10:
            self.complaints.append("more than 10 sockets")
        self.sockets.append(socket)
        self.connections += 1
        hello = {"type": "hello", "num_connections": len(self.sockets), "connection_info": {"app_id": "A0APP"}}
        await ws.send_str(json.dumps(hello))
        try:
            await self._read(socket)
        finally:
            if socket in self.sockets:
                self.sockets.remove(socket)
        return ws

    async def _read(self, socket: Socket) -> None:
        async for frame in socket.ws:
            if socket.silent:
                await self._released.wait()
            elif frame.type is aiohttp.WSMsgType.PING:
                await socket.ws.pong(frame.data)
            elif frame.type is aiohttp.WSMsgType.TEXT:
                ack = json.loads(frame.data)
                envelope = self._envelopes.get(ack.get("envelope_id", ""))
                if envelope is None:
                    self.complaints.append(f"an acknowledgement of nothing: {frame.data}")
                    continue
                self.acks[envelope.id] += 1
                if not envelope.acked.done():
                    envelope.acked.set_result(ack.get("payload"))


class Planned(Refused):
    """An error the test asked for."""


def encoded(payload: dict[str, Any]) -> tuple[bytes, str]:
    """Body and content type as Slack posts it."""
    if "command" in payload:
        return urlencode(payload).encode(), "application/x-www-form-urlencoded"
    if payload.get("type") in ("event_callback", "url_verification"):
        return json.dumps(payload).encode(), "application/json"
    return urlencode({"payload": json.dumps(payload)}).encode(), "application/x-www-form-urlencoded"


def _filled(block: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    value, element = values.get(block["block_id"]), block["element"]
    if element["type"] == "static_select":
        option = next((o for o in element["options"] if o["value"] == value), element.get("initial_option"))
        return {"type": "static_select", "selected_option": option}
    return {"type": element["type"], "value": value}


async def _arguments(request: web.Request) -> dict[str, Any]:
    args: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        body = await request.json()
        if not isinstance(body, dict):
            raise Refused("json_not_object")
        return args | body
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = dict(await request.post())
        for key in ("blocks", "attachments"):
            if isinstance(form.get(key), str):
                form[key] = json.loads(str(form[key]))
        return args | form
    if request.can_read_body and await request.read():
        raise Refused("invalid_post_type", request.content_type)
    return args


def _json_or(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@contextlib.asynccontextmanager
async def slack_server(**how: Any) -> AsyncIterator[SlackServer]:
    """A workspace with one channel, "C0OPS" (#ops), and three people."""
    async with SlackServer(**how) as slack:
        slack.add_user("U0LIN", "lin", email="lin@example.com", locale="zh-CN", phone="+86 138 0000 0000")
        slack.add_user("U0WANG", "wang", email="wang@example.com")
        slack.add_user("U0CHEN", "chen")
        slack.add_channel("C0OPS", "ops", "U0LIN", "U0WANG")
        yield slack


__all__ = ["BOT", "BOT_ID", "Answer", "Channel", "SlackServer", "slack_server"]
