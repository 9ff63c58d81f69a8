"""The console's pages and the calls its scripts make."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from bot.adapters.console.backend import ConsoleBackend
from bot.adapters.console.events import stream
from bot.adapters.console.guard import problem
from bot.adapters.console.pages import Look, Pages, remember
from bot.adapters.console.platform import ConsolePlatform
from bot.adapters.console.render import Renderer
from bot.adapters.console.sessions import COOKIE, Sessions
from bot.adapters.console.timeline import FILTERS, TimelineView
from bot.adapters.console.words import WORDS
from bot.domain.command import MAX_LENGTH
from bot.domain.errors import UserError
from bot.domain.incident import Incident, Room, Search
from bot.domain.text import LANGS, Text, lang_of

ID_LENGTH = 80
PAGE = 200
"""Entries of a timeline on one page."""
LONGEST_SEARCH = 100


class Web(Pages):
    """The endpoints; `routes` says where they live and who may call them."""

    def __init__(
        self, *, backend: ConsoleBackend, platform: ConsolePlatform, sessions: Sessions, renderer: Renderer, look: Look
    ) -> None:
        super().__init__(backend=backend, renderer=renderer, look=look)
        self._platform = platform
        self._sessions = sessions

    async def chat(self, request: Request) -> Response:
        """GET /?room=: the room with its messages."""
        rooms = await self._backend.rooms()
        wanted = request.query_params.get("room")
        room = next((r for r in rooms if r.key == wanted), None)
        if wanted and room is None:
            return self._nothing(request, WORDS["no_room"])
        room = room or (rooms[0] if rooms else None)
        lang = room.lang if room else self._lang(request)
        rows = await self._backend.messages(room.key) if room else ()
        articles = [self._renderer.message(*row, lang) for row in rows]
        playbooks = [(f"/diag {name}", title) for name, title in self._look.playbooks()]
        return await self._page(
            request,
            "chat.html",
            lang,
            room=room,
            here=room.key if room else "",
            articles=articles,
            playbooks=playbooks,
            lab=self._look.lab,
        )

    async def rail(self, request: Request) -> Response:
        """GET /console/rail?room=: the list of rooms and open incidents, as HTML."""
        lang = lang_of(request.query_params.get("lang", ""), self._look.lang)
        values = await self._rail_values(request)
        return HTMLResponse(self._renderer.page("rail.html", lang, **values))

    async def incidents(self, request: Request) -> Response:
        """GET /incidents?q=&severity=&state=open|over: newest first."""
        asked = request.query_params
        search = Search(
            text=asked.get("q", "")[:LONGEST_SEARCH],
            severity=asked.get("severity", "")[:LONGEST_SEARCH],
            is_open={"open": True, "over": False}.get(asked.get("state", "")),
        )
        found = await self._backend.incidents(search=search)
        query = urlencode([(key, value) for key, value in asked.items() if key in ("q", "severity", "state") and value])
        return await self._live_page(
            request, "incidents", self._lang(request), incidents=found, search=search, query=query
        )

    async def incident(self, request: Request) -> Response:
        """GET /incidents/{id}: its facts and its timeline."""
        name = request.path_params["id"]
        incident = await self._backend.incident(name)
        if incident is None:
            return self._nothing(request, Text(f"没有故障 {name}", f"there is no incident {name}"))
        room = await self._room(incident.room)
        look = await self._timeline(request, f"/incidents/{quote(incident.id)}", incident=incident)
        return await self._live_page(
            request,
            "incident",
            self._lang(request, room),
            incident=incident,
            lasted=self._lasted(incident),
            room=room,
            look=look,
            entries=self._renderer.entries(look.page, look.corrections, start=incident.opened_at),
            evidence=await self._backend.evidence(incident),
        )

    async def timeline(self, request: Request) -> Response:
        """GET /timeline?room=: everything recorded in a room."""
        rooms = await self._backend.rooms()
        key = request.query_params.get("room") or (rooms[0].key if rooms else "")
        room = next((r for r in rooms if r.key == key), None)
        if room is None and request.query_params.get("room"):
            return self._nothing(request, WORDS["no_room"])
        look = await self._timeline(request, "/timeline", room=key)
        lang = self._lang(request, room)
        entries = self._renderer.entries(look.page, look.corrections)
        return await self._live_page(request, "timeline", lang, room=room, look=look, entries=entries)

    async def _timeline(
        self, request: Request, path: str, *, room: str | None = None, incident: Incident | None = None
    ) -> TimelineView:
        """The page of the timeline that the address asks for; what it asks wrongly is said there."""
        typed = {key: request.query_params.get(key, "")[:200] for key in FILTERS}
        words, options = typed["q"].split(), {key: value for key, value in typed.items() if key != "q"}
        read = partial(self._backend.timeline, room=room, incident=incident, limit=PAGE)
        problem: Text | None = None
        try:
            answer = await read(options=options, words=words)
        except UserError as error:
            answer, problem = await read(), error.text
        return TimelineView(path=path, room=room or "", typed=typed, answer=answer, problem=problem)

    async def agents(self, request: Request) -> Response:
        """GET /agents: every vantage point and how it is."""
        return await self._live_page(request, "agents", self._lang(request), agents=self._backend.agents())

    async def messages(self, request: Request) -> Response:
        """GET /console/rooms/{room}/messages: [{key, rev, at, html, author}], oldest first."""
        room = await self._room(request.path_params["room"])
        if room is None:
            return problem(404, WORDS["no_room"])
        rows = await self._backend.messages(room.key)
        return JSONResponse([self._renderer.row(*row, room.lang) for row in rows])

    async def say(self, request: Request) -> Response:
        """POST /console/rooms/{room}/say {text, id}: 202 once it is taken in."""
        given = await _object(request)
        text, message_id = given.get("text"), given.get("id")
        if not (isinstance(text, str) and isinstance(message_id, str) and 0 < len(message_id) <= ID_LENGTH):
            return problem(400, WORDS["bad_request"])
        if not text.strip() or len(text) > MAX_LENGTH:
            return problem(400, WORDS["bad_request"])
        room = await self._room(request.path_params["room"])
        if room is None:
            return problem(404, WORDS["no_room"])
        await self._backend.say(room=room.key, user=request.state.user, text=text, message_id=message_id)
        return JSONResponse({"id": message_id}, 202)

    async def language(self, request: Request) -> Response:
        """POST /console/rooms/{room}/language {lang}: the room's language from now on."""
        lang = (await _object(request)).get("lang")
        if lang not in LANGS:
            return problem(400, WORDS["bad_request"])
        room = await self._room(request.path_params["room"])
        if room is None:
            return problem(404, WORDS["no_room"])
        await self._backend.set_language(room.key, lang)
        self._platform.refresh(room.key)
        response = JSONResponse({"lang": lang})
        remember(response, lang, secure=self._look.secure)
        return response

    async def events(self, request: Request) -> Response:
        """GET /console/events?room=: what is said there, as it is said."""
        room = await self._room(request.query_params.get("room", ""))
        if room is None:
            return problem(404, WORDS["no_room"])
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        return StreamingResponse(self._listen(request, room), media_type="text/event-stream", headers=headers)

    async def _listen(self, request: Request, room: Room) -> AsyncIterator[str]:
        cookie = request.cookies.get(COOKIE)
        with self._platform.subscribe(room.key) as subscription:
            async for chunk in stream(
                subscription,
                backend=self._backend,
                renderer=self._renderer,
                lang=room.lang,
                alive=lambda: not self._look.stopping() and self._sessions.user(cookie) is not None,
            ):
                yield chunk

    def _lasted(self, incident: Incident) -> float:
        return ((incident.resolved_at or self._look.now()) - incident.opened_at).total_seconds()


async def _object(request: Request) -> dict[str, Any]:
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}
