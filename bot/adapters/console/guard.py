"""What every request passes: the host it names, who asks, and whether our own page sent it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from bot.adapters.console.sessions import COOKIE, Sessions
from bot.adapters.console.words import WORDS
from bot.domain.errors import StoreUnavailable, UserError
from bot.domain.text import Text

Endpoint = Callable[[Request], Awaitable[Response]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_HEADER = "x-warroom"
"""Our scripts set it; a foreign page cannot without asking us first (CORS), and we never say yes."""


class Guard:
    """Wraps endpoints. `allowed_hosts` are the names and addresses, without port, this server answers to."""

    def __init__(self, sessions: Sessions, *, allowed_hosts: Collection[str]) -> None:
        self._sessions = sessions
        self._hosts = {host.lower().strip("[]") for host in allowed_hosts}

    def open(self, endpoint: Endpoint) -> Endpoint:
        """For everybody, under one of our own names (DNS rebinding)."""

        async def guarded(request: Request) -> Response:
            if host_of(request.headers.get("host", "")) not in self._hosts:
                return _dressed(PlainTextResponse("this server does not answer to that name\n", 421))
            return _dressed(await endpoint(request))

        return guarded

    def page(self, endpoint: Endpoint) -> Endpoint:
        """For people who are signed in; others are shown the way to the login page."""

        async def guarded(request: Request) -> Response:
            request.state.user = self._sessions.user(request.cookies.get(COOKIE))
            if request.state.user is None:
                return _to_login(request)
            try:
                return await endpoint(request)
            except StoreUnavailable:
                return HTMLResponse(_AWAY_PAGE, 503, headers={"Retry-After": "3"})

        return self.open(guarded)

    def api(self, endpoint: Endpoint) -> Endpoint:
        """For our own scripts with a session: 401 without one, 403 for a change another site asks for."""

        async def guarded(request: Request) -> Response:
            request.state.user = self._sessions.user(request.cookies.get(COOKIE))
            if request.state.user is None:
                return problem(401, WORDS["signed_out"])
            if request.method not in SAFE and not (OWN_HEADER in request.headers and from_here(request)):
                return problem(403, WORDS["foreign"])
            try:
                return await endpoint(request)
            except UserError as error:
                return problem(422, error.text)
            except StoreUnavailable:
                return problem(503, WORDS["store_away"])

        return self.open(guarded)

    def protect(self, routes: Sequence[Route]) -> list[Route]:
        """The same routes behind the session and the check of origin."""
        return [Route(r.path, self.api(r.endpoint), methods=sorted(r.methods or ["GET"])) for r in routes]


def host_of(header: str) -> str:
    """The name in a Host header, lower case, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def from_here(request: Request) -> bool:
    """Whether a page of ours sent this: Fetch Metadata where the browser has it, and the origin it names."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        return False
    same = origin is None or urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    return same and site in (None, "same-origin")


def problem(status: int, text: Text) -> JSONResponse:
    """An error for our own scripts: {"error": {"zh", "en"}}."""
    return JSONResponse({"error": text.to_json()}, status)


def _dressed(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _to_login(request: Request) -> Response:
    if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
        # A strict cookie stays at home when a link in another program's page leads here; asking once more does not.
        return HTMLResponse('<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0">')
    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(where, safe='')}", 303)


_AWAY_PAGE = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="3"><title>Warroom</title>'
    f"<p>{WORDS['store_away'].zh}</p><p>{WORDS['store_away'].en}</p>"
)
