"""One request to a provider, and what its failure means for the call: refused, throttled, or perhaps placed."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from bot.app.ports import Given
from bot.domain.errors import SendFailed, UserError
from bot.domain.page import Page
from bot.domain.text import Text
from bot.domain.webhooks import BadSignature

MAX_BODY = 64 * 1024
"""Bytes read of an answer or a callback."""
MAX_RETRY_AFTER_S = 300.0
"""A provider that asks for a longer pause is asked again after this: somebody is waiting to be woken."""
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back. `body` is "" where it broke off or was longer than `MAX_BODY`."""

    status: int
    retry_after: str = ""
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether it is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; {} when it is none."""
        try:
            row = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return row if isinstance(row, dict) else {}


class Http:
    """The connections to one provider; every request has an answer within `timeout_s` or is given up.

    No error names the address: it may hold a key.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(timeout=timeout_s, limits=httpx.Limits(max_connections=200))

    async def ask(self, method: str, url: str, **request: Any) -> Answer:
        """Send and read the answer, whatever its status. Raises SendFailed; uncertain once it may have arrived."""
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self._client.stream(method, url, **request) as answer:
                    retry_after = answer.headers.get("retry-after", "")
                    return Answer(status=answer.status_code, retry_after=retry_after, body=await _body(answer))
        except TimeoutError as exc:
            raise SendFailed(f"no answer within {self._timeout_s:g} s", uncertain=True) from exc
        except _NOT_SENT as exc:
            raise SendFailed(f"cannot be reached: {type(exc).__name__}") from exc
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as exc:
            raise SendFailed(f"the address cannot be used: {type(exc).__name__}", permanent=True) from exc
        except httpx.HTTPError as exc:
            raise SendFailed(f"connection lost before the answer: {type(exc).__name__}", uncertain=True) from exc

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def _body(answer: httpx.Response) -> bytes:
    # The status is the answer; one that cannot be read to its end only costs us the provider's own name for the call.
    body = b""
    try:
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > MAX_BODY:
                return b""
    except httpx.HTTPError:
        return b""
    return body


def refusal(answer: Answer, why: str = "") -> SendFailed:
    """What a status other than 2xx means; `why` is the provider's own word for it, of which no secret is part."""
    permanent = 400 <= answer.status < 500 and answer.status not in _WORTH_ANOTHER_TRY
    given = answer.retry_after
    # A provider that answered 5xx may have placed the call first; the same key is sent again either way.
    wait = min(float(given), MAX_RETRY_AFTER_S) if given.isascii() and given.isdigit() else None
    reason = f"HTTP {answer.status}" + (f": {why}" if why else "")
    return SendFailed(reason, permanent=permanent, uncertain=answer.status >= 500, retry_after_s=wait)


def number(page: Page) -> str:
    """The person's number, E.164. Raises SendFailed for somebody without one."""
    phone = page.person.phone.replace(" ", "").replace("-", "")
    if not phone.startswith("+") or not phone[1:].isdigit() or not 7 <= len(phone) <= 16:
        raise SendFailed(f"{page.person.name} has no phone number such as +8613800000000 ([[people]])", permanent=True)
    return phone


def callback_to(page: Page, name: str) -> str:
    """Where the provider `name` reports; the page names the folder of all providers."""
    return f"{page.callback_url}{name}" if page.callback_url.endswith("/") else page.callback_url


def by_path(given: Given, secret: str) -> None:
    """Raise BadSignature unless the address ends in the secret; a provider without one is never believed."""
    if not secret or not hmac.compare_digest(given.secret.encode(), secret.encode()):
        raise BadSignature("the secret in the address is not this provider's")


def document(body: bytes) -> Any:
    """The JSON of a callback. Raises UserError."""
    if len(body) > MAX_BODY:
        raise unreadable(Text(f"超过 {MAX_BODY} 字节", f"longer than {MAX_BODY} bytes"))
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise unreadable(Text("不是 JSON", "not JSON")) from exc


def table(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a callback. Raises UserError."""
    row = document(body)
    if not isinstance(row, dict):
        raise unreadable(Text("不是 JSON 对象", "not a JSON object"))
    return row


def keys_of(word: object) -> str:
    """The telephone keys in a word, "" for none; the # that ends an entry is not one."""
    pressed = "".join(c for c in str(word or "") if c in "0123456789*#")[:32]
    return pressed.rstrip("#") or pressed


def unreadable(why: Text) -> UserError:
    """The error for a callback that cannot be read."""
    return UserError("bad_callback", Text("电话回调无法读取：", "this phone callback cannot be read: ") + why)


def without(text: str, secrets: Sequence[str]) -> str:
    """A provider's message, short and without our secrets."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "[redacted]")
    return " ".join(text.split())[:160]
