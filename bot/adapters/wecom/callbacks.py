"""Where WeCom calls back: /wecom/callback for the application, /wecom/bot for the robot in callback mode.

What is forged, old, malformed or too large is answered 4xx and written to the log; nothing of it is carried out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bot.adapters.wecom.application import Application
from bot.adapters.wecom.envelope import MOST, Envelope, NotGenuine, encrypted_in, fields_of
from bot.adapters.wecom.intake import Intake
from bot.adapters.wecom.polled import PolledRobot
from bot.adapters.wecom.reading import Heard, Unreadable, app_message, robot_message
from bot.domain.errors import SendFailed, StoreUnavailable
from bot.domain.platforms import WeComApp, WeComBot

log = logging.getLogger("warroom.wecom")

ANSWER_S = 4.0
"""WeCom waits five seconds and then calls again."""
Handler = Callable[[Request], Awaitable[Response]]


def route(path: str, envelope: Envelope, receive: Handler, now: Callable[[], float] = time.time) -> Route:
    """GET proves that the address is ours, POST is `receive`."""

    async def serve(request: Request) -> Response:
        try:
            if request.method in ("GET", "HEAD"):
                echo = request.query_params.get("echostr", "")
                return PlainTextResponse(envelope.open(request.query_params, echo, now=now()))
            return await receive(request)
        except NotGenuine as exc:
            log.warning("%s: refused: %s", path, exc)
            return PlainTextResponse("", exc.status)
        except Unreadable as exc:
            log.warning("%s: not understood: %s", path, exc)
            return PlainTextResponse("", 400)
        except StoreUnavailable as exc:
            # WeCom calls again, and by then it may be recorded.
            log.error("%s: not recorded: %s", path, exc)
            return PlainTextResponse("", 503)

    return Route(path, serve, methods=["GET", "POST"])


async def body_of(request: Request) -> bytes:
    """The body, as far as it is one of WeCom's. Raises NotGenuine."""
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > MOST:
            raise NotGenuine(f"more than {MOST} bytes", status=413)
    return raw


class AppCallback:
    """Messages to the application, its events and the buttons of its cards."""

    def __init__(
        self, app: WeComApp, application: Application, intake: Intake, now: Callable[[], float] = time.time
    ) -> None:
        self._app, self._application, self._intake, self._now = app, application, intake, now
        self._envelope = Envelope(app.token, app.aes_key, app.corp_id)
        self._tasks: set[asyncio.Task[None]] = set()

    def route(self) -> Route:
        """For the server."""
        return route("/wecom/callback", self._envelope, self._receive, self._now)

    async def _receive(self, request: Request) -> Response:
        encrypted = encrypted_in(await body_of(request))
        xml = self._envelope.open(request.query_params, encrypted, now=self._now())
        heard = app_message(fields_of(xml), corp=self._app.corp_id, agent=self._app.agent_id)
        task = asyncio.create_task(self._take(heard))
        done, _ = await asyncio.wait([task], timeout=ANSWER_S)
        if done:
            await task
        else:
            # It goes on; WeCom must not call again meanwhile.
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        return PlainTextResponse("")

    async def _take(self, heard: Heard) -> None:
        if heard.text:
            await self._intake.take(heard)
        if heard.key and heard.text and heard.response:
            task = asyncio.create_task(self._application.show_press(heard))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, (SendFailed, StoreUnavailable)):
            log.warning("/wecom/callback: %s", error)
        elif error is not None:
            log.error("/wecom/callback", exc_info=error)


class RobotCallback:
    """Messages to the robot, refreshes of its streams, and the buttons of its cards."""

    def __init__(self, bot: WeComBot, robot: PolledRobot, now: Callable[[], float] = time.time) -> None:
        self._bot, self._robot, self._now = bot, robot, now
        self._envelope = Envelope(bot.token, bot.aes_key, "")

    def route(self) -> Route:
        """For the server."""
        return route("/wecom/bot", self._envelope, self._receive, self._now)

    async def _receive(self, request: Request) -> Response:
        outer = _json(await body_of(request))
        encrypted = outer.get("encrypt")
        if not isinstance(encrypted, str) or not encrypted:
            raise NotGenuine("the body has no encrypt")
        body = _json(self._envelope.open(request.query_params, encrypted, now=self._now()).encode())
        answer = await self._answer(body)
        if answer is None:
            return PlainTextResponse("")
        plain = json.dumps(answer, ensure_ascii=False)
        stamp, nonce = str(int(self._now())), request.query_params.get("nonce", "")
        return JSONResponse(self._envelope.seal(plain, stamp=stamp, nonce=nonce))

    async def _answer(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if body.get("msgtype") == "stream":
            stream = body.get("stream")
            ident = stream.get("id") if isinstance(stream, Mapping) else None
            if not isinstance(ident, str):
                raise Unreadable("stream.id is missing")
            return self._robot.refresh(ident)
        return await self._robot.answer(robot_message(body, self._bot.name))


def _json(raw: bytes) -> Mapping[str, Any]:
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise NotGenuine("no JSON") from exc
    if not isinstance(row, dict):
        raise NotGenuine("no JSON object")
    return row
