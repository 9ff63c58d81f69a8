"""A phone company of one: takes signed pages, rings, and reports the keys that were pressed."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks import Webhook, WebhookVerificationError

from bot.lab.loopback.http1 import Request, Response

RING_S = 60.0
KEPT_CALLS = 200
CALLBACK_TRIES = 3
log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Call:
    """One call. `state` is "ringing", then "answered" and "completed", or "no_answer"."""

    key: str
    title: str
    text: str
    person: str
    number: str
    callback_url: str
    since: datetime
    state: str = "ringing"
    digits: str = ""

    def to_json(self) -> dict[str, str]:
        """A row of `GET /state`."""
        return {
            "key": self.key,
            "title": self.title,
            "text": self.text,
            "person": self.person,
            "number": self.number,
            "state": self.state,
            "digits": self.digits,
            "since": self.since.isoformat(),
        }


class NotRinging(Exception):
    """No call with this key is ringing."""


class Phone:
    """The webhook of DESIGN "The phone webhook": one ring per Idempotency-Key, however often it is posted."""

    def __init__(self, secret: str, *, ring_s: float = RING_S) -> None:
        self._webhook = Webhook(secret)
        self._ring_s = ring_s
        self._calls: dict[str, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client = httpx.AsyncClient(trust_env=False, timeout=5)

    async def __call__(self, request: Request) -> Response:
        if request.method != "POST":
            return _json(405, {"error": "POST a page here"})
        try:
            self._webhook.verify(request.body, dict(request.headers))
            page = json.loads(request.body)
            key = request.headers.get("idempotency-key") or str(page["key"])
            if key not in self._calls:
                self._ring(key, page)
        except WebhookVerificationError as exc:
            return _json(401, {"error": f"signature: {exc}"})
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            return _json(400, {"error": f"not a page: {type(exc).__name__} {exc}"})
        return _json(202, {"key": key, "status": "ringing"})

    def calls(self) -> list[Call]:
        """Every call, newest first."""
        return list(reversed(self._calls.values()))

    def press(self, key: str, digits: str) -> None:
        """Pick up and press keys. Raises NotRinging."""
        call = self._calls.get(key)
        if call is None or call.state != "ringing":
            raise NotRinging(key)
        call.state, call.digits = "answered", digits
        self._spawn(self._answered(call))

    async def close(self) -> None:
        """Hang up everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def _ring(self, key: str, page: Mapping[str, Any]) -> None:
        person = page["person"]
        call = Call(
            key=key,
            title=str(page["title"]),
            text=str(page["text"]),
            person=str(person["name"]),
            number=str(person.get("phone") or ""),
            callback_url=str(page.get("callback_url") or ""),
            since=datetime.now(UTC),
        )
        if len(self._calls) >= KEPT_CALLS:
            del self._calls[next(iter(self._calls))]
        self._calls[key] = call
        self._spawn(self._ring_out(call))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ring_out(self, call: Call) -> None:
        await asyncio.sleep(self._ring_s)
        if call.state == "ringing":
            call.state = "no_answer"
            await self._report(call, "no_answer")

    async def _answered(self, call: Call) -> None:
        await self._report(call, "answered")
        call.state = "completed"
        await self._report(call, "completed")

    async def _report(self, call: Call, status: str) -> None:
        if not call.callback_url:
            return
        body = json.dumps({"key": call.key, "status": status, "digits": call.digits})
        message_id, now = f"msg_{uuid.uuid4().hex}", datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(message_id, now, body),
        }
        for attempt in range(CALLBACK_TRIES):
            try:
                answer = await self._client.post(call.callback_url, content=body, headers=headers)
                if answer.status_code < 500:
                    return
            except httpx.HTTPError as exc:
                log.warning("callback of %s failed: %s", call.key, exc)
            await asyncio.sleep(1 + attempt)


def _json(status: int, content: Mapping[str, Any]) -> Response:
    return Response(status=status, headers={"Content-Type": "application/json"}, body=json.dumps(content).encode())
