"""Checking a TC3-HMAC-SHA256 signature the way the vendor's gateway does.

Source: Tencent Cloud API 3.0, "signature v3". Written apart from the agent's signer, so that the two agree
only if both are right.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime

ALGORITHM = "TC3-HMAC-SHA256"
MAX_SKEW_S = 300
_HEADER = re.compile(
    rf"{ALGORITHM}\s+Credential=(?P<id>[^/]+)/(?P<date>[^/]+)/(?P<service>[^/]+)/tc3_request,\s*"
    r"SignedHeaders=(?P<names>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]+)"
)


class Refused(Exception):
    """The vendor's error code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def check(
    headers: Mapping[str, str],
    body: bytes,
    *,
    method: str,
    query: str,
    service: str,
    keys: Mapping[str, str],
    now: float,
) -> None:
    """Raise Refused unless the request is signed by one of `keys` (id -> secret), at most five minutes ago.

    `headers` have lower-case names; `now` is epoch seconds.
    """
    claim = _HEADER.fullmatch(headers.get("authorization", "").strip())
    if claim is None:
        raise Refused("AuthFailure.InvalidAuthorization", "The Authorization header is malformed.")
    stamp = headers.get("x-tc-timestamp", "")
    if not stamp.isdecimal():
        raise Refused("MissingParameter", "The request is missing a required parameter `Timestamp`.")
    if abs(now - int(stamp)) > MAX_SKEW_S:
        raise Refused(
            "AuthFailure.SignatureExpire",
            f"Signature expired: timestamp {stamp} differs from the server time {now:.0f} by more than five minutes.",
        )
    secret = keys.get(claim["id"])
    if secret is None:
        raise Refused("AuthFailure.SecretIdNotFound", "The SecretId is not found, please ensure that it is correct.")
    names = claim["names"].split(";")
    expected = signature(
        secret,
        method=method,
        query=query,
        headers=[(name, headers.get(name, "")) for name in names],
        body=body,
        service=service,
        timestamp=int(stamp),
    )
    scoped = claim["service"] == service and {"content-type", "host"} <= set(names)
    if not scoped or not hmac.compare_digest(expected, claim["signature"]):
        raise Refused(
            "AuthFailure.SignatureFailure",
            "The provided credentials could not be validated. Please check your signature is correct.",
        )


def signature(
    secret: str,
    *,
    method: str,
    query: str,
    headers: list[tuple[str, str]],
    body: bytes,
    service: str,
    timestamp: int,
) -> str:
    """The signature in hex; `headers` in the order of SignedHeaders."""
    date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
    canonical = "\n".join(
        (
            method,
            "/",
            query,
            "".join(f"{name}:{value.strip().lower()}\n" for name, value in headers),
            ";".join(name for name, _ in headers),
            hashlib.sha256(body).hexdigest(),
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{timestamp}\n{date}/{service}/tc3_request\n{digest}"
    key = f"TC3{secret}".encode()
    for part in (date, service, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
