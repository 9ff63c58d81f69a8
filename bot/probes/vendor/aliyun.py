"""Alibaba Cloud RPC API: signature version 1.0 (HMAC-SHA1) and the meaning of its error codes.

Source: Alibaba Cloud documentation, "RPC style: request syntax and signature method" and "Common error codes".
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from bot.domain.failure import Failure
from bot.probes.base import Credential

READ_ONLY = re.compile(r"(?!GetSecretValue)(Describe|List|Get|Query|Search|Lookup)[A-Za-z0-9]*")
"""Actions a probe may call: a hub that has been taken over must not be able to send, delete or reveal anything."""


def common(action: str, version: str, region: str, *, timestamp: str, nonce: str) -> dict[str, str]:
    """The parameters every call carries, signed or not; `timestamp` is UTC as 2016-02-23T12:46:24Z."""
    named = {"Action": action, "Version": version, "Format": "JSON", "Timestamp": timestamp, "SignatureNonce": nonce}
    return {**named, **({"RegionId": region} if region else {})}


def signed(params: Mapping[str, str], credential: Credential, method: str) -> dict[str, str]:
    """The parameters with key, signature and how it was made."""
    how = {"AccessKeyId": credential.id, "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0"}
    every = {**params, **how}
    return {**every, "Signature": signature(credential.secret, method, every)}


def signature(secret: str, method: str, params: Mapping[str, str]) -> str:
    """The signature in base64 over all parameters, sorted and encoded by RFC 3986."""
    canonical = "&".join(f"{_encoded(key)}={_encoded(value)}" for key, value in sorted(params.items()))
    text = f"{method}&{_encoded('/')}&{_encoded(canonical)}"
    return base64.b64encode(hmac.digest(f"{secret}&".encode(), text.encode(), "sha1")).decode()


def _encoded(text: str) -> str:
    return quote(text, safe="~")


def error_of(answer: Mapping[str, object]) -> tuple[str, str, str] | None:
    """(code, message, request id), code "" for success; None when it has not Alibaba's shape.

    Some services say Code OK where they succeeded.
    """
    request_id = answer.get("RequestId")
    if not isinstance(request_id, str):
        return None
    code = answer.get("Code")
    if not isinstance(code, str) or code in ("OK", "200", "Success"):
        return "", "", request_id
    return code, str(answer.get("Message") or ""), request_id


_BY_CODE: Sequence[tuple[re.Pattern[str], Failure]] = (
    (re.compile(r"(?i).*(white|allow)_?list.*|.*(sourceip|ipnot).*"), Failure.API_ALLOWLIST),
    (re.compile(r"(Invalid|Illegal)Time[Ss]tamp(\..*)?|SignatureNonceUsed"), Failure.API_CLOCK_SKEW),
    (
        re.compile(r"(InvalidAccessKey|SignatureDoesNotMatch|IncompleteSignature|MissingAccessKeyId).*"),
        Failure.API_BAD_CREDENTIAL,
    ),
    (re.compile(r"(InvalidSecurityToken|MissingSecurityToken|InvalidAccessKeySecret).*"), Failure.API_BAD_CREDENTIAL),
    (
        re.compile(r"(Forbidden|NoPermission|Unauthorized|isv\.RAM_PERMISSION_DENY|isp\.RAM_PERMISSION_DENY)(\..*)?"),
        Failure.API_DENIED,
    ),
    (re.compile(r"(Throttling|isv\.BUSINESS_LIMIT_CONTROL|FlowControl)(\..*)?"), Failure.API_THROTTLED),
    (
        re.compile(r"(?i).*(AMOUNT_NOT_ENOUGH|NotEnoughBalance|OUT_OF_SERVICE|Quota|LimitExceeded|DAY_LIMIT).*"),
        Failure.API_QUOTA,
    ),
    (re.compile(r"(InternalError|ServiceUnavailable|UnknownError|isp\.SYSTEM_ERROR)(\..*)?"), Failure.API_INTERNAL),
)


def meaning(code: str) -> Failure | None:
    """What an error code of a signed call amounts to; None for "" (success)."""
    if not code:
        return None
    return next((failure for pattern, failure in _BY_CODE if pattern.fullmatch(code)), Failure.API_ERROR)
