"""The way in and out: an API token with a name, or a one-time code in the address."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bot.adapters.console.guard import from_here
from bot.adapters.console.pages import LANG_COOKIE, Look, remember
from bot.adapters.console.render import Renderer
from bot.adapters.console.sessions import COOKIE, LIFE_S, Sessions, clean_name
from bot.adapters.console.words import WORDS
from bot.domain.text import Text, lang_of

TOKEN_LENGTH = 512


class Login:
    """GET and POST /login, POST /logout."""

    def __init__(self, *, sessions: Sessions, renderer: Renderer, look: Look) -> None:
        self._sessions = sessions
        self._renderer = renderer
        self._look = look

    async def form(self, request: Request) -> Response:
        """The form; with `?code=` straight in."""
        code = request.query_params.get("code")
        if not code:
            return self._form(request)
        if not self._sessions.may_try(_address(request)):
            return self._form(request, WORDS["too_many"], 429)
        user = self._sessions.redeem(code)
        if user is None:
            self._sessions.failed(_address(request))
            return self._form(request, WORDS["bad_code"], 403)
        return self._enter(user, request.query_params.get("next", "/"))

    async def enter(self, request: Request) -> Response:
        """The form, sent: fields token, name, next."""
        if not from_here(request):
            return self._form(request, WORDS["foreign"], 403)
        if not self._sessions.may_try(_address(request)):
            return self._form(request, WORDS["too_many"], 429)
        async with request.form(max_files=0, max_fields=8) as form:
            token, name = str(form.get("token", ""))[:TOKEN_LENGTH], clean_name(str(form.get("name", "")))
            where = str(form.get("next", "/"))
        if not name or not self._sessions.token_fits(token.strip()):
            self._sessions.failed(_address(request))
            return self._form(request, WORDS["bad_token"], 403, name=name, where=where)
        return self._enter(name, where)

    async def leave(self, request: Request) -> Response:
        """Out."""
        if not from_here(request):
            return self._form(request, WORDS["foreign"], 403)
        self._sessions.revoke(request.cookies.get(COOKIE))
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self._look.secure)
        return response

    def _enter(self, user: str, where: str) -> Response:
        # Only a path of ours: "//host" and "/\\host" are other people's.
        safe = where if where.startswith("/") and where[1:2] not in ("/", "\\") else "/"
        response = RedirectResponse(safe, 303)
        cookie = self._sessions.issue(user)
        secure = self._look.secure
        response.set_cookie(COOKIE, cookie, max_age=int(LIFE_S), httponly=True, samesite="strict", secure=secure)
        return response

    def _form(
        self, request: Request, error: Text | None = None, status: int = 200, *, name: str = "", where: str = ""
    ) -> Response:
        asked = request.query_params.get("lang") or request.cookies.get(LANG_COOKIE)
        lang = lang_of(asked or request.headers.get("accept-language", "")[:2], self._look.lang)
        where = where or request.query_params.get("next", "/")
        response = HTMLResponse(self._renderer.page("login.html", lang, error=error, name=name, where=where), status)
        if request.query_params.get("lang"):
            remember(response, lang, secure=self._look.secure)
        return response


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
