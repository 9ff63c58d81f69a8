"""The lab's switches for the web console. The web app mounts these behind its own authentication."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.domain.text import Text
from bot.lab.loopback.control import LabError, LoopbackLab

_ERRORS = {
    400: Text("请求格式不对", "the request is malformed"),
    404: Text("没有这一项", "there is no such thing"),
    409: Text("这个电话没有在响铃", "this call is not ringing"),
}
_AWAY = Text("演练环境没有响应", "the lab does not answer")


def lab_routes(lab: LoopbackLab) -> list[Route]:
    """GET /lab/state, POST /lab/lift, POST /lab/fault {"name"}, POST /lab/phone {"key", "digits"}.

    Each answers with the lab's state, or 4xx/503 {"error": {"zh", "en"}, "detail"}.
    """

    async def state(_: Request) -> dict[str, Any]:
        return await lab.state()

    async def lift(_: Request) -> dict[str, Any]:
        return await lab.lift()

    async def fault(request: Request) -> dict[str, Any]:
        given = await request.json()
        return await lab.set_fault(str(given["name"]))

    async def phone(request: Request) -> dict[str, Any]:
        given = await request.json()
        return await lab.press(str(given["key"]), str(given["digits"]))

    return [
        Route("/lab/state", _guarded(state), methods=["GET"]),
        Route("/lab/lift", _guarded(lift), methods=["POST"]),
        Route("/lab/fault", _guarded(fault), methods=["POST"]),
        Route("/lab/phone", _guarded(phone), methods=["POST"]),
    ]


def _guarded(
    work: Callable[[Request], Awaitable[dict[str, Any]]],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await work(request))
        except LabError as exc:
            return _problem(exc.status or 503, str(exc))
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as exc:
            return _problem(400, f"{type(exc).__name__} {exc}")

    return endpoint


def _problem(status: int, detail: str) -> Response:
    text = _ERRORS.get(status, _AWAY)
    return JSONResponse({"error": text.to_json(), "detail": detail}, status_code=status)
