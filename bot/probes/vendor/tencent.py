"""Tencent Cloud API 3.0: TC3-HMAC-SHA256 and the meaning of its error codes.

Source: Tencent Cloud API documentation, "Signature Method v3" and "Common Error Codes".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from bot.domain.failure import Failure
from bot.probes.base import Credential

ALGORITHM = "TC3-HMAC-SHA256"
CONTENT_TYPE = "application/json; charset=utf-8"
READ_ONLY = re.compile(
    r"(Describe|List|Get|Search|LookUp|Query|Inquiry)[A-Za-z0-9]*|(SendStatus|Callback\w*)Statistics"
)
"""Actions a probe may call: a hub that has been taken over must not be able to send or delete anything."""


def headers(action: str, version: str, region: str, timestamp: int) -> dict[str, str]:
    """The headers every call carries, signed or not."""
    common = {
        "content-type": CONTENT_TYPE,
        "x-tc-action": action,
        "x-tc-version": version,
        "x-tc-timestamp": str(timestamp),
    }
    return {**common, "x-tc-region": region} if region else common


def authorization(
    credential: Credential, *, service: str, signed: Sequence[tuple[str, str]], payload: bytes, timestamp: int
) -> str:
    """The Authorization header of a POST to "/". `signed` are the headers to sign, by name, in lower case."""
    date = _date(timestamp)
    names = ";".join(name for name, _ in signed)
    value = signature(credential.secret, service=service, signed=signed, payload=payload, timestamp=timestamp)
    scope = f"{date}/{service}/tc3_request"
    return f"{ALGORITHM} Credential={credential.id}/{scope}, SignedHeaders={names}, Signature={value}"


def signature(secret: str, *, service: str, signed: Sequence[tuple[str, str]], payload: bytes, timestamp: int) -> str:
    """The hexadecimal signature alone."""
    lines = "".join(f"{name}:{value}\n" for name, value in signed)
    names = ";".join(name for name, _ in signed)
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(payload).hexdigest()}"
    date = _date(timestamp)
    scope = f"{date}/{service}/tc3_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"
    key = f"TC3{secret}".encode()
    for part in (date, service, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def _date(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")


def error_of(answer: Mapping[str, object]) -> tuple[str, str, str] | None:
    """(code, message, request id) of an answer, code "" for success; None when it has not Tencent's shape."""
    response = answer.get("Response")
    if not isinstance(response, Mapping):
        return None
    request_id = str(response.get("RequestId") or "")
    error = response.get("Error")
    if not isinstance(error, Mapping):
        return "", "", request_id
    return str(error.get("Code") or ""), str(error.get("Message") or ""), request_id


_BY_CODE: Sequence[tuple[re.Pattern[str], Failure]] = (
    (re.compile(r"(?i).*(white|allow)_?list.*|.*\.(Source|Request)?IpNot.*"), Failure.API_ALLOWLIST),
    (re.compile(r"AuthFailure\.SignatureExpire.*"), Failure.API_CLOCK_SKEW),
    (re.compile(r"(AuthFailure\.)?UnauthorizedOperation(\..*)?|AuthFailure\.MFAFailure"), Failure.API_DENIED),
    (re.compile(r"AuthFailure(\..*)?"), Failure.API_BAD_CREDENTIAL),
    (re.compile(r"RequestLimitExceeded(\..*)?"), Failure.API_THROTTLED),
    (re.compile(r"LimitExceeded(\..*)?|.*\.InsufficientBalance.*|ResourceInsufficient(\..*)?"), Failure.API_QUOTA),
    (re.compile(r"InternalError(\..*)?|ServiceUnavailable(\..*)?"), Failure.API_INTERNAL),
)


def meaning(code: str) -> Failure | None:
    """What an error code of a signed call amounts to; None for "" (success)."""
    if not code:
        return None
    return next((failure for pattern, failure in _BY_CODE if pattern.fullmatch(code)), Failure.API_ERROR)
