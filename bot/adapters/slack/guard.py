"""In front of Bolt over HTTP: what is too large, unsigned, stale or malformed is refused with 4xx and a log line."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from slack_bolt.async_app import AsyncApp
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from bot.adapters.slack.bolt import dispatch
from bot.adapters.slack.inlet import Inlet
from bot.adapters.slack.read import Unreadable
from bot.app.ports import Clock

log = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024
WINDOW_S = 300
"""docs.slack.dev, verifying requests: older ones may be replays."""
FIELDS = 200
_STAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")


class Refuse(Exception):
    """Answer with this status, and say why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Guard:
    """An ASGI application: checks a request, then hands it to Bolt. Raises ValueError without a signing secret."""

    def __init__(self, app: AsyncApp, inlet: Inlet, *, signing_secret: str, clock: Clock) -> None:
        if not signing_secret.strip():
            raise ValueError("an empty signing secret would let anybody in")
        self._app = app
        self._inlet = inlet
        self._secret = signing_secret.strip().encode()
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        response = await self._answer(Headers(scope=scope), receive)
        await response(scope, receive, send)

    async def _answer(self, headers: Headers, receive: Receive) -> Response:
        try:
            body = await _body(headers, receive)
            self._verify(headers, body)
            text = _utf8(body)
            parsed = parse(text, headers.get("content-type", ""))
            self._inlet.read(parsed)
        except Refuse as exc:
            log.warning("a request to /slack/events was refused (%d): %s", exc.status, exc)
            return PlainTextResponse(f"{exc}\n", exc.status)
        except Unreadable as exc:
            log.warning("a signed request to /slack/events is not readable: %s", exc)
            return PlainTextResponse(f"{exc}\n", 400)
        kept = {"content-type": headers.get("content-type", "")}
        try:
            answer = await dispatch(self._app, text, kept)
        except Exception:
            # Bolt looks into fields of its own before it routes anything.
            log.warning("a signed request to /slack/events is not readable for Bolt", exc_info=True)
            return PlainTextResponse("not readable\n", 400)
        if answer.status >= 500 and answer.status != 503:
            log.error("a signed request to /slack/events could not be handled (%d): %s", answer.status, answer.body)
            return PlainTextResponse("not handled\n", 400)
        kind = answer.first_headers().get("content-type", "text/plain")
        return Response(answer.body, answer.status, media_type=kind)

    def _verify(self, headers: Headers, body: bytes) -> None:
        """docs.slack.dev, verifying requests from Slack. Raises Refuse."""
        stamp, shown = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
        if not stamp or not shown:
            raise Refuse(401, "no signature")
        if not _STAMP.fullmatch(stamp):
            raise Refuse(401, "the timestamp is no number")
        if abs(self._clock.now().timestamp() - int(stamp)) > WINDOW_S:
            raise Refuse(401, "the timestamp is more than five minutes off")
        if not _SIGNATURE.fullmatch(shown):
            raise Refuse(401, "the signature is none")
        if not hmac.compare_digest(signature(self._secret, stamp, body), shown):
            raise Refuse(401, "the signature is not Slack's; is WARROOM_SLACK_SIGNING_SECRET the app's?")


def signature(secret: bytes, stamp: str, body: bytes) -> str:
    """What Slack signs a request with."""
    return "v0=" + hmac.new(secret, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()


def parse(text: str, content_type: str) -> Mapping[str, Any]:
    """The body as an object: JSON, a form, or a form with JSON in its `payload`. Raises Refuse."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return _object(text)
    if kind != "application/x-www-form-urlencoded":
        raise Refuse(400, f"content type {kind[:60]!r}")
    try:
        form = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS, errors="strict"))
    except ValueError as exc:
        raise Refuse(400, "the form cannot be read") from exc
    return _object(form["payload"]) if "payload" in form else form


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Refuse(400, "the JSON cannot be read") from exc
    if not isinstance(found, dict):
        raise Refuse(400, "the JSON is no object")
    return found


async def _body(headers: Headers, receive: Receive) -> bytes:
    if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > MAX_BODY:
        raise Refuse(413, "the request is too large")
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refuse(400, "the connection ended")
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise Refuse(413, "the request is too large")
        if not message.get("more_body", False):
            return bytes(body)


def _utf8(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as exc:
        raise Refuse(400, "the body is not UTF-8") from exc
