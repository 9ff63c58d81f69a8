"""GoAlert: one alert on a service (generic API) is one page; who is called, and how, is decided there.

Sources: GoAlert's own source, `genericapi` and `notification/webhook`. An open alert with the same `dedup` is the same
alert. It reports by a webhook contact method, signed with a key that it shows nobody: the secret is in the address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.adapters.pagers.http import Http, by_path, refusal, table
from bot.app.ports import Given, Heard
from bot.domain.page import DIGIT_ACK, Callback, CallLimit, CallStatus, Page
from bot.domain.pager_kinds import PagerConfig
from bot.domain.spoken import plain

MOST_SUMMARY = 118
"""What every version keeps whole; newer ones keep 1024."""
MOST_DETAILS = 6 * 1024
_BY_SOMEBODY = re.compile(r"(?:Acknowledged|Closed) by (?P<who>.+?)(?: \([^()]*\))?")
"""What a person did; what an integration did, ours among them, reads "via". The way follows in brackets."""


class GoAlertPager:
    """Implements `Pager`, `HangsUp` and `Listens`. References: "NAME#ID KEY", as reports name the ID."""

    def __init__(self, config: PagerConfig, *, keys: bool) -> None:
        # Keys are pressed in its own calls: `keys` changes nothing here.
        self.name = config.name
        self.limits: Sequence[CallLimit] = ()
        self._url = config.url.rstrip("/") + "/api/v2/generic/incoming"
        self._token = config.secrets["TOKEN"]
        self._path_secret = config.secrets.get("CALLBACK_SECRET", "")
        self._http = Http(config.timeout_s)

    async def call(self, page: Page) -> str:
        """Create the alert, or find it open; returns its number and key."""
        lead = f"{page.incident} {plain(page.severity, 20)} "
        alert = {
            "summary": lead + plain(page.title, MOST_SUMMARY - len(lead)),
            "details": f"{page.text}\n\n{page.ack_url}\n{page.meeting_url}".strip()[:MOST_DETAILS],
            "dedup": page.key,
        }
        row = await self._post(alert)
        # `_id` until the alert's JSON became the answer's; both name the alert of the notifications.
        ident = row.get("AlertID") or row.get("_id") or row.get("id") or ""
        return f"{self._alert(ident)} {page.key}" if ident else page.key

    async def hang_up(self, ref: str) -> None:
        """Close the alert."""
        first, _, rest = ref.partition(" ")
        key = rest if first.startswith(self._alert("")) else ref
        await self._post({"summary": "closed by Warroom", "dedup": key, "action": "close"})

    def read(self, given: Given) -> Heard:
        """A status update of an alert: acknowledged or closed by somebody counts as key 1."""
        by_path(given, self._path_secret)
        heard = _callback(table(given.body), self._alert)
        return Heard(said=(heard,) if heard else (), insists=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _alert(self, ident: object) -> str:
        # Two GoAlerts count their alerts from 1 each.
        return f"{self.name}#{ident}"

    async def _post(self, alert: Mapping[str, str]) -> Mapping[str, Any]:
        # The token goes into a header: addresses end up in logs.
        head = {"authorization": f"Bearer {self._token}", "accept": "application/json"}
        answer = await self._http.ask("POST", self._url, json=dict(alert), headers=head)
        if not answer.ok:
            raise refusal(answer)
        return answer.json()


def _callback(row: Mapping[str, Any], name: Callable[[object], str]) -> Callback | None:
    found = _BY_SOMEBODY.fullmatch(str(row.get("LogEntry") or "")[:500].strip())
    ident = str(row.get("AlertID") or "")
    if row.get("Type") != "AlertStatus" or found is None or not ident:
        return None
    return Callback(status=CallStatus.ANSWERED, digits=DIGIT_ACK, refs=(name(ident),), by=found["who"][:80])
