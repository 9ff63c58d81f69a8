"""Where everything of the console lives."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from bot.adapters.console.backend import ConsoleBackend
from bot.adapters.console.guard import Guard
from bot.adapters.console.login import Login
from bot.adapters.console.overview import Overview
from bot.adapters.console.pages import Look
from bot.adapters.console.platform import ConsolePlatform
from bot.adapters.console.render import Renderer
from bot.adapters.console.sessions import Sessions
from bot.adapters.console.web import Web

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def routes(
    *,
    backend: ConsoleBackend,
    platform: ConsolePlatform,
    sessions: Sessions,
    allowed_hosts: Collection[str],
    renderer: Renderer | None = None,
    look: Look | None = None,
    protected: Sequence[Route] = (),
) -> list[BaseRoute]:
    """The console for a Starlette or FastAPI application.

    `allowed_hosts` are names or addresses without port. `protected` are further routes, such as the lab's, that
    get the console's session and check of origin.
    """
    renderer, look = renderer or Renderer(), look or Look()
    guard = Guard(sessions, allowed_hosts=allowed_hosts)
    web = Web(backend=backend, platform=platform, sessions=sessions, renderer=renderer, look=look)
    overview = Overview(backend=backend, renderer=renderer, look=look)
    login = Login(sessions=sessions, renderer=renderer, look=look)
    return [
        Route("/", guard.page(web.chat)),
        Route("/incidents", guard.page(web.incidents)),
        Route("/incidents/{id}", guard.page(web.incident)),
        Route("/timeline", guard.page(web.timeline)),
        Route("/agents", guard.page(web.agents)),
        Route("/oncall", guard.page(overview.on_call)),
        Route("/playbooks", guard.page(overview.playbooks)),
        Route("/reports", guard.page(overview.reports)),
        Route("/reports.csv", guard.page(overview.reports_csv)),
        Route("/login", guard.open(login.form)),
        Route("/login", guard.open(login.enter), methods=["POST"]),
        Route("/logout", guard.open(login.leave), methods=["POST"]),
        Route("/console/rail", guard.api(web.rail)),
        Route("/console/rooms/{room}/messages", guard.api(web.messages)),
        Route("/console/rooms/{room}/say", guard.api(web.say), methods=["POST"]),
        Route("/console/rooms/{room}/language", guard.api(web.language), methods=["POST"]),
        Route("/console/events", guard.api(web.events)),
        Route("/console/static/{name}", guard.open(_Static())),
        *guard.protect(protected),
    ]


class _Static:
    """Our style and scripts, read once."""

    def __init__(self) -> None:
        folder = files("bot.adapters.console").joinpath("static")
        found = {f.name: f.read_bytes() for f in folder.iterdir() if f.name.rpartition(".")[2] in TYPES}
        self._files = {
            name: (content, f'"{hashlib.sha256(content).hexdigest()[:20]}"') for name, content in found.items()
        }

    async def __call__(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:
            return PlainTextResponse("not found\n", 404)
        content, tag = self._files[name]
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers=headers)
