"""Who may post to a hook: proven by a Standard Webhooks signature or by a bearer token; both may be configured."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.domain.webhooks import BadSignature, verify


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """`secret` is "whsec_" + base64, `token` a bearer token; "" where it is not used."""

    name: str
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def known(self, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
        """The delivery's id ("" where the sender gives none). Raises BadSignature."""
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if self.token and scheme.lower() == "bearer":
            if not hmac.compare_digest(shown.strip().encode(), self.token.encode()):
                raise BadSignature("the bearer token is not this sender's")
            return ""
        if not self.secret:
            raise BadSignature("a bearer token is needed")
        return verify(headers, body, [self.secret], now=now)
