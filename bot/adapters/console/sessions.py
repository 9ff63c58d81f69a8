"""Who is at the browser: signed cookies, one-time login codes, and a brake on guessing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

COOKIE = "warroom_session"
LIFE_S = 12 * 3600.0
CODE_LIFE_S = 600.0
TRIES = 8
TRIES_WITHIN_S = 60.0
"""Failed logins allowed for one address in this time."""
KNOWN_ADDRESSES = 1024
NAME_LENGTH = 40
OURS = "warroom"
"""Who speaks for the bot; nobody else may."""


class Sessions:
    """Signs people in. Without a `secret` the key is this process's own, and a restart signs everybody out."""

    def __init__(self, *, api_token: str, secret: bytes | None = None, now: Callable[[], float] = time.time) -> None:
        self._token = hashlib.sha256(api_token.encode()).digest() if api_token else None
        self._key = secret or secrets.token_bytes(32)
        self._now = now
        self._codes: dict[str, tuple[str, float]] = {}
        self._revoked: dict[str, float] = {}
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def new_code(self, user: str = "engineer") -> str:
        """A code that signs `user` in once within 10 minutes: `/login?code=...`."""
        now = self._now()
        self._codes = {code: kept for code, kept in self._codes.items() if kept[1] > now}
        code = secrets.token_urlsafe(24)
        self._codes[code] = user, now + CODE_LIFE_S
        return code

    def redeem(self, code: str) -> str | None:
        """The user of a code that is valid now; it is used up."""
        user, until = self._codes.pop(code, ("", 0.0))
        return user if until > self._now() else None

    def token_fits(self, token: str) -> bool:
        """Whether this is the API token, in constant time; never without one."""
        given = hashlib.sha256(token.encode()).digest()
        return self._token is not None and hmac.compare_digest(given, self._token)

    def issue(self, user: str) -> str:
        """A cookie value for `user`, valid for 12 hours."""
        claim = {"user": user, "until": self._now() + LIFE_S, "id": secrets.token_hex(8)}
        # Without padding, since "=" would have the value put in quotes.
        body = base64.urlsafe_b64encode(json.dumps(claim).encode()).decode().rstrip("=")
        return f"{body}.{self._sign(body)}"

    def user(self, cookie: str | None) -> str | None:
        """Whose cookie this is; None when it is forged, expired or signed out."""
        claim = self._claim(cookie)
        return None if claim is None else claim[0]

    def revoke(self, cookie: str | None) -> None:
        """Sign a cookie out for good."""
        claim, now = self._claim(cookie), self._now()
        self._revoked = {name: until for name, until in self._revoked.items() if until > now}
        if claim is not None:
            self._revoked[claim[2]] = claim[1]

    def may_try(self, address: str) -> bool:
        """Whether this address may try to sign in just now."""
        return len(self._recent(address)) < TRIES

    def failed(self, address: str) -> None:
        """Count a failed login."""
        self._failures[address] = [*self._recent(address), self._now()]
        self._failures.move_to_end(address)
        if len(self._failures) > KNOWN_ADDRESSES:
            self._failures.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        since = self._now() - TRIES_WITHIN_S
        return [at for at in self._failures.get(address, ()) if at > since]

    def _sign(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), hashlib.sha256).hexdigest()

    def _claim(self, cookie: str | None) -> tuple[str, float, str] | None:
        body, _, signature = (cookie or "").rpartition(".")
        # Bytes, since compare_digest refuses text outside ASCII and a cookie may hold anything.
        if not body or not hmac.compare_digest(signature.encode(), self._sign(body).encode()):
            return None
        claim = json.loads(base64.urlsafe_b64decode(body + "=="))
        known = str(claim["user"]), float(claim["until"]), str(claim["id"])
        return known if known[1] > self._now() and known[2] not in self._revoked else None


def clean_name(name: str) -> str:
    """A person's name as the timeline will show it: printable, one line, at most 40 characters; "" for ours."""
    clean = "".join(c for c in name if c.isprintable()).strip()[:NAME_LENGTH].strip()
    return "" if clean.casefold() == OURS else clean
