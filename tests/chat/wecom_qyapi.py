"""qyapi as WeCom serves it: one token, members, the application's messages and groups, files, webhook robots."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.chat.wecom_limits import CHAT, GROUP, HOOK, MEMBER, NEW_GROUPS, Refused, card_of, card_text, text_of
from tests.chat.wecom_world import Shown, World, card_shown

DUPLICATE_S = 1800.0
CODE_S = 72 * 3600.0


class Qyapi:
    """Faults: `down` (503), `hang`, `reset` (carried out, no answer), `fail` (path: error numbers to come, 0 for none),
    `revoke()`, `allowed_ip`, `root_visible`. `calls` counts by path."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.corp_id, self.agent_id, self.secret = "wwcorp", 1000002, "canary-wecom-app"
        self.hooks: dict[str, str] = {}
        """Key to name."""
        self.calls: Counter[str] = Counter()
        self.down = False
        self.hang: set[str] = set()
        self.reset: set[str] = set()
        self.fail: dict[str, list[int]] = {}
        self.root_visible = True
        self.allowed_ip = True
        self.token_s = 7200.0
        self.response_codes: dict[str, tuple[str, str, float]] = {}
        """Code to (room, task, until); taken out when it was used."""
        self._tokens: dict[str, float] = {}
        self._recent: dict[tuple[str, str], float] = {}
        self.released = asyncio.Event()

    def revoke(self) -> None:
        """Every token is worthless from now on, long before its time."""
        self._tokens.clear()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.calls[path] += 1
        if self.down:
            return web.Response(status=503)
        if path in self.hang or "*" in self.hang:
            await self.released.wait()
        try:
            row = await self._answer(path, request)
        except Refused as exc:
            if exc.code not in (40014, 42001, 45009, 60020):
                self.world.complaints.append(f"{path}: {exc}")
            row = {"errcode": exc.code, "errmsg": exc.words}
        if path in self.reset:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"errcode": 0, "errmsg": "ok"} | row)

    async def _answer(self, path: str, request: web.Request) -> dict[str, Any]:
        code = self.fail[path].pop(0) if self.fail.get(path) else 0
        if code:
            return {"errcode": code, "errmsg": "made to fail, from ip: 203.0.113.7"}
        if path == "gettoken":
            return self._token(request)
        if path.startswith("webhook/"):
            return await self._webhook(path, request)
        if request.query.get("access_token") not in self._tokens:
            raise Refused(40014, "invalid access_token")
        if self.world.now() > self._tokens[request.query["access_token"]]:
            raise Refused(42001, "access_token expired")
        if not self.allowed_ip:
            raise Refused(60020, "not allow to access from your ip, hint: [1], from ip: 203.0.113.7")
        acts: dict[str, Callable[[web.Request], Awaitable[dict[str, Any]]]] = {
            "message/send": self._send,
            "message/update_template_card": self._update,
            "appchat/create": self._create,
            "appchat/send": self._send_group,
            "media/upload": self._upload,
            "user/get": self._user,
            "tag/list": self._tags,
            "tag/get": self._tag,
            "agent/get": self._agent,
        }
        if path not in acts:
            raise Refused(40066, "invalid url")
        return await acts[path](request)

    def _token(self, request: web.Request) -> dict[str, Any]:
        if request.query.get("corpid") != self.corp_id:
            raise Refused(40013, "invalid corpid")
        if request.query.get("corpsecret") != self.secret:
            raise Refused(40001, "invalid credential")
        token = self.world.ident("canary-token-")
        self._tokens[token] = self.world.now() + self.token_s
        return {"access_token": token, "expires_in": int(self.token_s)}

    async def _send(self, request: web.Request) -> dict[str, Any]:
        body = await _json(request)
        if body.get("agentid") != self.agent_id:
            raise Refused(301002, "agentid does not belong to the token")
        user = body.get("touser", "")
        if user not in self.world.users:
            raise Refused(81013, "user & party & tag all invalid")
        shown = self._message(body)
        repeated = self._repeated(user, body)
        if repeated:
            return {"msgid": self.world.ident("m")}
        if not self.world.rates.fits(f"app:{user}", self.world.now(), *MEMBER):
            return {"msgid": self.world.ident("m")}
        self.world.show(f"app/{user}", shown)
        if shown.kind != "card":
            return {"msgid": self.world.ident("m")}
        shown.response_code = self.code(f"app/{user}", shown.task)
        return {"msgid": self.world.ident("m"), "response_code": shown.response_code}

    def code(self, room: str, task: str) -> str:
        """A code that changes a card once, within 72 hours."""
        code = self.world.ident("code-")
        self.response_codes[code] = (room, task, self.world.now() + CODE_S)
        return code

    def _repeated(self, user: str, body: dict[str, Any]) -> bool:
        """The same to the same, where the sender asked for the check: dropped without a word."""
        if not body.get("enable_duplicate_check"):
            return False
        content = json.dumps({k: v for k, v in body.items() if k == body["msgtype"]}, sort_keys=True)
        last = self._recent.get((user, content))
        self._recent[user, content] = self.world.now()
        return last is not None and self.world.now() - last < body.get("duplicate_check_interval", DUPLICATE_S)

    def _message(self, body: dict[str, Any], *, cards: bool = True) -> Shown:
        kind = body.get("msgtype")
        if kind in ("text", "markdown"):
            return Shown(text=text_of(body, kind, 2048), kind=kind)
        if kind == "file":
            name, content = self._media(body["file"].get("media_id"))
            return Shown(text=f"📎 {name}", kind="file", file=(name, content))
        if kind == "template_card" and cards:
            card = card_of(body.get("template_card"), self.world.tasks, self.world.complaints)
            return card_shown(card, card_text(card))
        raise Refused(40008, f"invalid message type {kind}")

    async def _update(self, request: web.Request) -> dict[str, Any]:
        body = await _json(request)
        room, task, until = self.response_codes.pop(body.get("response_code", ""), ("", "", 0.0))
        if not room or self.world.now() > until:
            raise Refused(42060, "response_code is used up or expired")
        if body.get("userids") != [room.partition("/")[2]] or body.get("agentid") != self.agent_id:
            raise Refused(40058, "userids or agentid")
        card = card_of(body.get("template_card"), None, self.world.complaints)
        for shown in self.world.rooms[room]:
            if shown.task == task:
                new = card_shown(card, card_text(card))
                shown.text, shown.buttons = new.text, new.buttons
        return {}

    async def _create(self, request: web.Request) -> dict[str, Any]:
        body = await _json(request)
        if not self.root_visible:
            raise Refused(60011, "no privilege to access/modify contact/party/agent")
        name, members, chat = body.get("name", ""), body.get("userlist") or [], body.get("chatid", "")
        if not 1 <= len(name) <= 50:
            raise Refused(40058, "name")
        if not 2 <= len(members) <= 2000 or len(set(members)) < len(members):
            raise Refused(86001, "a group has 2 to 2000 members")
        if any(m not in self.world.users for m in members) or body.get("owner", members[0]) not in members:
            raise Refused(86003, "member is not in the directory")
        if not CHAT.match(chat) or chat in self.world.groups:
            raise Refused(86215, "chatid invalid or taken")
        if not self.world.rates.fits("new groups", self.world.now(), *NEW_GROUPS):
            raise Refused(45009, "too many groups today")
        self.world.groups[chat] = {"name": name, "userlist": members, "visible": False}
        return {"chatid": chat}

    async def _send_group(self, request: web.Request) -> dict[str, Any]:
        body = await _json(request)
        group = self.world.groups.get(body.get("chatid", ""))
        if group is None:
            raise Refused(86215, "invalid chatid")
        shown = self._message(body, cards=False)
        # What is too much for one member of several groups does not reach that member: here nobody, and it is counted.
        if all(self.world.rates.fits(f"groups of {m}", self.world.now(), *GROUP) for m in group["userlist"]):
            group["visible"] = True
            self.world.show(f"chat/{body['chatid']}", shown)
        return {}

    async def _upload(self, request: web.Request) -> dict[str, Any]:
        return {"type": request.query.get("type"), "media_id": await self._store(request), "created_at": "1380000000"}

    async def _store(self, request: web.Request) -> str:
        if request.query.get("type") != "file":
            raise Refused(40004, "invalid media type")
        form = await request.post()
        field = form.get("media")
        if not isinstance(field, web.FileField):
            raise Refused(41005, "media data missing")
        content = field.file.read()
        if not 5 < len(content) <= 20 * 1024 * 1024:
            raise Refused(40006, f"invalid media size {len(content)}")
        media = self.world.ident("media-")
        self.world.media[media] = (field.filename, content, self.world.now())
        return media

    def _media(self, ident: object) -> tuple[str, bytes]:
        name, content, at = self.world.media.get(str(ident), ("", b"", 0.0))
        if not name or self.world.now() - at > 3 * 86_400:
            raise Refused(40007, "invalid media_id")
        return name, content

    async def _user(self, request: web.Request) -> dict[str, Any]:
        user = self.world.users.get(request.query.get("userid", ""))
        if user is None:
            return {"errcode": 60111, "errmsg": "userid not found"}
        return user

    async def _tags(self, _request: web.Request) -> dict[str, Any]:
        return {"taglist": [{"tagid": ident, "tagname": name} for ident, (name, _) in self.world.tags.items()]}

    async def _tag(self, request: web.Request) -> dict[str, Any]:
        name, members = self.world.tags[int(request.query["tagid"])]
        return {"tagname": name, "userlist": [{"userid": m} for m in members]}

    async def _agent(self, request: web.Request) -> dict[str, Any]:
        if request.query.get("agentid") != str(self.agent_id):
            return {"errcode": 301002, "errmsg": "not allow operate another agent"}
        parties = [1] if self.root_visible else [2]
        return {"agentid": self.agent_id, "name": "Warroom", "allow_partys": {"partyid": parties}}

    async def _webhook(self, path: str, request: web.Request) -> dict[str, Any]:
        name = self.hooks.get(request.query.get("key", ""))
        if name is None:
            raise Refused(93000, "invalid webhook url")
        if path == "webhook/upload_media":
            return {"type": "file", "media_id": await self._store(request)}
        body = await _json(request)
        if body.get("msgtype") == "file":
            title, content = self._media(body["file"].get("media_id"))
            shown = Shown(text=f"📎 {title}", kind="file", file=(title, content))
        else:
            most = {"text": 2048, "markdown": 4096}.get(body.get("msgtype", ""))
            if most is None:
                raise Refused(40008, "invalid message type")
            shown = Shown(text=text_of(body, body["msgtype"], most))
        if not self.world.rates.fits(f"hook:{name}", self.world.now(), *HOOK):
            raise Refused(45009, "api freq out of limit")
        self.world.show(f"hook/{name}", shown)
        return {}


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        row = await request.json()
    except ValueError:
        raise Refused(47001, "data format error") from None
    if not isinstance(row, dict):
        raise Refused(47001, "data format error")
    return row
