"""Asking an HTTP API of somebody's own service: base URL, login, JSON answer, and what a status means."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from bot.domain.failure import Failure, FaultOf, fault_of
from bot.domain.probe import Json, Outcome
from bot.probes.base import Login, ProbeContext
from bot.probes.params import Reader, Url
from bot.probes.redact import Redactor
from bot.probes.web.exchange import Exchange, Request, exchange

MAX_ANSWER = 2 * 1024 * 1024
"""Bytes of an answer that are read; a longer one is a failure, for half a JSON document is none."""
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
_SAID = 300

_STATUSES = {401: Failure.API_BAD_CREDENTIAL, 403: Failure.API_DENIED, 429: Failure.API_THROTTLED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """Where the API is. `login` names a login of the agent's policy ("" for none)."""

    kind: str
    base: Url
    address: str | None = None
    login: str = ""
    timeout_s: float = 5.0

    @property
    def origin(self) -> str:
        """`scheme://host[:port]`, as a login's endpoint is written."""
        return f"{self.base.scheme}://{self.base.authority}"

    def credential(self, ctx: ProbeContext) -> Credentials:
        """The login's header and the texts that must never be told. Raises Denied."""
        return credentials(ctx.login(self.login, self.kind, self.origin)) if self.login else Credentials()

    def request(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        content_type: str = "",
        headers: Mapping[str, str] | None = None,
        max_body: int = MAX_ANSWER,
    ) -> Request:
        """A GET of `path` under the base, or a POST where there is a body."""
        base = self.base.target.partition("?")[0].rstrip("/")
        target = f"{base}{path}" + (f"?{urlencode(query)}" if query else "")
        url = Url(scheme=self.base.scheme, host=self.base.host, port=self.base.port, target=target)
        typed = {"content-type": content_type} if content_type else {}
        return Request(
            url=url,
            method="POST" if body else "GET",
            address=self.address,
            headers={**typed, **(headers or {})},
            body=body,
            max_body=max_body,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """Headers that prove who asks, and what must not appear in any outcome."""

    headers: Mapping[str, str] = field(default_factory=dict)
    mask: Redactor = field(default_factory=lambda: Redactor(()))


def credentials(login: Login) -> Credentials:
    """Basic where the login has a user (RFC 7617), else Bearer (RFC 6750)."""
    if not login.user:
        return Credentials(headers={"authorization": f"Bearer {login.secret}"}, mask=Redactor([login.secret]))
    pair = f"{login.user}:{login.secret}"
    basic = base64.b64encode(pair.encode()).decode()
    return Credentials(headers={"authorization": f"Basic {basic}"}, mask=Redactor([login.secret, pair]))


def service(read: Reader, kind: str, *, timeout_ms: int = 5000) -> Service:
    """The parameters url (the base), address (to pin it), login and timeout_ms. Raises BadParams."""
    return Service(
        kind=kind,
        base=read.url(),
        address=read.optional_address(),
        login=read.text("login", "", limit=40),
        timeout_s=read.seconds("timeout_ms", timeout_ms),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One exchange and the JSON it brought. `failure` is None where there is JSON of a good status.

    An answer with a bad status may have a document all the same: the service's own words.
    """

    seen: Exchange
    document: Json = None
    failure: Failure | None = None
    reason: str = ""

    @property
    def object(self) -> Mapping[str, Any]:
        """The document where it is an object, else an empty one."""
        return self.document if isinstance(self.document, Mapping) else {}


async def ask(kind: str, request: Request, own: Credentials, ctx: ProbeContext, timeout_s: float) -> Answer:
    """Ask once and read JSON. Raises Denied and BadParams only."""
    with_own = Request(
        url=request.url,
        method=request.method,
        address=request.address,
        headers={**request.headers, **own.headers},
        body=request.body,
        max_body=request.max_body,
    )
    return read(await exchange(kind, with_own, ctx, timeout_s))


def read(seen: Exchange) -> Answer:
    """What an exchange brought. Redirects are not followed: they are a status that is not good."""
    if seen.reply is None:
        return Answer(seen=seen, failure=seen.failure or Failure.AGENT_ERROR, reason=seen.reason)
    try:
        document = None if seen.reply.cut else json.loads(seen.reply.body)
    except (ValueError, RecursionError):
        document = None
    failure = by_status(seen.reply.status)
    if failure or document is not None:
        return Answer(seen=seen, document=document, failure=failure)
    longer = f"the answer is longer than {len(seen.reply.body)} bytes" if seen.reply.cut else "the answer is not JSON"
    return Answer(seen=seen, failure=Failure.HTTP_BODY, reason=longer)


def by_status(status: int) -> Failure | None:
    """What a status amounts to where the answer says nothing more (RFC 9110, RFC 6585)."""
    return None if 200 <= status < 300 else _STATUSES.get(status, Failure.HTTP_STATUS)


def measured(seen: Exchange) -> dict[str, float]:
    """Every phase that was reached, and the total, in ms."""
    return {key: round(ms, 3) for key, ms in {**seen.spent_ms, **seen.done_ms, "total": seen.total_ms}.items()}


def outcome(answer: Answer, failure: Failure | None, own: Credentials, **detail: Json) -> Outcome:
    """One Outcome of one exchange; `detail` is added to status, address and reason."""
    seen = answer.seen
    worst = answer.seen.failure or failure
    told: dict[str, Json] = {"tries": 1, "status": seen.reply.status if seen.reply else None, "address": seen.address}
    if worst and answer.reason:
        told["reason"] = answer.reason[:_SAID]
    fault: FaultOf | None = None
    if worst:
        fault = (seen.fault if worst is seen.failure else None) or fault_of(worst)
    return own.mask.outcome(
        Outcome(
            ok=worst is None,
            failure=worst,
            fault_of=fault,
            success_rate=0.0 if worst else 1.0,
            timings_ms=measured(seen),
            detail={**told, **detail},
        )
    )


def said(text: object, own: Credentials) -> str:
    """What a service says of itself: masked first, then cut."""
    return own.mask.text(text if isinstance(text, str) else "")[:_SAID]
