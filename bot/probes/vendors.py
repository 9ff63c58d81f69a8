"""Vendors of APIs: how a call is built, and what an answer means. A new vendor is one more row."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.domain.failure import Failure
from bot.domain.probe import Json
from bot.probes import tencent
from bot.probes.base import Credential
from bot.probes.exchange import Reply, Request
from bot.probes.params import Url


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One API call, as the hub describes it."""

    service: str
    action: str
    version: str
    region: str
    url: Url
    address: str | None
    payload: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The vendor's own words: `code` is "" for success; `failure` what they mean for a signed call."""

    code: str
    message: str
    request_id: str
    failure: Failure | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Vendor:
    """`build` signs when it is given a credential; `read` is None for what is no structured answer.

    `hosts` are the domains of the vendor's APIs, to which signed calls go.
    """

    build: Callable[[Call, Credential | None], Request]
    read: Callable[[Reply], Answer | None]
    read_only: Callable[[str], bool]
    hosts: tuple[str, ...]


def _tencent_request(call: Call, credential: Credential | None) -> Request:
    payload = json.dumps(call.payload, ensure_ascii=False).encode()
    now = int(time.time())
    headers = tencent.headers(call.action, call.version, call.region, now)
    if credential is not None:
        signed = (
            ("content-type", tencent.CONTENT_TYPE),
            ("host", call.url.authority),
            ("x-tc-action", call.action.lower()),
        )
        headers["authorization"] = tencent.authorization(
            credential, service=call.service, signed=signed, payload=payload, timestamp=now
        )
    return Request(url=call.url, method="POST", address=call.address, headers=headers, body=payload)


def _tencent_answer(reply: Reply) -> Answer | None:
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    error = tencent.error_of(answer) if isinstance(answer, Mapping) else None
    if error is None:
        return None
    code, message, request_id = error
    return Answer(code=code, message=message[:300], request_id=request_id[:80], failure=tencent.meaning(code))


VENDORS: Mapping[str, Vendor] = {
    "tencent": Vendor(
        build=_tencent_request,
        read=_tencent_answer,
        read_only=lambda action: tencent.READ_ONLY.fullmatch(action) is not None,
        hosts=("tencentcloudapi.com", "myqcloud.com"),
    ),
}
