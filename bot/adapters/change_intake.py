"""`/hooks/changes/NAME`: deploy systems and others tell us what they changed (DESIGN, "Public surfaces").

A sender proves itself by a Standard Webhooks signature or by a bearer token; both may be configured.
"""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.domain.change import MOST, BadChange, Posted, from_json
from bot.domain.errors import UserError
from bot.domain.text import Text
from bot.domain.webhooks import BadSignature, verify

log = logging.getLogger("warroom.changes")

Taken = Callable[[Posted], Awaitable[int]]
"""Stores what was posted; returns how many of the changes are new."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """One `[[changes]]`: `secret` is "whsec_" + base64, `token` a bearer token; "" where it is not used."""

    name: str
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def known(self, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
        """The delivery's id ("" where the sender gives none). Raises BadSignature."""
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if self.token and scheme.lower() == "bearer":
            if not hmac.compare_digest(shown.strip().encode(), self.token.encode()):
                raise BadSignature("the bearer token is not this sender's")
            return ""
        if not self.secret:
            raise BadSignature("a bearer token is needed")
        return verify(headers, body, [self.secret], now=now)


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
