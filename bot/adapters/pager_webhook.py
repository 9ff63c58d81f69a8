"""The phone webhook: whoever can answer an HTTP request can be a phone provider (DESIGN, "The phone webhook")."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from bot.domain.errors import SendFailed, UserError
from bot.domain.page import Callback, CallLimit, CallStatus, Page
from bot.domain.text import Text
from bot.domain.webhooks import headers, verify

TIMEOUT_S = 5.0
MAX_BODY = 64 * 1024
"""Bytes read of an answer or a callback."""
MAX_RETRY_AFTER_S = 300.0
"""A provider that asks for a longer pause is asked again after this: somebody is waiting to be woken."""
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class WebhookPager:
    """Implements `Pager`. `secret` is "whsec_" + base64; `now` gives epoch seconds."""

    def __init__(
        self,
        name: str,
        url: str,
        secret: str,
        *,
        timeout_s: float = TIMEOUT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._url = url
        self._secret = secret
        self._timeout_s = timeout_s
        self._now = now
        self._client = httpx.AsyncClient(timeout=timeout_s, limits=httpx.Limits(max_connections=200))

    @property
    def name(self) -> str:
        """Its name in `[[pagers]]`."""
        return self._name

    @property
    def limits(self) -> Sequence[CallLimit]:
        """None that we know of."""
        return ()

    async def call(self, page: Page) -> str:
        """POST the page; returns the provider's reference ("ref" or "id" of its JSON answer), else the key.

        Raises SendFailed: permanent for 4xx but 408, 425 and 429; uncertain when the request may have arrived.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(page)
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

    async def _post(self, page: Page) -> str:
        # The page names the hook's folder; which provider takes it is known only here.
        own = f"{page.callback_url}{self._name}" if page.callback_url.endswith("/") else page.callback_url
        body = json.dumps({**document(page), "callback_url": own}, ensure_ascii=False).encode("utf-8", "replace")
        key = header_key(page.key)
        signed = headers(self._secret, id=key, timestamp=int(self._now()), body=body)
        sent = {**signed, "idempotency-key": key, "content-type": "application/json"}
        async with self._client.stream("POST", self._url, content=body, headers=sent) as answer:
            if not answer.is_success:
                raise refusal(answer.status_code, answer.headers.get("retry-after", ""))
            return await _reference(answer) or page.key


def document(page: Page) -> dict[str, Any]:
    """The JSON body of a page."""
    return {
        "key": page.key,
        "incident": page.incident,
        "severity": page.severity,
        "title": page.title,
        "text": page.text,
        "language": page.person.lang,
        "person": {"name": page.person.name, "phone": page.person.phone},
        "step": page.step,
        "attempt": page.attempt,
        "callback_url": page.callback_url,
        "ack_url": page.ack_url,
    }


def header_key(key: str) -> str:
    """The key as a header can carry it: ASCII as it stands, anything else percent-encoded (RFC 3986)."""
    return key if key.isascii() and key.isprintable() else quote(key, safe=":/ ")


def refusal(status: int, retry_after: str) -> SendFailed:
    """What an answer other than 2xx means."""
    permanent = 400 <= status < 500 and status not in _WORTH_ANOTHER_TRY
    # A provider that answered 5xx may have placed the call first; the same key is sent again either way.
    wait = min(float(retry_after), MAX_RETRY_AFTER_S) if retry_after.isascii() and retry_after.isdigit() else None
    return SendFailed(f"HTTP {status}", permanent=permanent, uncertain=status >= 500, retry_after_s=wait)


def parse_callback(
    given: Mapping[str, str], body: bytes, secrets: Sequence[str], *, now: float | None = None
) -> Callback:
    """A signed callback to `/hooks/phone/NAME`. Raises BadSignature, or UserError for a body that is none."""
    verify(given, body, secrets, now=time.time() if now is None else now)
    return read_callback(body)


def read_callback(body: bytes) -> Callback:
    """The body of a callback whose sender is already known (`/hooks/phone/NAME/SECRET`). Raises UserError.

    `{"key", "status", "digits"}`; fields beyond these are ignored.
    """
    if len(body) > MAX_BODY:
        raise _bad(Text(f"超过 {MAX_BODY} 字节", f"longer than {MAX_BODY} bytes"))
    try:
        row = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise _bad(Text("不是 JSON", "not JSON")) from exc
    if not isinstance(row, dict):
        raise _bad(Text("不是 JSON 对象", "not a JSON object"))
    key, status, digits = row.get("key"), row.get("status"), row.get("digits")
    if not isinstance(key, str) or not 0 < len(key) <= 300:
        raise _bad(Text("key 须为 1 到 300 个字符", "key must be text of 1 to 300 characters"))
    if not isinstance(status, str) or status not in set(CallStatus):
        known = "|".join(CallStatus)
        raise _bad(Text(f"status 须为 {known}", f"status must be {known}"))
    digits = "" if digits is None else digits
    if not isinstance(digits, str) or len(digits) > 32 or set(digits) - set("0123456789*#"):
        raise _bad(Text("digits 须为电话按键", "digits must be telephone keys"))
    return Callback(key=key, status=CallStatus(status), digits=digits)


def _bad(why: Text) -> UserError:
    return UserError("bad_callback", Text("电话回调无法读取：", "this phone callback cannot be read: ") + why)


async def _reference(answer: httpx.Response) -> str:
    # The call is accepted by its status; an answer that cannot be read only costs us the provider's own name for it.
    body = b""
    try:
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > MAX_BODY:
                return ""
        row = json.loads(body)
    except (httpx.HTTPError, ValueError, RecursionError):
        return ""
    found = (row.get("ref") or row.get("id") or "") if isinstance(row, dict) else ""
    return str(found)[:200]
