"""A phone provider: checks signatures, honours keys or not, keeps every POST, and presses keys when told to."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks import Webhook, WebhookVerificationError

from tests.faults.http1 import answer, hear
from tests.ports import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Provider:
    """`posts` are (key, monotonic s) in the order of their arrival; `effects` counts phones that rang for each key."""

    honours_keys: bool = True
    name: str = "phone"
    posts: list[tuple[str, float]] = field(default_factory=list)
    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    effects: Counter[str] = field(default_factory=Counter)
    forged: int = 0
    port: int = field(default_factory=free_port)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            writer.write(self._take(await hear(reader)))
            await writer.drain()
        writer.close()

    def _take(self, request: Any) -> bytes:
        at, key = time.monotonic(), request.headers.get("idempotency-key", "")
        try:
            Webhook(SECRET).verify(request.body, request.headers)
        except WebhookVerificationError:
            self.forged += 1
            return answer(401)
        page = json.loads(request.body)
        if page["key"] != key:
            self.forged += 1
            return answer(400)
        self.posts.append((key, at))
        self.pages[key] = page
        if not self.honours_keys or not self.effects[key]:
            self.effects[key] += 1
        return answer(202, json.dumps({"ref": f"CA-{key}"}).encode())

    def latest(self, incident: str) -> dict[str, Any] | None:
        """The last page about the incident that arrived here."""
        return next((p for p in reversed(self.pages.values()) if p["incident"] == incident), None)

    async def press(self, client: httpx.AsyncClient, page: dict[str, Any]) -> str:
        """Key 1 on the phone, by a signed callback: "recorded", "kept" in the spool, or "" where it was not taken."""
        body = json.dumps({"key": page["key"], "status": "answered", "digits": "1"})
        stamp, ident = int(time.time()), f"cb-{time.monotonic_ns()}"
        signed = Webhook(SECRET).sign(ident, datetime.fromtimestamp(stamp, UTC), body)
        headers = {"webhook-id": ident, "webhook-timestamp": str(stamp), "webhook-signature": signed}
        url = page["callback_url"]
        url = f"{url}{self.name}" if url.endswith("/") else url
        answer = await client.post(url, content=body, headers=headers)
        return ("kept" if answer.json().get("kept") else "recorded") if answer.is_success else ""

    async def follow(self, client: httpx.AsyncClient, page: dict[str, Any]) -> str:
        """The one-time link: looked at (as a previewer would), then its button."""
        await client.get(page["ack_url"])
        answer = await client.post(page["ack_url"])
        return ("kept" if answer.status_code == 202 else "recorded") if answer.is_success else ""
