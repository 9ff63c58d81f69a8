"""The phone webhook: whoever can answer an HTTP request can be a phone provider (DESIGN, "The phone webhook")."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from bot.adapters.pagers.http import Http, by_path, callback_to, refusal, table, unreadable
from bot.app.ports import Given, Heard
from bot.domain.page import Callback, CallLimit, CallStatus, Page
from bot.domain.pager_kinds import TIMEOUT_S, PagerConfig
from bot.domain.spoken import spoken
from bot.domain.text import Text
from bot.domain.webhooks import headers, verify

KEPT = '{"result": 0, "errmsg": "not recorded yet: kept until the database is back", "kept": true}'


class WebhookPager:
    """Implements `Pager` and `Listens`. The secret is "whsec_" + base64; `now` gives epoch seconds.

    `keys`: whether what is pressed can come back; if not, the text says to acknowledge in the chat. Callbacks signed
    with `old_secret` are believed as well, while the other side changes over.
    """

    def __init__(
        self,
        name: str,
        url: str,
        secret: str,
        *,
        old_secret: str = "",
        timeout_s: float = TIMEOUT_S,
        keys: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.limits: Sequence[CallLimit] = ()
        self._url = url
        self._secret = secret
        self._old = old_secret
        self._keys = keys
        self._now = now
        self._http = Http(timeout_s)

    @classmethod
    def make(cls, config: PagerConfig, *, keys: bool) -> WebhookPager:
        """From the configuration."""
        old = config.secrets.get("OLD_SECRET", "")
        return cls(config.name, config.url, config.secret, old_secret=old, timeout_s=config.timeout_s, keys=keys)

    async def call(self, page: Page) -> str:
        """POST the page; returns the provider's reference ("ref" or "id" of its JSON answer), else the key.

        Raises SendFailed: permanent for 4xx but 408, 425 and 429; uncertain when the request may have arrived.
        """
        row = {**document(page), "callback_url": callback_to(page, self.name)}
        if not self._keys:
            row["text"] = spoken(page, keys=False)
        body = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")
        key = header_key(page.key)
        signed = headers(self._secret, id=key, timestamp=int(self._now()), body=body)
        sent = {**signed, "idempotency-key": key, "content-type": "application/json"}
        answer = await self._http.ask("POST", self._url, content=body, headers=sent)
        if not answer.ok:
            raise refusal(answer)
        told = answer.json()
        return str(told.get("ref") or told.get("id") or page.key)[:200]

    def read(self, given: Given) -> Heard:
        """A callback, signed by Standard Webhooks or known by the secret in its address."""
        if given.secret:
            by_path(given, self._secret)
        else:
            secrets = [s for s in (self._secret, self._old) if s]
            verify(given.headers, given.body, secrets, now=self._now())
        return Heard(said=(read_callback(given.body),), kept=KEPT)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


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
        "meeting_url": page.meeting_url,
    }


def header_key(key: str) -> str:
    """The key as a header can carry it: ASCII as it stands, anything else percent-encoded (RFC 3986)."""
    return key if key.isascii() and key.isprintable() else quote(key, safe=":/ ")


def read_callback(body: bytes) -> Callback:
    """The body of a callback whose sender is known. Raises UserError.

    `{"key", "status", "digits"}`; fields beyond these are ignored.
    """
    row: Mapping[str, Any] = table(body)
    key, status, digits = row.get("key"), row.get("status"), row.get("digits")
    if not isinstance(key, str) or not 0 < len(key) <= 300:
        raise unreadable(Text("key 须为 1 到 300 个字符", "key must be text of 1 to 300 characters"))
    if not isinstance(status, str) or status not in set(CallStatus):
        known = "|".join(CallStatus)
        raise unreadable(Text(f"status 须为 {known}", f"status must be {known}"))
    digits = "" if digits is None else digits
    if not isinstance(digits, str) or len(digits) > 32 or set(digits) - set("0123456789*#"):
        raise unreadable(Text("digits 须为电话按键", "digits must be telephone keys"))
    return Callback(key=key, status=CallStatus(status), digits=digits)
