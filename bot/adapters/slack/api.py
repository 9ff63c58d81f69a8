"""Calls of Slack's Web API: one connection pool, no retries of its own (the outbox has them), errors in our words."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.adapters.slack.resolver import RememberingResolver
from bot.adapters.slack.trouble import OURS, meaning
from bot.domain.errors import SendFailed

TIMEOUT_S = 5.0
CONNECT_S = 3.0
UPLOAD_S = 120.0


class Api:
    """The Web API with one token. `client` has its methods; `call` makes their errors SendFailed."""

    def __init__(self, *, token: str, base_url: str) -> None:
        self.client = AsyncWebClient(token=token, base_url=base_url, timeout=int(TIMEOUT_S), retry_handlers=[])
        self.client.proxy = proxy_for(self.client.base_url)
        self.session: aiohttp.ClientSession | None = None

    async def call(self, method: Callable[..., Awaitable[AsyncSlackResponse]], **args: Any) -> dict[str, Any]:
        """What Slack answers. Raises SendFailed; SlackRefused where it said no."""
        self.client.session = self.opened()
        name = method.__name__.replace("_", ".")
        try:
            answer = await method(**{key: value for key, value in args.items() if value is not None})
        except OURS as exc:
            raise meaning(name, exc) from exc
        data = answer.data
        return {**data, "_headers": dict(answer.headers)} if isinstance(data, dict) else {}

    async def post(self, url: str, *, data: bytes | None = None, json: Any = None, most_s: float = TIMEOUT_S) -> None:
        """Bytes or JSON to an address that Slack gave. Raises SendFailed."""
        what = "an upload" if data is not None else "an answer"
        try:
            timeout = aiohttp.ClientTimeout(total=most_s, connect=CONNECT_S)
            async with self.opened().post(url, data=data, json=json, timeout=timeout, proxy=proxy_for(url)) as answer:
                if answer.status == 429:
                    raise SendFailed(f"{what}: Slack asks to wait", retry_after_s=30.0)
                if answer.status >= 400:
                    raise SendFailed(f"{what}: Slack answered HTTP {answer.status}", permanent=answer.status < 500)
        except OURS as exc:
            raise meaning(what, exc) from exc

    def opened(self) -> aiohttp.ClientSession:
        """The pool, made when it is first needed: that needs a running loop."""
        if self.session is None or self.session.closed:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S, connect=CONNECT_S)
            connector = aiohttp.TCPConnector(limit=50, use_dns_cache=False, resolver=RememberingResolver())
            self.session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return self.session

    async def close(self) -> None:
        """Close the pool."""
        if self.session is not None:
            await self.session.close()
            await asyncio.sleep(0)


def proxy_for(url: str) -> str | None:
    """The proxy the environment names for this address, NO_PROXY respected, which slack_sdk does not."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    scheme = {"wss": "https", "ws": "http"}.get(parts.scheme, parts.scheme)
    return proxies.get(scheme) or proxies.get("https")
