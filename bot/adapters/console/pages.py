"""What all pages of the console share: their frame, their language, and parts that refresh by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bot.adapters.console.backend import ConsoleBackend
from bot.adapters.console.render import Renderer, script_words
from bot.domain.incident import Room, Search
from bot.domain.text import LANGS, Lang, Text, lang_of

LANG_COOKIE = "warroom_lang"
OPEN_ONES = Search(is_open=True)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What differs between installations. `playbooks` are offered while typing: (name, title)."""

    lang: Lang = "zh"
    lab: bool = False
    secure: bool = False
    """Set the cookies for HTTPS only."""
    playbooks: Callable[[], Sequence[tuple[str, Text]]] = lambda: ()
    stopping: Callable[[], bool] = lambda: False
    """Says that the server wants to stop; open event streams end within a second."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Pages:
    """Draws pages from the backend's data."""

    def __init__(self, *, backend: ConsoleBackend, renderer: Renderer, look: Look) -> None:
        self._backend = backend
        self._renderer = renderer
        self._look = look

    async def _live_page(self, request: Request, name: str, lang: Lang, **values: Any) -> Response:
        if "fragment" in request.query_params:
            fragment = self._renderer.page(f"{name}_live.html", lang, now=self._look.now(), **values)
            return HTMLResponse(fragment)
        return await self._page(request, f"{name}.html", lang, **values)

    async def _page(self, request: Request, template: str, lang: Lang, **values: Any) -> Response:
        values = {**await self._rail_values(request), **values}
        frame = {"user": request.state.user, "script_words": script_words(lang), "path": request.url.path}
        zone = str(self._renderer.zone)
        html = self._renderer.page(template, lang, now=self._look.now(), zone=zone, **frame, **values)
        response = HTMLResponse(html)
        if request.query_params.get("lang") in LANGS:
            remember(response, lang, secure=self._look.secure)
        return response

    async def _rail_values(self, request: Request) -> dict[str, Any]:
        opened = await self._backend.incidents(search=OPEN_ONES)
        rooms = await self._backend.rooms()
        return {"rooms": rooms, "open_incidents": opened, "here": request.query_params.get("room") or ""}

    async def _room(self, key: str) -> Room | None:
        return next((r for r in await self._backend.rooms() if r.key == key), None)

    def _lang(self, request: Request, room: Room | None = None) -> Lang:
        asked = request.query_params.get("lang")
        return lang_of(asked or (room.lang if room else request.cookies.get(LANG_COOKIE, "")), self._look.lang)

    def _nothing(self, request: Request, text: Text) -> Response:
        lang = self._lang(request)
        html = self._renderer.page("nothing.html", lang, text=text)
        return HTMLResponse(html, 404)


def remember(response: Response, lang: Lang, *, secure: bool) -> None:
    """Keep the language for pages that belong to no room."""
    response.set_cookie(LANG_COOKIE, lang, max_age=365 * 86400, httponly=True, samesite="lax", secure=secure)
