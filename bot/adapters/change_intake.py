"""`/hooks/changes/NAME`: deploy systems and others tell us what they changed (DESIGN, "Public surfaces").

A sender proves itself by a Standard Webhooks signature or by a bearer token; both may be configured.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.domain.change import MOST, BadChange, Posted, from_json
from bot.domain.errors import UserError
from bot.domain.sender import Sender
from bot.domain.text import Text
from bot.domain.webhooks import BadSignature

log = logging.getLogger("warroom.changes")

Taken = Callable[[Posted], Awaitable[int]]
"""Stores what was posted; returns how many of the changes are new."""


def routes(senders: Sequence[Sender], taken: Taken) -> list[Route]:
    """The hook of every sender."""
    by_name = {sender.name: sender for sender in senders}

    async def take(request: Request) -> Response:
        name = request.path_params["name"]
        sender = by_name.get(name)
        if sender is None:
            return JSONResponse({"error": f"no sender {name!r}; add [[changes]] to warroom.toml"}, 404)
        body, now = await request.body(), time.time()
        try:
            delivery = sender.known(request.headers, body, now=now)
        except BadSignature as exc:
            log.warning("changes of %s refused: %s", name, exc)
            return JSONResponse({"error": str(exc)}, 401)
        new = await taken(read(body, source=name, delivery=delivery, now=datetime.fromtimestamp(now, UTC)))
        return JSONResponse({"new": new})

    return [Route("/hooks/changes/{name}", take, methods=["POST"], include_in_schema=False)]


def read(body: bytes, *, source: str, delivery: str, now: datetime) -> Posted:
    """One change or a list of at most 100. Raises UserError."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise _bad("not JSON") from exc
    rows = given if isinstance(given, list) else [given]
    if not 0 < len(rows) <= MOST or not all(isinstance(row, dict) for row in rows):
        raise _bad(f"must be one JSON object, or a list of 1 to {MOST}")
    try:
        found = tuple(from_json(row, source=source, now=now) for row in rows)
    except BadChange as exc:
        raise _bad(str(exc)) from exc
    return Posted(source=source, delivery=delivery, changes=found)


def _bad(reason: str) -> UserError:
    return UserError("bad_change", Text(f"变更通知有误：{reason}", f"not a change: {reason}"))
