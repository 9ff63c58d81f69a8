"""qyapi over HTTP: tokens, calls, uploads.

Not by wechatpy's client: that one is synchronous, fetches a token for each caller at once and without a timeout,
and repeats a call whose token has expired without end, an uploaded file as an empty one. Its parser and crypto are
used where they are good (`envelope`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from bot.adapters.wecom.trouble import TOKEN_TROUBLE, Refused, refused
from bot.domain.errors import SendFailed
from bot.domain.platforms import WeComApp

TIMEOUT_S = 5.0
EARLY_S = 120.0
"""A token is renewed so long before it ends."""
MAX_ANSWER = 4 * 1024 * 1024
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    until: float


class Http:
    """Requests to qyapi; every one has an answer within `TIMEOUT_S` or is given up. No error names an address."""

    def __init__(self, base_url: str, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.off_s = 0.0
        """How far our clock is ahead of WeCom's, by its latest answer; it tells seconds only."""
        self._base = base_url if base_url.endswith("/") else base_url + "/"
        limits = httpx.Limits(max_connections=100)
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits, follow_redirects=False)

    async def ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """WeCom's answer, whatever its error number. `path` may be a whole address. Raises SendFailed."""
        url = path if path.startswith(("https://", "http://")) else self._base + path
        if "json" in request:
            # As WeCom counts: characters and not their escapes.
            request["content"] = json.dumps(request.pop("json"), ensure_ascii=False).encode()
            request["headers"] = {"content-type": "application/json; charset=utf-8"}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._client.request(method, url, **request)
        except TimeoutError as exc:
            raise SendFailed(f"WeCom gave no answer within {TIMEOUT_S:g} s", uncertain=True) from exc
        except _NOT_SENT as exc:
            raise SendFailed(f"WeCom cannot be reached: {type(exc).__name__}") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise SendFailed(f"the connection to WeCom broke: {type(exc).__name__}", uncertain=True) from exc
        with contextlib.suppress(KeyError, ValueError, TypeError):
            self.off_s = self._now() - parsedate_to_datetime(answer.headers["date"]).timestamp()
        return _read(answer)

    async def fetch(self, url: str, params: Mapping[str, str]) -> tuple[int, str]:
        """What some other address answers: (status, text). Raises SendFailed."""
        try:
            answer = await self._client.get(url, params=params)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise SendFailed(type(exc).__name__) from exc
        return answer.status_code, answer.text[:1000]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _read(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != 200 or len(answer.content) > MAX_ANSWER:
        given = answer.headers.get("retry-after", "")
        wait = min(float(given), 300.0) if given.isascii() and given.isdigit() else None
        raise SendFailed(f"WeCom answered HTTP {answer.status_code}", uncertain=True, retry_after_s=wait)
    try:
        row = json.loads(answer.content)
    except (ValueError, RecursionError) as exc:
        raise SendFailed("WeCom's answer is no JSON", uncertain=True) from exc
    if not isinstance(row, dict):
        raise SendFailed("WeCom's answer is no JSON object", uncertain=True)
    return row


def code_of(row: Mapping[str, Any]) -> int:
    """The error number; 0 where there is none."""
    found = str(row.get("errcode", 0))
    return int(found) if re.fullmatch(r"-?\d{1,9}", found) else -1


class Api:
    """Calls in the name of the application, with one token for all of them."""

    def __init__(self, http: Http, app: WeComApp, now: Callable[[], float] = time.monotonic) -> None:
        self._http, self._app, self._now = http, app, now
        self._token = _Token("", 0.0)
        self._fetching = asyncio.Lock()
        self.fetches = 0

    async def call(self, path: str, body: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:
        """GET, or POST where there is a body. Raises SendFailed, Refused for WeCom's own errors."""
        return await self._tried(path, params, {} if body is None else {"json": body})

    async def upload(self, name: str, content: bytes) -> str:
        """The media id of a file; it lives three days. Raises SendFailed."""
        # The bytes, not an open file: a second try sends them again.
        files = {"media": (name, content, "application/octet-stream")}
        row = await self._tried("media/upload", {"type": "file"}, {"files": files})
        if not isinstance(row.get("media_id"), str):
            raise SendFailed("the upload's answer has no media_id", uncertain=True)
        return str(row["media_id"])

    async def token(self, *, instead: str = "") -> str:
        """A token that is good; a new one in place of `instead`. Many ask at once, one fetches. Raises SendFailed."""
        async with self._fetching:
            if self._token.value == instead or self._now() >= self._token.until:
                self._token = await self._fetch()
            return self._token.value

    async def _fetch(self) -> _Token:
        self.fetches += 1
        params = {"corpid": self._app.corp_id, "corpsecret": self._app.secret}
        row = await self._http.ask("GET", "gettoken", params=params)
        value, lives = row.get("access_token"), row.get("expires_in", 7200)
        if code_of(row) != 0:
            raise refused("gettoken", code_of(row), str(row.get("errmsg", "")), secrets=(self._app.secret,))
        if not isinstance(value, str) or not value:
            raise SendFailed("gettoken: the answer has no access_token")
        lives_s = float(lives) if isinstance(lives, int) and lives > 0 else 7200.0
        return _Token(value, self._now() + max(lives_s - EARLY_S, lives_s / 2))

    async def _tried(self, path: str, params: Mapping[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        """Once, and once more with a new token where the first was revoked: never a third time."""
        token = await self.token()
        try:
            return await self._asked(path, params, request, token)
        except Refused as exc:
            if exc.code not in TOKEN_TROUBLE:
                raise
        return await self._asked(path, params, request, await self.token(instead=token))

    async def _asked(self, path: str, params: Mapping[str, Any], request: dict[str, Any], token: str) -> dict[str, Any]:
        query = {"access_token": token, **params}
        row = await self._http.ask("POST" if request else "GET", path, params=query, **request)
        if code_of(row) != 0:
            secrets = (token, self._app.secret)
            raise refused(path, code_of(row), str(row.get("errmsg", "")), secrets=secrets)
        return row
