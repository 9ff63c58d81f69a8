"""PagerDuty, GoAlert and FlashDuty: they open an alert for a key, once, and call whoever is on call."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, ClassVar

from bot.domain.pager_kinds import PagerConfig
from tests.adapters.providers.base import Asked, Provider, Reply, Rung


class Desk(Provider):
    """Alerts by key: an open one is not opened again."""

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, Rung] = {}

    def trigger(self, key: str, said: str) -> Rung:
        if key not in self.open:
            self.open[key] = self.place(key, "", said)
        return self.open[key]


class PagerDutyServer(Desk):
    kind = "pagerduty"
    secrets: ClassVar = {
        "ROUTING_KEY": "canary0pagerduty0routing",
        "WEBHOOK_SECRET": "canary-pagerduty-webhook",
    }

    def config(self, **more: Any) -> PagerConfig:
        return PagerConfig(name="p", kind=self.kind, url=self.url, secrets=self.secrets, **more)

    def handle(self, asked: Asked) -> Reply:
        row = asked.json
        key = row["dedup_key"]
        if (asked.method, asked.path) != ("POST", "/v2/enqueue"):
            return Reply(404)
        if row["routing_key"] != self.secrets["ROUTING_KEY"]:
            return self._invalid(f"Invalid routing key {row['routing_key']}")
        if len(key) > 255:
            return self._invalid("'dedup_key' is too long (maximum is 255 characters)")
        if row["event_action"] == "resolve":
            self.open.pop(key, None)
        else:
            payload = row["payload"]
            if payload["severity"] not in ("critical", "error", "warning", "info"):
                return self._invalid("'payload.severity' is invalid (must be one of: critical, warning, error, info)")
            if len(payload["summary"]) > 1024 or not payload["source"]:
                return self._invalid("'payload.summary' is too long")
            self.trigger(key, payload["summary"])
        return Reply(202, {"status": "success", "message": "Event processed", "dedup_key": key})

    def refuses(self) -> Reply:
        return self._invalid("Length of 'routing_key' is incorrect (should be 32 characters)")

    def throttles(self) -> Reply:
        said = "Requests for this service are arriving too quickly.  Please retry later."
        return Reply(429, {"status": "throttle exceeded", "message": said}, {"retry-after": "60"})

    def answers(self, rung: Rung, *, digits: str = "", forged: bool = False) -> dict[str, Any]:
        kind = {"": "incident.triggered", "1": "incident.acknowledged", "2": "incident.escalated"}[digits]
        agent = {"id": "PLH1HKV", "summary": "Tenex Engineer", "type": "user_reference"}
        data = {"id": "PGR0VU2", "type": "incident", "incident_key": rung.key, "title": rung.said}
        body = json.dumps({"event": {"id": "e", "event_type": kind, "agent": agent, "data": data}}).encode()
        secret = b"somebody-else" if forged else self.secrets["WEBHOOK_SECRET"].encode()
        old = hmac.new(b"rotated away", body, hashlib.sha256).hexdigest()
        new = hmac.new(secret, body, hashlib.sha256).hexdigest()
        return {"headers": {"X-PagerDuty-Signature": f"v1={old},v1={new}"}, "body": body}

    def _invalid(self, why: str) -> Reply:
        return Reply(400, {"status": "invalid event", "message": "Event object is invalid", "errors": [why]})


class GoAlertServer(Desk):
    kind = "goalert"
    secrets: ClassVar = {"TOKEN": "canary-goalert-token", "CALLBACK_SECRET": "canary-goalert-path"}

    def config(self, **more: Any) -> PagerConfig:
        return PagerConfig(name="p", kind=self.kind, url=self.url, secrets=self.secrets, **more)

    def handle(self, asked: Asked) -> Reply:
        if asked.path != "/api/v2/generic/incoming":
            return Reply(404)
        if asked.headers.get("authorization") != f"Bearer {self.secrets['TOKEN']}":
            return Reply(401)
        assert asked.headers["content-type"] == "application/json"
        row = asked.json
        assert 0 < len(row["summary"]) <= 118
        if row.get("action") == "close":
            self.open.pop(row["dedup"], None)
            return Reply(200, {})
        rung = self.trigger(row["dedup"], row["summary"])
        number = self.rung.index(rung) + 70
        return Reply(200, {"_id": number, "status": "triggered", "summary": row["summary"], "source": "generic"})

    def refuses(self) -> Reply:
        return Reply(403)

    def throttles(self) -> Reply:
        return Reply(429, None, {"retry-after": "1"})

    def answers(self, rung: Rung, *, digits: str = "", forged: bool = False) -> dict[str, Any]:
        did = {"": "Escalated to step #1", "1": "Acknowledged by Chen (SMS)", "2": "Escalated to step #2 by Chen"}
        number = self.rung.index(rung) + 70
        row = {"AppName": "GoAlert", "Type": "AlertStatus", "AlertID": number, "LogEntry": did[digits]}
        secret = "guessed" if forged else self.secrets["CALLBACK_SECRET"]
        return {"headers": {"X-Webhook-Signature": "bm90"}, "body": json.dumps(row).encode(), "secret": secret}


class FlashDutyServer(Desk):
    kind = "flashduty"
    secrets: ClassVar = {"INTEGRATION_KEY": "canary-flashduty-key", "CALLBACK_SECRET": "canary-flashduty-path"}

    def config(self, **more: Any) -> PagerConfig:
        return PagerConfig(name="p", kind=self.kind, url=self.url, secrets=self.secrets, **more)

    def handle(self, asked: Asked) -> Reply:
        if asked.path != "/event/push/alert/standard":
            return self._error(404, "RouteNotFound", "no such route")
        if asked.query.get("integration_key") != self.secrets["INTEGRATION_KEY"]:
            return self._error(400, "InvalidParameter", "integration_key is not a valid one")
        row = asked.json
        if row["event_status"] not in ("Critical", "Warning", "Info", "Ok") or len(row["alert_key"]) > 255:
            return self._error(400, "InvalidParameter", "event_status")
        if row["event_status"] == "Ok":
            self.open.pop(row["alert_key"], None)
        else:
            self.trigger(row["alert_key"], row["title_rule"])
        return Reply(200, {"request_id": "0ace", "data": {"alert_key": row["alert_key"]}})

    def refuses(self) -> Reply:
        return self._error(400, "NoLicense", "insufficient licenses")

    def throttles(self) -> Reply:
        return self._error(429, "RequestTooFrequently", "too frequent", {"retry-after": "5"})

    def answers(self, rung: Rung, *, digits: str = "", forged: bool = False) -> dict[str, Any]:
        kind = {"": "i_new", "1": "i_ack", "2": "i_assign"}[digits]
        incident = {"incident_id": "64b1352e", "title": rung.said, "dedup_key": "", "labels": {"warroom_key": rung.key}}
        row: dict[str, Any] = {"event_type": kind, "event_id": "fac0", "incident": incident}
        if digits:
            row["person"] = {"person_id": 1, "person_name": "Chen", "email": "chen@example.com"}
        secret = "guessed" if forged else self.secrets["CALLBACK_SECRET"]
        return {"headers": {}, "body": json.dumps(row).encode(), "secret": secret}

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Reply:
        return Reply(status, {"request_id": "0ace", "error": {"code": code, "message": message}}, headers or {})
