"""Somebody's own gateway behind the signed webhook."""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar

from bot.domain.pager_kinds import PagerConfig
from bot.domain.webhooks import BadSignature, headers, verify
from tests.adapters.providers.base import Asked, Provider, Reply, Rung

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class WebhookServer(Provider):
    kind = "webhook"
    secrets: ClassVar = {"SECRET": SECRET}

    def config(self, **more: Any) -> PagerConfig:
        return PagerConfig(name="p", kind=self.kind, url=f"{self.url}/call", secret=SECRET, **more)

    def handle(self, asked: Asked) -> Reply:
        try:
            verify(asked.headers, asked.body, [SECRET], now=time.time())
        except BadSignature:
            return Reply(401)
        key = asked.json["key"]
        known = [r for r in self.rung if r.key == key]
        rung = known[0] if known else self.place(key, asked.json["person"]["phone"], asked.json["text"])
        return Reply(202, {"ref": rung.ref})

    def refuses(self) -> Reply:
        return Reply(422)

    def throttles(self) -> Reply:
        return Reply(429, None, {"retry-after": "7"})

    def answers(self, rung: Rung, *, digits: str = "", forged: bool = False) -> dict[str, Any]:
        body = json.dumps({"key": rung.key, "status": "answered", "digits": digits}).encode()
        secret = "whsec_" + "QUFB" * 8 if forged else SECRET
        return {"headers": headers(secret, id="cb", timestamp=int(time.time()), body=body), "body": body}
