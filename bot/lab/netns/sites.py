"""How a site of the world answers: the vendor's API, a bucket, a page, and what a fault makes of them."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Literal

from bot.lab.loopback import tc3
from bot.lab.loopback.http1 import Request, Response

Api = Literal["ok", "denied", "bad_credential", "quota", "throttled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a fault may change in a site, by default nothing. Shares are percent; delays come before an answer."""

    api: Api = "ok"
    api_share: float = 100
    refuse: Sequence[str] = ()
    """Networks from which the API takes no key."""
    clock_s: float = 0
    """How far the server's clock is ahead."""
    certificate: Literal["", "expired", "untrusted", "wrong_host"] = ""
    tls: Literal["", "hang"] = ""
    tls_delay_ms: float = 0
    http_delay_ms: float = 0
    status: int = 0
    """Instead of an answer; 0 for none."""
    status_share: float = 100
    full: bool = False
    """A database without a connection left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiPlace:
    """The read-only action a vendor's API knows."""

    service: str
    action: str
    version: str
    result: Mapping[str, Any]


class Site:
    """One site at one address: `settings` may change between two requests."""

    def __init__(self, kind: str, *, delay_ms: float, api: ApiPlace, keys: Mapping[str, str]) -> None:
        self.settings = Settings()
        self._answers = {"tencent_api": self._vendor, "cos": self._bucket}.get(kind, self._page)
        self._delay_ms = delay_ms
        self._api = api
        self._keys = keys

    async def __call__(self, request: Request) -> Response:
        now = self.settings
        await asyncio.sleep((self._delay_ms + now.http_delay_ms) / 1000)
        if now.status and random.random() * 100 < now.status_share:
            answer = Response(status=now.status, headers={"Content-Type": "text/plain"}, body=b"internal error\n")
        else:
            answer = self._answers(request)
        if now.clock_s:
            date = formatdate(time.time() + now.clock_s, usegmt=True)
            answer = Response(status=answer.status, headers={**answer.headers, "Date": date}, body=answer.body)
        return answer

    def _vendor(self, request: Request) -> Response:
        """Tencent Cloud API 3.0: an error is HTTP 200 with a code inside."""
        try:
            content = self._call(request)
        except tc3.Refused as refused:
            content = {"Error": {"Code": refused.code, "Message": refused.message}}
        body = json.dumps({"Response": {**content, "RequestId": str(uuid.uuid4())}})
        return Response(headers={"Content-Type": "application/json"}, body=body.encode())

    def _call(self, request: Request) -> Mapping[str, Any]:
        now, headers = self.settings, request.headers
        for name in ("Action", "Version", "Timestamp"):
            if not headers.get(f"x-tc-{name.lower()}"):
                raise tc3.Refused("MissingParameter", f"The request is missing a required parameter `{name}`.")
        if not headers.get("authorization"):
            raise tc3.Refused("AuthFailure.InvalidAuthorization", "The `Authorization` header is missing.")
        tc3.check(
            headers,
            request.body,
            method=request.method,
            query=request.query,
            service=self._api.service,
            keys={} if now.api == "bad_credential" else self._keys,
            now=time.time() + now.clock_s,
        )
        self._refuse(headers["x-tc-action"], request.client)
        if headers["x-tc-version"] != self._api.version:
            raise tc3.Refused("NoSuchVersion", f"The version `{headers['x-tc-version']}` does not exist.")
        if headers["x-tc-action"] != self._api.action:
            raise tc3.Refused("InvalidAction", f"The action `{headers['x-tc-action']}` is invalid or not found.")
        return self._api.result

    def _refuse(self, action: str, client: str) -> None:
        """What the vendor says of a key whose signature is right."""
        now = self.settings
        if any(ipaddress.ip_address(client) in ipaddress.ip_network(n) for n in now.refuse):
            raise tc3.Refused(
                "UnauthorizedOperation.RequestIpNotInWhitelist", "The request IP is not in the allowlist of this key."
            )
        if now.api == "denied":
            raise tc3.Refused(
                "UnauthorizedOperation",
                f"you are not authorized to perform operation ({self._api.service}:{action}) resource (*)",
            )
        if now.api == "quota":
            raise tc3.Refused("LimitExceeded", "The quota of this account is used up.")
        if now.api == "throttled" and random.random() * 100 < now.api_share:
            raise tc3.Refused("RequestLimitExceeded", "Your current request times exceeds the limit for this API.")

    def _bucket(self, _: Request) -> Response:
        """A private bucket refuses by name, which proves that it works."""
        request_id = uuid.uuid4().hex
        body = f"<Error><Code>AccessDenied</Code><RequestId>{request_id}</RequestId></Error>"
        headers = {"Server": "tencent-cos", "x-cos-request-id": request_id, "Content-Type": "application/xml"}
        return Response(status=403, headers=headers, body=body.encode())

    def _page(self, _: Request) -> Response:
        return Response(headers={"Content-Type": "text/html"}, body=b"<!doctype html><title>hello</title>hello\n")
