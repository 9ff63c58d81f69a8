"""PagerDuty: one event (Events API v2) is one page; who is called, and how, is decided there.

Sources: PagerDuty developer documentation, "Events API v2", "Webhooks v3" and "Verifying Signatures". Events with the
same dedup_key are one alert, so the same page sent twice notifies once. An alert is resolved when nobody needs to be
called any more.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from bot.adapters.pagers.http import Answer, Http, refusal, table, without
from bot.app.ports import Given, Heard
from bot.domain.errors import SendFailed
from bot.domain.page import DIGIT_ACK, Callback, CallLimit, CallStatus, Page, short_key
from bot.domain.pager_kinds import PagerConfig
from bot.domain.spoken import plain
from bot.domain.webhooks import BadSignature

API = "https://events.pagerduty.com"
MOST_KEY = 255
MOST_SUMMARY = 1024
_SEVERITY = {"sev1": "critical", "sev2": "error", "sev3": "warning", "sev4": "info", "sev5": "info"}
_MOST_SIGNATURES = 16


class PagerDutyPager:
    """Implements `Pager`, `HangsUp` and `Listens`."""

    def __init__(self, config: PagerConfig, *, keys: bool) -> None:
        # Keys are pressed in its own calls: `keys` changes nothing here.
        self.name = config.name
        self.limits: Sequence[CallLimit] = ()
        self._url = (config.url or API).rstrip("/") + "/v2/enqueue"
        self._routing_key = config.secrets["ROUTING_KEY"]
        self._secrets = [s for s in (config.secrets.get(k, "") for k in ("WEBHOOK_SECRET", "OLD_WEBHOOK_SECRET")) if s]
        self._http = Http(config.timeout_s)

    async def call(self, page: Page) -> str:
        """Trigger an alert; returns its dedup_key."""
        key = page.key if len(page.key) <= MOST_KEY else short_key(page.key)
        title = plain(page.title, MOST_SUMMARY - 60)
        payload = {
            "summary": f"[{page.incident}] {page.severity} {title} ({page.person.name})"[:MOST_SUMMARY],
            "source": "warroom",
            "severity": _SEVERITY.get(page.severity.lower(), "critical"),
            "custom_details": {"text": page.text, "who": page.person.name, "incident": page.incident, "key": page.key},
        }
        links = [{"href": page.ack_url, "text": "Acknowledge in Warroom"}] if page.ack_url.startswith("http") else []
        if page.meeting_url:
            links.append({"href": page.meeting_url, "text": "Meeting"})
        return await self._event("trigger", key, {"payload": payload, "links": links})

    async def hang_up(self, ref: str) -> None:
        """Resolve the alert: its only purpose was to make somebody's phone ring."""
        await self._event("resolve", ref, {})

    def read(self, given: Given) -> Heard:
        """An event of a v3 webhook subscription; an acknowledgement or a resolution by a person counts as key 1."""
        _check(given, self._secrets)
        event = table(given.body).get("event")
        heard = _callback(event) if isinstance(event, dict) else None
        return Heard(said=(heard,) if heard else (), insists=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _event(self, action: str, key: str, more: Mapping[str, Any]) -> str:
        event = {
            "routing_key": self._routing_key,
            "event_action": action,
            "dedup_key": key,
            "client": "Warroom",
            **more,
        }
        answer = await self._http.ask("POST", self._url, json=event)
        if not answer.ok:
            raise self._refused(answer)
        return str(answer.json().get("dedup_key") or key)

    def _refused(self, answer: Answer) -> SendFailed:
        row = answer.json()
        errors = row.get("errors")
        words = [str(row.get("message") or ""), *(str(e) for e in errors if isinstance(errors, list))] if errors else []
        return refusal(answer, without("; ".join(filter(None, words)), (self._routing_key,)))


def _check(given: Given, secrets: Sequence[str]) -> None:
    """Raise BadSignature unless one `v1=` of X-PagerDuty-Signature is HMAC-SHA256 of the body by one of the secrets."""
    found = {name.lower(): value for name, value in given.headers.items()}.get("x-pagerduty-signature", "")
    if not found:
        raise BadSignature("header x-pagerduty-signature is missing")
    offered = [word.strip().encode() for word in found.split(",")[:_MOST_SIGNATURES]]
    wanted = [("v1=" + hmac.new(s.encode(), given.body, hashlib.sha256).hexdigest()).encode() for s in secrets]
    matches = [hmac.compare_digest(want, offer) for want in wanted for offer in offered]
    if not any(matches):
        raise BadSignature("x-pagerduty-signature does not fit the webhook secret configured here")


def _callback(event: Mapping[str, Any]) -> Callback | None:
    data, agent = event.get("data"), event.get("agent")
    ref = str(data.get("incident_key") or "") if isinstance(data, dict) else ""
    if not ref:
        return None
    person = agent if isinstance(agent, dict) and str(agent.get("type", "")).startswith("user") else None
    kind = event.get("event_type")
    if kind == "incident.triggered":
        return Callback(status=CallStatus.RINGING, refs=(ref,))
    if kind == "incident.acknowledged" or (kind == "incident.resolved" and person):
        by = str(person.get("summary") or "")[:80] if person else ""
        return Callback(status=CallStatus.ANSWERED, digits=DIGIT_ACK, refs=(ref,), by=by)
    return None
