"""Twilio's Calls resource: Basic authentication, E.164, TwiML of 4,000 characters, signed form callbacks."""

from __future__ import annotations

import base64
import hmac
import re
import time
from email.utils import formatdate
from typing import Any, ClassVar
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from bot.domain.pager_kinds import PagerConfig
from tests.adapters.providers.base import Asked, Provider, Reply, Rung

SID = "AC00000000000000000000000000000001"


class TwilioServer(Provider):
    kind = "twilio"
    secrets: ClassVar = {"AUTH_TOKEN": "canary-twilio-token"}

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, dict[str, Any]] = {}
        self.callbacks: dict[str, str] = {}

    def config(self, **more: Any) -> PagerConfig:
        options = {"account_sid": SID, "from": "+15005550006"}
        return PagerConfig(name="p", kind=self.kind, url=self.url, options=options, secrets=self.secrets, **more)

    def handle(self, asked: Asked) -> Reply:
        wanted = base64.b64encode(f"{SID}:{self.secrets['AUTH_TOKEN']}".encode()).decode()
        if asked.headers.get("authorization") != f"Basic {wanted}":
            return self._error(401, 20003, "Authenticate")
        base = f"/2010-04-01/Accounts/{SID}/Calls"
        if asked.path == f"{base}.json" and asked.method == "POST":
            return self._create(asked.form)
        if asked.path == f"{base}.json":
            rows = [c for c in reversed(self.calls.values()) if c["to"] == asked.query.get("To", c["to"])]
            return Reply(200, {"calls": rows, "page": 0, "page_size": 50})
        found = re.fullmatch(rf"{base}/(\w+-?\w*)\.json", asked.path)
        call = self.calls.get(found[1]) if found else None
        if call is None:
            return self._error(404, 20404, f"The requested resource {asked.path} was not found")
        if asked.method == "POST" and asked.form.get("Status") == "completed":
            ended = {"queued": "canceled", "ringing": "canceled", "in-progress": "completed"}
            call["status"] = ended.get(call["status"], call["status"])
        return Reply(200, call)

    def _create(self, form: dict[str, str]) -> Reply:
        if not re.fullmatch(r"\+[1-9]\d{6,14}", form.get("To", "")):
            return self.refuses()
        if len(form.get("Twiml", "")) > 4000:
            return self._error(400, 32018, "Twiml size exceeded maximum allowed value of 4000 characters")
        twiml = ET.fromstring(form["Twiml"])
        gather = twiml.find("Gather")
        said = "".join(twiml.itertext())
        rung = self.place("", form["To"], said)
        self.callbacks[rung.ref] = gather.get("action", "") if gather is not None else ""
        assert form.get("StatusCallback", "") == self.callbacks[rung.ref]
        row = {"sid": rung.ref, "status": "queued", "to": form["To"], "from": form["From"]}
        self.calls[rung.ref] = {
            **row,
            "date_created": formatdate(time.time()).replace("-0000", "+0000"),
            "start_time": None,
        }
        return Reply(201, self.calls[rung.ref])

    def refuses(self) -> Reply:
        said = "The phone number you are attempting to call, +86138, is not valid."
        return self._error(400, 21211, said)

    def throttles(self) -> Reply:
        reply = self._error(429, 20429, "Too Many Requests")
        return Reply(reply.status, reply.row, {"retry-after": "2"})

    def answers(self, rung: Rung, *, digits: str = "", forged: bool = False) -> dict[str, Any]:
        url = self.callbacks[rung.ref]
        form = {"CallSid": rung.ref, "AccountSid": SID, "To": rung.to, "CallStatus": "in-progress"}
        form |= {"Digits": digits} if digits else {}
        token = "somebody-else" if forged else self.secrets["AUTH_TOKEN"]
        text = url + "".join(name + form[name] for name in sorted(form))
        signed = base64.b64encode(hmac.new(token.encode(), text.encode(), "sha1").digest()).decode()
        return {"headers": {"X-Twilio-Signature": signed}, "url": url, "body": urlencode(form).encode()}

    def _error(self, status: int, code: int, message: str) -> Reply:
        more = f"https://www.twilio.com/docs/errors/{code}"
        return Reply(status, {"code": code, "message": message, "more_info": more, "status": status})
