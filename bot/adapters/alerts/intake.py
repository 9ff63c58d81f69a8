"""`/hooks/alerts/NAME`: monitoring systems tell us what fires (DESIGN, "Public surfaces").

Answers 200 when it is recorded or safely kept, 4xx for what is wrong with the delivery, 503 when neither the database
nor the disk takes it, so that the sender tries again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.adapters.alerts.formats import read
from bot.app.alert_sources import AlertSource
from bot.domain.alert import Alert, BadAlert
from bot.domain.errors import StoreUnavailable, UserError
from bot.domain.text import Text
from bot.domain.webhooks import BadSignature

log = logging.getLogger("warroom.alerts")

MAX_BODY = 2 * 1024 * 1024
"""Bytes of one delivery."""
Taken = Callable[[str, Sequence[Alert]], Awaitable[dict[str, object]]]
"""Takes a source's alerts in; what it returns is the answer. Raises StoreUnavailable."""


def routes(sources: Sequence[AlertSource], taken: Taken) -> list[Route]:
    """The hook of every source."""
    by_name = {source.name: source for source in sources}

    async def take(request: Request) -> Response:
        name = request.path_params["name"]
        source = by_name.get(name)
        if source is None:
            return JSONResponse({"error": f"no source {name!r}; add [[alerts]] to warroom.toml"}, 404)
        body, now = await _body(request), time.time()
        if body is None:
            return JSONResponse({"error": f"longer than {MAX_BODY} bytes"}, 413)
        try:
            source.sender.known(request.headers, body, now=now)
        except BadSignature as exc:
            log.warning("alerts of %s refused: %s", name, exc)
            return JSONResponse({"error": str(exc)}, 401)
        try:
            found = read(source, body, now=datetime.fromtimestamp(now, UTC))
        except BadAlert as exc:
            log.warning("an alert of %s cannot be read: %s", name, exc)
            raise UserError("bad_alert", Text(f"告警无法读取：{exc}", f"not an alert: {exc}")) from exc
        try:
            return JSONResponse(await taken(name, found))
        except StoreUnavailable as exc:
            log.error("alerts of %s could not be kept: %s", name, exc)
            return JSONResponse({"error": "cannot be recorded just now; send it again"}, 503, {"Retry-After": "5"})

    return [Route("/hooks/alerts/{name}", take, methods=["POST"], include_in_schema=False)]


async def _body(request: Request) -> bytes | None:
    """The body, as long as it is not too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return None
    return bytes(body)
