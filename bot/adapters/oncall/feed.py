"""`/api/v1/oncall/NAME.ics`: a schedule as a calendar to subscribe to.

Calendar services send no headers, so the address carries a token of its own that opens this calendar and nothing else;
the API's bearer token does as well.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.adapters.oncall.ical import EXPORTED, write_shifts
from bot.domain.schedule import Shift
from bot.domain.text import Lang, lang_of

Shifts = Callable[[str, timedelta], Awaitable[Sequence[Shift] | None]]
"""(schedule, how far ahead) -> its shifts from now on, None for an unknown one."""
HEADERS = {"Cache-Control": "private, max-age=300", "X-Content-Type-Options": "nosniff"}


class Feeds:
    """Addresses of calendars, and who may read them."""

    def __init__(self, *, secret: bytes, base_url: str, api_token: str) -> None:
        self._secret = secret
        self._base = base_url
        self._api_token = api_token

    def link(self, schedule: str) -> str:
        """The address to subscribe to."""
        return f"{self._base}/api/v1/oncall/{quote(schedule, safe='')}.ics?token={self._token(schedule)}"

    def may(self, schedule: str, *, token: str, authorization: str) -> bool:
        """Whether one of the two tokens is right."""
        scheme, _, shown = authorization.partition(" ")
        bearer = shown.strip() if scheme.lower() == "bearer" else ""
        api = bool(self._api_token) and hmac.compare_digest(bearer.encode(), self._api_token.encode())
        return hmac.compare_digest(token.encode(), self._token(schedule).encode()) or api

    def _token(self, schedule: str) -> str:
        return hmac.new(self._secret, f"calendar:{schedule}".encode(), hashlib.sha256).hexdigest()[:40]


def routes(feeds: Feeds, shifts: Shifts, *, lang: Lang) -> list[Route]:
    """The calendar of every schedule; `?lang=en` or `zh` chooses its words."""

    async def calendar(request: Request) -> Response:
        name, query = request.path_params["name"], request.query_params
        if not feeds.may(name, token=query.get("token", ""), authorization=request.headers.get("authorization", "")):
            said = "the address of this calendar has a token in it: GET /api/v1/oncall lists them"
            return JSONResponse({"error": said}, 401, {"WWW-Authenticate": "Bearer"})
        found = await shifts(name, EXPORTED)
        if found is None:
            return JSONResponse({"error": f"no schedule {name!r}"}, 404)
        spoken = lang_of(query.get("lang", ""), lang)
        body = write_shifts(found, schedule=name, lang=spoken, now=datetime.now(UTC))
        return Response(body, media_type="text/calendar; charset=utf-8", headers=HEADERS)

    return [Route("/api/v1/oncall/{name}.ics", calendar, include_in_schema=False)]
