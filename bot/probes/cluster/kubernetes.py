"""Reading a Kubernetes API server: the pod's own account, or a login of the policy. Nothing but GET is ever sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.domain.failure import Failure
from bot.domain.probe import Json
from bot.probes.base import ProbeContext
from bot.probes.params import Reader, Url
from bot.probes.redact import Redactor
from bot.probes.web import service_api
from bot.probes.web.service_api import Answer, Credentials, Service

PAGE = 100
MAX_PAGES = 10
MAX_PAGE = 4 * 1024 * 1024
"""Bytes of one page of a list."""
_REASONS = {
    "Unauthorized": Failure.API_BAD_CREDENTIAL,
    "Forbidden": Failure.API_DENIED,
    "TooManyRequests": Failure.API_THROTTLED,
}


class Unreadable(Exception):
    """The API server does not give what was asked; `answer` is None where it was not even asked."""

    def __init__(self, failure: Failure, reason: str, answer: Answer | None = None) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason
        self.answer = answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which API server: the pod's own where `url` is None. Read by `wanted`."""

    url: Url | None
    address: str | None
    login: str
    timeout_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """An API server and what proves who asks. The context is the one to dial it with: it trusts the cluster's CA."""

    where: Service
    own: Credentials
    ctx: ProbeContext

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """One object or list. Raises Unreadable and Denied."""
        asked = self.where.request(path, query=query, headers={"accept": service_api.JSON}, max_body=MAX_PAGE)
        answer = await service_api.ask(self.where.kind, asked, self.own, self.ctx, self.where.timeout_s)
        if answer.failure:
            raise _refusal(answer, self.own)
        if not answer.object:
            raise Unreadable(Failure.HTTP_BODY, "the answer is no object", answer)
        return answer.object

    async def items(
        self, path: str, *, selector: str = "", most: int = PAGE * MAX_PAGES
    ) -> tuple[list[Mapping[str, Any]], bool]:
        """(The objects of a list, whether there are more), by pages. Raises Unreadable and Denied."""
        found: list[Mapping[str, Any]] = []
        query = {"limit": str(min(PAGE, most)), **({"labelSelector": selector} if selector else {})}
        while True:
            page = await self.get(path, query)
            rows = page.get("items")
            found += [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
            onward = mapping(page, "metadata").get("continue")
            if not isinstance(onward, str) or not onward or len(found) >= most:
                return found[:most], bool(onward)
            query["continue"] = onward

    async def count(self, path: str) -> int | None:
        """How many objects a list has, by the server's own count; None where it does not say."""
        page = await self.get(path, {"limit": "1"})
        rows = page.get("items")
        here = len(rows) if isinstance(rows, list) else 0
        meta = mapping(page, "metadata")
        rest = meta.get("remainingItemCount", None if meta.get("continue") else 0)
        return here + rest if isinstance(rest, int) and not isinstance(rest, bool) else None


def wanted(read: Reader) -> Wanted:
    """The parameters api_url and api_address (else the pod's own cluster), login and timeout_ms. Raises BadParams."""
    return Wanted(
        url=read.url("api_url") if read.given("api_url") else None,
        address=read.optional_address("api_address"),
        login=read.text("login", "", limit=40),
        timeout_s=read.seconds("timeout_ms", 4000),
    )


def cluster(kind: str, want: Wanted, ctx: ProbeContext) -> Cluster:
    """The API server to ask. Raises Unreadable where there is none, and Denied."""
    if want.url is not None:
        where = Service(kind=kind, base=want.url, address=want.address, login=want.login, timeout_s=want.timeout_s)
        if not want.login:
            raise Unreadable(Failure.NO_CREDENTIAL, "api_url needs a login of the agent's policy")
        return Cluster(where=where, own=where.credential(ctx), ctx=ctx)
    account = ctx.service_account
    if account is None:
        raise Unreadable(
            Failure.NO_CREDENTIAL, "this agent has no service account of a cluster, and no api_url is given"
        )
    try:
        token = (account.folder / "token").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise Unreadable(
            Failure.NO_CREDENTIAL, f"the service account's token cannot be read ({type(exc).__name__})"
        ) from exc
    base = Url(scheme="https", host=account.host, port=account.port, target="/")
    own = Credentials(headers={"authorization": f"Bearer {token}"}, mask=Redactor([token]))
    where = Service(kind=kind, base=base, timeout_s=want.timeout_s)
    return Cluster(where=where, own=own, ctx=replace(ctx, ca_file=account.folder / "ca.crt"))


def _refusal(answer: Answer, own: Credentials) -> Unreadable:
    """A Status object (meta/v1) where the server sent one, else what the exchange came to."""
    failure = answer.failure or Failure.HTTP_BODY
    if answer.object.get("kind") != "Status":
        return Unreadable(failure, own.mask.text(answer.reason), answer)
    code = answer.object.get("code")
    worst = _REASONS.get(str(answer.object.get("reason")), failure)
    if worst is Failure.HTTP_STATUS:
        worst = Failure.API_INTERNAL if isinstance(code, int) and code >= 500 else Failure.API_ERROR
    return Unreadable(worst, service_api.said(answer.object.get("message"), own), answer)


def mapping(value: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The object at a path of keys, an empty one where there is none."""
    for key in path:
        inner = value.get(key)
        if not isinstance(inner, Mapping):
            return {}
        value = inner
    return value


def integer(value: Json) -> int:
    """A count as the API writes it, 0 where it writes none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def text(value: Json, limit: int = 253) -> str:
    """A text of the API, "" where there is none."""
    return value[:limit] if isinstance(value, str) else ""
