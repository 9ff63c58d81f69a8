"""Standard Webhooks (standardwebhooks.com, version 1): how our own webhooks are signed, out and in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from bot.domain.errors import ConfigError, WarroomError

TOLERANCE_S = 300.0
"""How far the sender's clock may be from ours, either way."""
_PREFIX = "whsec_"
_MOST_SIGNATURES = 16


class BadSignature(WarroomError):
    """A webhook is unsigned, signed by somebody else, or too old; the message says which, never the secret."""


def headers(secret: str, *, id: str, timestamp: int, body: bytes) -> dict[str, str]:  # noqa: A002 - the standard's name
    """The three headers of a signed request; `timestamp` in epoch seconds. Raises ConfigError for a bad secret."""
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, id=id, timestamp=timestamp, body=body),
    }


def sign(secret: str, *, id: str, timestamp: int, body: bytes) -> str:  # noqa: A002 - the standard's name
    """The signature "v1,<base64>" over `id.timestamp.body`. Raises ConfigError for a bad secret."""
    digest = hmac.new(key_of(secret), f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def verify(given: Mapping[str, str], body: bytes, secrets: Sequence[str], *, now: float) -> str:
    """The id of a request signed with one of the secrets (two during rotation), for telling a repeat from a new one.

    `given` are the request's headers in any case, `now` epoch seconds. Raises BadSignature, and ConfigError for
    a bad secret. Every signature is compared with every secret in constant time.
    """
    found = {name.lower(): value for name, value in given.items()}
    try:
        id_, stamp, signatures = (found[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
    except KeyError as exc:
        raise BadSignature(f"header {exc.args[0]} is missing") from exc
    if not id_ or not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise BadSignature("webhook-id is empty or webhook-timestamp is not a number of seconds")
    if abs(now - int(stamp)) > TOLERANCE_S:
        raise BadSignature(f"webhook-timestamp is {abs(now - int(stamp)):.0f} s away from our clock")
    wanted = [sign(secret, id=id_, timestamp=int(stamp), body=body).encode() for secret in secrets]
    offered = [signature.encode() for signature in signatures.split(" ")[:_MOST_SIGNATURES]]
    matches = [hmac.compare_digest(want, offer) for want in wanted for offer in offered]
    if not any(matches):
        raise BadSignature("no signature fits the secret configured here")
    return id_


def key_of(secret: str) -> bytes:
    """The bytes of a secret written "whsec_<base64>" (the prefix may be left out). Raises ConfigError."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError('a webhook secret must be "whsec_" followed by base64') from exc
    if not key:
        raise ConfigError("a webhook secret is empty")
    return key
