"""How Twilio signs what it sends (Twilio documentation, "Webhooks security")."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from bot.app.ports import Given
from bot.domain.webhooks import BadSignature


def check_signature(given: Given, pairs: Sequence[tuple[str, str]], tokens: Sequence[str]) -> None:
    """Raise BadSignature unless one of the tokens made the request's signature over address and form.

    HMAC-SHA1, or HMAC-SHA256 where `X-Twilio-Webhooks-Signature-Settings` announces it. Twilio has signed addresses
    both with and without their port.
    """
    found = {name.lower(): value for name, value in given.headers.items()}
    offered = found.get("x-twilio-signature", "")
    if not offered:
        raise BadSignature("header x-twilio-signature is missing")
    settings = found.get("x-twilio-webhooks-signature-settings", "").upper().replace("-", "_")
    algorithm = "sha256" if "HMAC_SHA256" in settings else "sha1"
    made = [signature(token, url, pairs, algorithm).encode() for token in tokens for url in _addresses(given.url)]
    matches = [hmac.compare_digest(one, offered.encode()) for one in made]
    if not any(matches):
        raise BadSignature("x-twilio-signature does not fit the auth token and public_url configured here")


def signature(token: str, url: str, pairs: Sequence[tuple[str, str]], algorithm: str = "sha1") -> str:
    """The signature of a form posted to `url`: over the address and each name and value, sorted by name."""
    text = url + "".join(f"{name}{value}" for name, value in sorted(set(pairs)))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), algorithm)).decode()


def _addresses(url: str) -> Sequence[str]:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    bare = urlunsplit(parts._replace(netloc=host))
    usual = urlunsplit(parts._replace(netloc=f"{host}:{443 if parts.scheme == 'https' else 80}"))
    return tuple({url, bare, usual})
