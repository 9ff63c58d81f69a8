"""FlashDuty: one standard alert event is one page; who is called, and how, is decided there.

Sources: Flashduty documentation, "Standard alert event integration" and "Incident webhook". Events with the same
alert_key are one alert. The incident webhook is unsigned: the secret is in the address; labels come back with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.adapters.pagers.http import Answer, Http, by_path, refusal, table, without
from bot.app.ports import Given, Heard
from bot.domain.errors import SendFailed
from bot.domain.page import DIGIT_ACK, Callback, CallLimit, CallStatus, Page, short_key
from bot.domain.pager_kinds import PagerConfig
from bot.domain.spoken import plain

API = "https://api.flashcat.cloud"
MOST_KEY = 255
MOST_TITLE = 512
MOST_DESCRIPTION = 2048
LABEL = "warroom_key"
_STATUS = {"sev3": "Warning", "sev4": "Warning", "sev5": "Info"}
_KINDS = {"i_new": CallStatus.RINGING, "i_ack": CallStatus.ANSWERED, "i_rslv": CallStatus.ANSWERED}


class FlashDutyPager:
    """Implements `Pager`, `HangsUp` and `Listens`."""

    def __init__(self, config: PagerConfig, *, keys: bool) -> None:
        # Keys are pressed in its own calls: `keys` changes nothing here.
        self.name = config.name
        self.limits: Sequence[CallLimit] = ()
        self._url = (config.url or API).rstrip("/") + "/event/push/alert/standard"
        self._key = config.secrets["INTEGRATION_KEY"]
        self._path_secret = config.secrets.get("CALLBACK_SECRET", "")
        self._http = Http(config.timeout_s)

    async def call(self, page: Page) -> str:
        """Push the alert; returns its alert_key."""
        key = page.key if len(page.key) <= MOST_KEY else short_key(page.key)
        labels = {LABEL: page.key, "incident": page.incident, "severity": page.severity, "who": page.person.name}
        return await self._push(
            {
                "event_status": _STATUS.get(page.severity.lower(), "Critical"),
                "alert_key": key,
                # A title is a template there; the marks of one are taken out.
                "title_rule": plain(f"{page.incident} {page.severity} {page.title}", MOST_TITLE),
                "description": f"{page.text}\n{page.ack_url}\n{page.meeting_url}".strip()[:MOST_DESCRIPTION],
                "labels": {name: value for name, value in labels.items() if value},
            },
            key,
        )

    async def hang_up(self, ref: str) -> None:
        """Recover the alert, which closes its incident."""
        await self._push({"event_status": "Ok", "alert_key": ref, "title_rule": "Warroom"}, ref)

    def read(self, given: Given) -> Heard:
        """An incident event: acknowledged or closed by a person counts as key 1."""
        by_path(given, self._path_secret)
        heard = _callback(table(given.body))
        return Heard(said=(heard,) if heard else (), insists=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _push(self, event: Mapping[str, Any], key: str) -> str:
        answer = await self._http.ask("POST", self._url, params={"integration_key": self._key}, json=dict(event))
        if not answer.ok or isinstance(answer.json().get("error"), dict):
            raise self._refused(answer)
        data = answer.json().get("data")
        return str(data.get("alert_key") or key) if isinstance(data, dict) else key

    def _refused(self, answer: Answer) -> SendFailed:
        error = answer.json().get("error")
        if not isinstance(error, dict):
            return refusal(answer)
        why = without(f"{error.get('code')}: {error.get('message') or ''}", (self._key,))
        return refusal(answer, why) if not answer.ok else SendFailed(why, permanent=True)


def _callback(row: Mapping[str, Any]) -> Callback | None:
    incident, person = row.get("incident"), row.get("person")
    status = _KINDS.get(str(row.get("event_type")))
    if not isinstance(incident, dict) or status is None:
        return None
    labels = incident.get("labels")
    found = (labels.get(LABEL) if isinstance(labels, dict) else None, incident.get("dedup_key"))
    refs = tuple(str(one) for one in found if one)
    by = str(person.get("person_name") or "")[:80] if isinstance(person, dict) else ""
    pressed = status is CallStatus.ANSWERED
    if not refs or (pressed and not by):
        return None
    return Callback(status=status, digits=DIGIT_ACK if pressed else "", refs=refs, by=by)
