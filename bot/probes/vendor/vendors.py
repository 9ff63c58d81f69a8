"""Vendors of APIs: how a call is built, and what an answer means. A new vendor is one more row."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from bot.domain.failure import Failure
from bot.domain.probe import Json
from bot.probes.base import Credential
from bot.probes.params import Url
from bot.probes.vendor import aliyun, aws, tencent
from bot.probes.web.exchange import Reply, Request


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
    return _answer(error, tencent.meaning(error[0]))


FORM = "application/x-www-form-urlencoded"


def _aliyun_request(call: Call, credential: Credential | None) -> Request:
    """RPC style: everything is a parameter, the signature too; sent as a form."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    common = aliyun.common(call.action, call.version, call.region, timestamp=stamp, nonce=secrets.token_hex(16))
    params = {**_texts(call.payload), **common}
    if credential is not None:
        params = aliyun.signed(params, credential, "POST")
    body = urlencode(params).encode()
    return Request(url=call.url, method="POST", address=call.address, headers={"content-type": FORM}, body=body)


def _aliyun_answer(reply: Reply) -> Answer | None:
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    error = aliyun.error_of(answer) if isinstance(answer, Mapping) else None
    return _answer(error, aliyun.meaning(error[0])) if error else None


def _aws_request(call: Call, credential: Credential | None) -> Request:
    """The query protocol: a form with Action and Version."""
    body = urlencode({**_texts(call.payload), "Action": call.action, "Version": call.version}).encode()
    headers = {"content-type": FORM}
    if credential is not None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers["x-amz-date"] = stamp
        headers["authorization"] = aws.authorization(
            credential,
            method="POST",
            path="/",
            query="",
            headers={**headers, "host": call.url.authority},
            payload_hash=hashlib.sha256(body).hexdigest(),
            region=call.region or "us-east-1",
            service=call.service,
            stamp=stamp,
        )
    return Request(url=call.url, method="POST", address=call.address, headers=headers, body=body)


def _aws_answer(reply: Reply) -> Answer | None:
    error = aws.error_of(reply.body.decode("utf-8", "replace"))
    return _answer(error, aws.meaning(error[0], error[1])) if error else None


def _answer(error: tuple[str, str, str], failure: Failure | None) -> Answer:
    code, message, request_id = error
    return Answer(code=code, message=message, request_id=request_id[:80], failure=failure)


def _texts(payload: Mapping[str, Json]) -> dict[str, str]:
    """Parameters of a form; what is not text is written as JSON writes it."""
    return {str(key): v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for key, v in payload.items()}


VENDORS: Mapping[str, Vendor] = {
    "tencent": Vendor(
        build=_tencent_request,
        read=_tencent_answer,
        read_only=lambda action: tencent.READ_ONLY.fullmatch(action) is not None,
        hosts=("tencentcloudapi.com", "myqcloud.com"),
    ),
    "aliyun": Vendor(
        build=_aliyun_request,
        read=_aliyun_answer,
        read_only=lambda action: aliyun.READ_ONLY.fullmatch(action) is not None,
        hosts=("aliyuncs.com",),
    ),
    "aws": Vendor(
        build=_aws_request,
        read=_aws_answer,
        read_only=lambda action: aws.READ_ONLY.fullmatch(action) is not None,
        hosts=("amazonaws.com", "amazonaws.com.cn"),
    ),
}
