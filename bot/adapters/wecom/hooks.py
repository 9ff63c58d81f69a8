"""Webhook robots of groups: they can only talk, 20 messages a minute; a mirror for vendors and managers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping

from bot.adapters.wecom.again import Again
from bot.adapters.wecom.answers import Ref
from bot.adapters.wecom.api import Http, code_of
from bot.adapters.wecom.budget import HOOK, Budget
from bot.adapters.wecom.render import Style
from bot.adapters.wecom.said import Said, prepare
from bot.adapters.wecom.steps import Step, Steps
from bot.adapters.wecom.trouble import refused
from bot.domain.errors import SendFailed
from bot.domain.incident import Room
from bot.domain.message import Message

MOST_BYTES = 4000
"""Markdown may have 4,096."""
MOST_PARTS = 3


class Hooks:
    """Rooms "wecom:hook/NAME"."""

    def __init__(self, http: Http, keys: Mapping[str, str], now: Callable[[], float] = time.monotonic) -> None:
        self._http, self._keys = http, keys
        self._budget = Budget(HOOK, now)
        self._again = Again(now)
        self._steps = Steps()

    async def put(self, message: Message, room: Room, ref: str | None) -> str:
        """Say it; a change is said anew. Raises SendFailed."""
        said = prepare(message, Style(lang=room.lang), cards=False)
        if ref is None:
            self._again.withdraw(said.room, said.key)
            new = await self._post(said)
            self._again.told(said)
            return new
        known = Ref.read(ref)
        if said.moving or known.digest == said.digest:
            return ref
        return await self._again.tell(said, self._post) or str(Ref(kind="m", ident="", digest=said.digest))

    async def run(self) -> None:
        """Say what has waited, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            await self._again.flush()

    async def _post(self, said: Said) -> str:
        name = said.room.partition("/")[2]
        key = self._keys.get(name)
        if key is None:
            raise SendFailed(f'there is no webhook robot "{name}" ([[webhooks]])', permanent=True)

        def text(part: str) -> Step:
            return lambda: self._send(name, key, {"msgtype": "markdown", "markdown": {"content": part}})

        def file(title: str, content: bytes) -> Step:
            return lambda: self._file(name, key, title, content)

        parts, files = said.parts(MOST_BYTES, MOST_PARTS)
        steps = [*(text(p) for p in parts), *(file(*f) for f in files)]
        await self._steps.run(f"{said.room} {said.key} {said.digest}", steps)
        return str(Ref(kind="m", ident="", digest=said.digest, files=said.files_digest))

    async def _send(self, name: str, key: str, body: Mapping[str, object]) -> str:
        self._budget.take(name, f"the webhook robot {name}")
        self._check(await self._http.ask("POST", "webhook/send", params={"key": key}, json=body), key)
        return ""

    async def _file(self, name: str, key: str, title: str, content: bytes) -> str:
        files = {"media": (title, content, "application/octet-stream")}
        row = await self._http.ask("POST", "webhook/upload_media", params={"key": key, "type": "file"}, files=files)
        self._check(row, key)
        return await self._send(name, key, {"msgtype": "file", "file": {"media_id": row.get("media_id")}})

    def _check(self, row: Mapping[str, object], key: str) -> None:
        if code_of(row) != 0:
            raise refused("webhook", code_of(row), str(row.get("errmsg", json.dumps(dict(row)))), secrets=(key,))
