"""Pages that look at more than one night: who is on call, what can be diagnosed, how it went lately."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bot.adapters.console.pages import Pages

PERIODS = (7, 30, 90, 365)
"""Days that may be looked back on."""


class Overview(Pages):
    """The endpoints; `routes` says where they live."""

    async def on_call(self, request: Request) -> Response:
        """GET /oncall: every schedule, who has it until when, and who follows."""
        schedules = [_shift(document) for document in await self._backend.on_call()]
        return await self._live_page(request, "oncall", self._lang(request), schedules=schedules)

    async def playbooks(self, request: Request) -> Response:
        """GET /playbooks: what can be diagnosed, what each asks, and from where it would be asked now."""
        ready = [agent for agent in self._backend.agents() if agent.state == "ready"]
        books = self._backend.playbooks()
        return await self._live_page(request, "playbooks", self._lang(request), playbooks=books, ready=ready)

    async def reports(self, request: Request) -> Response:
        """GET /reports?days=: how fast, how long, who was called, what it was."""
        days = _days(request)
        figures = await self._backend.figures(days)
        most = max((family.count for family in figures.causes), default=1)
        return await self._live_page(
            request, "reports", self._lang(request), figures=figures, days=days, periods=PERIODS, most=most
        )

    async def reports_csv(self, request: Request) -> Response:
        """GET /reports.csv?days=: a line for each incident, for a spreadsheet."""
        days = _days(request)
        figures = await self._backend.figures(days)
        name = f"warroom-{figures.until:%Y-%m-%d}-{days}d.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        # The mark tells spreadsheets that this is UTF-8; without it Chinese titles are read as something else.
        return Response("\ufeff" + figures.to_csv(), media_type="text/csv; charset=utf-8", headers=headers)


def _days(request: Request) -> int:
    asked = request.query_params.get("days", "")
    return next((days for days in PERIODS if str(days) == asked), PERIODS[1])


def _shift(document: Any) -> dict[str, Any]:
    """With moments instead of their ISO forms."""
    follows = document["next"]
    return {
        **document,
        "since": _moment(document["since"]),
        "until": _moment(document["until"]),
        "next": {**follows, "since": _moment(follows["since"])} if follows else None,
    }


def _moment(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None
