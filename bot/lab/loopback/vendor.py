"""The vendor's services: an SMS API in the shape of Tencent Cloud API 3.0, a bucket, and unrelated sites."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Mapping
from typing import Any

from bot.lab.loopback import tc3
from bot.lab.loopback.faults import Api
from bot.lab.loopback.http1 import Request, Response

SERVICE = "sms"
VERSION = "2021-01-11"
THROTTLED_SHARE = 0.7
_RESULTS: Mapping[str, Mapping[str, Any]] = {
    "DescribeSmsSignList": {"DescribeSignListStatusSet": []},
    "SendStatusStatistics": {"SendStatusStatistics": {"FeeCount": 0, "RequestCount": 0, "RequestSuccessCount": 0}},
}
"""Read-only actions and what they answer."""


class SmsApi:
    """`mode` is the fault in force; `keys` maps secret ids to secrets."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.mode: Api = "ok"
        self._keys = keys

    async def __call__(self, request: Request) -> Response:
        if self.mode == "outage":
            return _answer(_error("InternalError", "An internal error has occurred. Retry your request."), status=503)
        try:
            return _answer(self._call(request))
        except tc3.Refused as refused:
            return _answer(_error(refused.code, refused.message))

    def _call(self, request: Request) -> Mapping[str, Any]:
        headers = request.headers
        for name in ("Action", "Version", "Timestamp"):
            if not headers.get(f"x-tc-{name.lower()}"):
                raise tc3.Refused("MissingParameter", f"The request is missing a required parameter `{name}`.")
        if not headers.get("authorization"):
            raise tc3.Refused("AuthFailure.InvalidAuthorization", "The `Authorization` header is missing.")
        keys = {} if self.mode == "bad_credential" else self._keys
        tc3.check(
            headers,
            request.body,
            method=request.method,
            query=request.query,
            service=SERVICE,
            keys=keys,
            now=time.time(),
        )
        action = headers["x-tc-action"]
        if self.mode == "denied":
            raise tc3.Refused(
                "UnauthorizedOperation",
                f"you are not authorized to perform operation ({SERVICE}:{action}) resource (*) has no permission",
            )
        if self.mode == "throttled" and random.random() < THROTTLED_SHARE:
            raise tc3.Refused("RequestLimitExceeded", "Your current request times exceeds the limit for this API.")
        if headers["x-tc-version"] != VERSION:
            raise tc3.Refused("NoSuchVersion", f"The version `{headers['x-tc-version']}` does not exist.")
        if action not in _RESULTS:
            raise tc3.Refused("InvalidAction", f"The action `{action}` is invalid or not found.")
        return _RESULTS[action]


async def bucket(request: Request) -> Response:
    """A private bucket: an unsigned request is refused by name, which proves that the service works."""
    request_id = uuid.uuid4().hex
    body = (
        f"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message><RequestId>{request_id}</RequestId></Error>"
    )
    headers = {"Server": "tencent-cos", "x-cos-request-id": request_id, "Content-Type": "application/xml"}
    return Response(status=403, headers=headers, body=body.encode())


async def page(request: Request) -> Response:
    """An ordinary web site."""
    return Response(headers={"Content-Type": "text/html"}, body=b"<!doctype html><title>hello</title>hello\n")


async def neighbour(request: Request) -> Response:
    """The plain port next to the TLS one."""
    host = request.headers.get("host", "").partition(":")[0]
    return Response(status=301, headers={"Location": f"https://{host}/"})


def _answer(content: Mapping[str, Any], *, status: int = 200) -> Response:
    body = json.dumps({"Response": {**content, "RequestId": str(uuid.uuid4())}})
    return Response(status=status, headers={"Content-Type": "application/json"}, body=body.encode())


def _error(code: str, message: str) -> Mapping[str, Any]:
    return {"Error": {"Code": code, "Message": message}}
