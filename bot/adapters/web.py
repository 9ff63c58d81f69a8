"""The HTTP side: API under /api/v1, hooks for phones, health; console and hub are mounted beside it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as HttpError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from bot import __version__
from bot.app.ports import Given, Listens
from bot.app.service import MAIN_ROOM, Service
from bot.diagnosis.adhoc import Adhoc
from bot.domain.errors import StoreUnavailable, UserError
from bot.domain.incident import Entry, Incident, StatusUpdate, VendorCase
from bot.domain.page import DIGIT_ACK, Callback, CallStatus, Reported
from bot.domain.record import Correction
from bot.domain.text import Lang, Text, lang_of, same
from bot.domain.webhooks import BadSignature

log = logging.getLogger("warroom.web")

MAX_BODY = 512 * 1024
NOT_YET = Text(
    "还没有记进数据库（现在不可用）：已存在本机，恢复后自动记入；在那之前本机不再为它打电话",
    "not recorded yet: the database is away. It is kept here and recorded when the database is back; "
    "until then this bot calls nobody about it",
)
PhoneReported = Callable[[str, Callback], Awaitable[Reported]]
BEARER = HTTPBearer(auto_error=False, description="WARROOM_API_TOKEN")
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class DiagRequest(BaseModel):
    """Start a run: a playbook by name, or a YAML document."""

    playbook: str = Field(default="", max_length=80)
    yaml: str = Field(default="", max_length=256 * 1024)
    options: dict[str, str] = {}
    room: str = Field(default=MAIN_ROOM, max_length=200)
    user: str = Field(default="api", max_length=80)


class ProbeAsked(BaseModel):
    """One probe by hand, as `/probe KIND TARGET [from PLACE] [via RESOLVER] [key=value ...]`."""

    kind: str = Field(max_length=40, description='such as "dns"; `/help probe` lists them')
    target: str = Field(default="", max_length=2000, description="a name, HOST[:PORT] or URL, by kind")
    where: str = Field(default="", alias="from", max_length=500, description='places: "shanghai vm, office"; "all"')
    via: str = Field(default="", max_length=80, description='for dns: "host", "vpc", "public" or an address')
    params: dict[str, Any] = Field(default={}, description='the kind\'s own: {"count": 20, "timeout": "2s"}')
    room: str = Field(default=MAIN_ROOM, max_length=200)
    user: str = Field(default="api", max_length=80)


class ProbeAnswer(BaseModel):
    """What every agent saw. `missing` should have answered and did not, `not_asked` could not have."""

    kind: str
    target: str
    params: dict[str, Any]
    command: str
    incident: str | None
    agents: list[dict[str, Any]]
    observations: list[dict[str, Any]]
    missing: list[str]
    not_asked: list[str]
    measured: bool = Field(description="whether every agent that was asked could measure")
    took_s: float
    text: str = Field(description="the same as a compact table, in the room's language")


class CommandRequest(BaseModel):
    """A chat command, as it would be typed."""

    text: str = Field(max_length=8000)
    user: str = Field(default="api", max_length=80)
    room: str = Field(default=MAIN_ROOM, max_length=200)
    lang: str = ""


class Look(BaseModel):
    """What is wanted of a timeline."""

    kind: str = Field(default="", max_length=300, description='kinds of entries: "note,verdict"')
    by: str = Field(default="", max_length=80, description="whose")
    since: str = Field(default="", max_length=40, description='"23:40" (the last there was), "30m", "01-15 23:40", ISO')
    until: str = Field(default="", max_length=40)
    q: str = Field(default="", max_length=300, description="words that must all stand in it")
    before: str = Field(default="", max_length=20, description="those right before the entry of this number")
    after: str = Field(default="", max_length=20)
    limit: int = Field(default=100_000, ge=1, le=100_000)


class InvitationRequest(BaseModel):
    """A single-use token for one agent."""

    name: str = Field(min_length=1, max_length=500)
    ttl_s: float = 3600.0
    user: str = Field(default="api", max_length=80)


class Said(BaseModel):
    """What is wrong, in both languages; `code` is fixed."""

    code: str
    zh: str
    en: str


class Problem(BaseModel):
    """Every answer that is not the one asked for."""

    error: Said


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "what was asked cannot be done, or cannot be read"},
    401: {"model": Problem, "description": "the bearer token is missing or wrong"},
    404: {"model": Problem, "description": "there is no such thing"},
    413: {"model": Problem, "description": f"the body is larger than {MAX_BODY // 1024} KiB"},
    503: {"model": Problem, "description": "the database is away; Retry-After says when to come back"},
}


class Links:
    """Signed one-time links that acknowledge a page."""

    def __init__(self, *, secret: bytes, base_url: str) -> None:
        self._secret = secret
        self._base = base_url

    def make(self, key: str) -> str:
        """The link for a page's key. The key has a person's name in it, so it is quoted."""
        return f"{self._base}/ack/{self._sign(key)}/{quote(key, safe=':')}"

    def fits(self, signature: str, key: str) -> bool:
        """Whether the signature belongs to the key."""
        return hmac.compare_digest(signature.encode(), self._sign(key).encode())

    def _sign(self, key: str) -> str:
        return hmac.new(self._secret, f"ack:{key}".encode(), hashlib.sha256).hexdigest()[:40]


def make_app(
    *,
    service: Service,
    api_token: str,
    routes: Sequence[BaseRoute],
    phones: Mapping[str, Listens],
    phone_reported: PhoneReported,
    links: Links,
    lifespan: Lifespan,
    base_url: str = "",
) -> FastAPI:
    """The whole application. `phones` are the phone providers by name; `routes` come after ours.

    `base_url` is how the outside calls us: providers sign the whole address they called.
    """
    app = FastAPI(
        title="Warroom",
        version=__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=PROBLEMS,
    )
    _errors(app)
    _health(app, service)
    guarded = _guard(api_token)
    _api(app, service, guarded)
    _exports(app, service, guarded)
    _reports(app, service, guarded)
    _agents_api(app, service, guarded)
    _hooks(app, phones, phone_reported, base_url)
    _ack_links(app, links, phone_reported)
    app.router.routes.extend(routes)
    return app


def _errors(app: FastAPI) -> None:
    """Errors in words: {"error": {"code", "zh", "en"}}, never a stack trace."""

    @app.exception_handler(UserError)
    async def user_error(_request: Request, exc: UserError) -> JSONResponse:
        status = 404 if exc.code.startswith("unknown_") else 400
        return JSONResponse({"error": {"code": exc.code, **exc.text.to_json()}}, status)

    @app.exception_handler(HttpError)
    async def refused(_request: Request, exc: HttpError) -> JSONResponse:
        detail: object = exc.detail
        said = detail if isinstance(detail, Text) else same(str(detail))
        body = {"error": {"code": f"http_{exc.status_code}", **said.to_json()}}
        return JSONResponse(body, exc.status_code, headers=exc.headers)

    @app.exception_handler(StoreUnavailable)
    async def away(_request: Request, exc: StoreUnavailable) -> JSONResponse:
        log.error("database: %s", exc)
        said = {"code": "store_unavailable", "zh": f"数据库暂不可用：{exc}", "en": f"the database is away: {exc}"}
        return JSONResponse({"error": said}, 503, headers={"Retry-After": "2"})

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, exc: RequestValidationError) -> Response:
        # What was sent is not sent back: it may hold a secret, or text that no answer can carry.
        said = [{key: problem[key] for key in ("loc", "msg", "type")} for problem in exc.errors()]
        return Response(json.dumps({"detail": said}), 422, media_type="application/json")

    app.add_middleware(_Bounded)


class _Bounded:
    """Refuses bodies over MAX_BODY: by their length where it is announced, by counting where it is not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY:
            said = {"code": "too_large", "zh": "请求过大", "en": "the request is too large"}
            await JSONResponse({"error": said}, 413)(scope, receive, send)
            return
        taken = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MAX_BODY:
                raise HTTPException(413, "the request is too large")
            return message

        await self._app(scope, counted, send)


def _health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> PlainTextResponse:
        problem = await service.ready()
        return PlainTextResponse("ok\n" if problem is None else f"{problem}\n", 200 if problem is None else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> PlainTextResponse:
        agents = service.agents()
        ready = sum(1 for a in agents if a.state == "ready")
        lines = [
            "# HELP warroom_agents Agents known, by state.",
            "# TYPE warroom_agents gauge",
            f'warroom_agents{{state="ready"}} {ready}',
            f'warroom_agents{{state="other"}} {len(agents) - ready}',
        ]
        for name, count in sorted(service.counters().items()):
            lines += [f"# TYPE warroom_{name}_total counter", f"warroom_{name}_total {count}"]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _guard(api_token: str) -> Sequence[Any]:
    """What every path of the API depends on: the bearer token."""

    async def allowed(shown: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> None:
        given = shown.credentials if shown else ""
        if not api_token or not hmac.compare_digest(given.encode(), api_token.encode()):
            why = Text(
                "需要 bearer 令牌：用机器人的 WARROOM_API_TOKEN",
                "a bearer token is needed: set WARROOM_API_TOKEN to the bot's",
            )
            raise HTTPException(401, why, {"WWW-Authenticate": "Bearer"})

    return [Depends(allowed)]


def _api(app: FastAPI, service: Service, guarded: Sequence[Any]) -> None:
    @app.post("/api/v1/diag", status_code=202, dependencies=guarded)
    async def diag(asked: DiagRequest) -> dict[str, Any]:
        """Start a run; follow it under /api/v1/runs/{id}."""
        run = await service.diag(
            playbook=asked.playbook, yaml=asked.yaml, options=asked.options, room=asked.room, user=asked.user
        )
        return {"run": run, "url": f"/api/v1/runs/{run}"}

    @app.post("/api/v1/probe", dependencies=guarded)
    async def probe(asked: ProbeAsked) -> ProbeAnswer:
        """Carry out one probe and wait for its end, a minute at most; it is shown and recorded in the room as well."""
        words = Adhoc(kind=asked.kind, target=asked.target, where=asked.where, via=asked.via, options=asked.params)
        return ProbeAnswer(**await service.probe(words, room=asked.room, user=asked.user))

    @app.get("/api/v1/runs/{run}", dependencies=guarded)
    async def run(run: str, wait: float = 0.0) -> dict[str, Any]:
        """A run: {"run", "finished", "document"}; waits up to `wait` seconds (30 at most) for its end."""
        found = await service.run(run, wait_s=min(30.0, max(0.0, wait)))
        if found is None:
            raise HTTPException(404, Text(f"没有诊断 {run}", f"no run {run}"))
        return {"run": found.id, "finished": found.finished_at is not None, "document": found.document}

    @app.post("/api/v1/commands", dependencies=guarded)
    async def commands(asked: CommandRequest) -> dict[str, Any]:
        """Carry out a chat command and wait for what it says."""
        lang = lang_of(asked.lang) if asked.lang else None
        return await service.command(asked.text, user=asked.user, room=asked.room, lang=lang)

    @app.get("/api/v1/oncall", dependencies=guarded)
    async def on_call() -> list[dict[str, Any]]:
        """Who is on call: [{"schedule", "timezone", "person", "since", "until", "override", "next", "ics"}]."""
        return await service.on_call()

    @app.get("/api/v1/incidents", dependencies=guarded)
    async def incidents() -> list[dict[str, Any]]:
        """Every incident, newest first."""
        return [_incident(i) for i in await service.incidents()]

    @app.get("/api/v1/incidents/{incident}/timeline", dependencies=guarded)
    async def timeline(incident: str, asked: Annotated[Look, Query()], response: Response) -> list[dict[str, Any]]:
        """What happened, in order: all of it, or the last `limit` that fit, or those right before or after a number.

        Headers: `X-Total-Count` how many fit, `X-Earlier` and `X-Later` how many lie before and after these. An entry
        that a later one corrects has it under "corrected".
        """
        found = await service.incident(incident)
        if found is None:
            raise HTTPException(404, Text(f"没有故障 {incident}", f"no incident {incident}"))
        options = asked.model_dump(exclude={"q", "limit"})
        answer = await service.timeline(incident=found, options=options, words=asked.q.split(), limit=asked.limit)
        page = answer.page
        for name, count in (("X-Total-Count", page.total), ("X-Earlier", page.earlier), ("X-Later", page.later)):
            response.headers[name] = str(count)
        return [_entry(e, answer.corrections.get(e.seq), service.lang) for e in page.entries]


def _reports(app: FastAPI, service: Service, guarded: Sequence[Any]) -> None:
    @app.get("/api/v1/reports", dependencies=guarded, responses={200: {"content": {"text/csv": {}}}})
    async def reports(
        days: Annotated[int, Query(ge=1, le=3660)] = 30,
        form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    ) -> Response:
        """The last so many days: MTTA, MTTD, MTTR, causes, whose phone rang; CSV has a line for each incident."""
        figures = await service.figures(days)
        if form == "csv":
            return Response(figures.to_csv(), media_type="text/csv; charset=utf-8")
        return JSONResponse(figures.to_json())


def _exports(app: FastAPI, service: Service, guarded: Sequence[Any]) -> None:
    @app.get("/api/v1/incidents/{incident}/verify", dependencies=guarded)
    async def verify(incident: str, head: Annotated[list[str] | None, Query(max_length=50)] = None) -> dict[str, Any]:
        """Whether the record is as it was written, {"incident", "ok", "heads", "faults"}; `head` is a printed one."""
        found = await service.incident(incident)
        if found is None:
            raise HTTPException(404, Text(f"没有故障 {incident}", f"no incident {incident}"))
        return await service.verify(found.id, printed=head or ())

    @app.get("/api/v1/incidents/{incident}/export", dependencies=guarded)
    async def export(incident: str, form: Annotated[str, Query(alias="format")] = "md", lang: str = "") -> Response:
        """The postmortem as a file: format md, html, pdf or json, lang zh or en; jsonl is the record itself."""
        file = await service.export(incident, form=form.lower(), lang=lang_of(lang) if lang else None)
        if file is None:
            raise HTTPException(404, Text(f"没有故障 {incident}", f"no incident {incident}"))
        content = base64.b64decode(file.content) if file.encoded else file.content.encode()
        # A download and never a page of ours, whatever is in it.
        headers = {"Content-Disposition": f'attachment; filename="{file.name}"', "X-Content-Type-Options": "nosniff"}
        return Response(content, media_type=file.media_type, headers=headers)


def _agents_api(app: FastAPI, service: Service, guarded: Sequence[Any]) -> None:
    @app.get("/api/v1/agents", dependencies=guarded)
    async def agents() -> list[dict[str, Any]]:
        """Every agent known."""
        return [
            {
                **a.to_json(),
                "version": a.version,
                "last_seen": a.last_seen.isoformat() if a.last_seen else None,
                "lag_ms": a.lag_ms,
                "clock_ms": a.clock_ms,
                "lacks": list(a.lacks),
            }
            for a in service.agents()
        ]

    @app.post("/api/v1/agents/invitations", status_code=201, dependencies=guarded)
    async def invite(asked: InvitationRequest) -> dict[str, Any]:
        """Mint a single-use token for one agent: {"token", "name", "expires_at"}. It is shown this once."""
        return await service.invite(asked.name, ttl_s=asked.ttl_s, user=asked.user)

    @app.delete("/api/v1/agents/{name}", dependencies=guarded)
    async def forget(name: str) -> dict[str, Any]:
        """Take an agent's key away, and hang up on it if it is connected: {"name", "disconnected"}."""
        done = await service.forget_agent(name)
        if done is None:
            raise HTTPException(404, Text(f"没有观测点 {name}", f"no agent {name}"))
        return done


def _hooks(
    app: FastAPI,
    phones: Mapping[str, Listens],
    phone_reported: PhoneReported,
    base_url: str,
) -> None:
    async def take(request: Request, name: str, secret: str) -> Response:
        phone = phones.get(name)
        if phone is None:
            return JSONResponse({"error": f"no phone provider {name!r}"}, 404)
        given = Given(
            headers=dict(request.headers),
            url=base_url + _path(request),
            body=await request.body(),
            secret=secret,
        )
        try:
            heard = phone.read(given)
        except BadSignature as exc:
            log.warning("phone callback of %s refused: %s", name, exc)
            return JSONResponse({"error": str(exc)}, 401)
        answer = heard.answer
        for said in heard.said:
            became = await phone_reported(name, said)
            if became is Reported.UNKNOWN and heard.insists:
                return JSONResponse({"error": f"no page {said.key!r}"}, 404)
            if became is Reported.KEPT:
                answer = heard.kept or answer
        return Response(answer, media_type=heard.media_type)

    @app.post("/hooks/phone/{name}", include_in_schema=False)
    async def signed(request: Request, name: str) -> Response:
        return await take(request, name, "")

    @app.post("/hooks/phone/{name}/{secret}", include_in_schema=False)
    async def by_secret(request: Request, name: str, secret: str) -> Response:
        return await take(request, name, secret)


def _path(request: Request) -> str:
    """Path and query as they were sent: decoding them would spoil a signature."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    query: bytes = request.scope.get("query_string", b"")
    return (raw.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def _ack_links(app: FastAPI, links: Links, phone_reported: PhoneReported) -> None:
    """A link previewer must not acknowledge: GET shows a button, only its POST counts."""

    @app.get("/ack/{signature}/{key:path}", include_in_schema=False)
    async def ask(signature: str, key: str) -> HTMLResponse:
        if not links.fits(signature, key):
            return HTMLResponse("<h1>链接无效 · this link is not valid</h1>", 404)
        page = (
            '<!doctype html><html lang="zh"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{html.escape(key)}</title><h1>{html.escape(key.partition(':')[0])}</h1>"
            '<form method="post"><button>我来处理 · I have it</button></form></html>'
        )
        return HTMLResponse(page)

    @app.post("/ack/{signature}/{key:path}", include_in_schema=False)
    async def take(signature: str, key: str) -> HTMLResponse:
        if not links.fits(signature, key):
            return HTMLResponse("<h1>链接无效 · this link is not valid</h1>", 404)
        became = await phone_reported("link", Callback(key=key, status=CallStatus.ANSWERED, digits=DIGIT_ACK))
        if became is Reported.UNKNOWN:
            return HTMLResponse("<h1>没有这个故障 · no such incident</h1>", 404)
        if became is Reported.KEPT:
            # Not done: whoever reads "acknowledged" goes back to sleep.
            return HTMLResponse(f"<h1>{NOT_YET.zh} · {NOT_YET.en}</h1>", 202)
        return HTMLResponse("<h1>已确认 · acknowledged</h1>")


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "title": incident.title,
        "severity": incident.severity,
        "state": incident.state.value,
        "room": incident.room,
        "opened_at": incident.opened_at.isoformat(),
        "opened_by": incident.opened_by,
        "acked_by": incident.acked_by,
        "acked_at": incident.acked_at.isoformat() if incident.acked_at else None,
        "resolved_at": incident.resolved_at.isoformat() if incident.resolved_at else None,
        "playbook": incident.playbook,
        "roles": {role: list(names) for role, names in incident.roles.items()},
        "commander": incident.commander,
        "environments": list(incident.environments),
        "impact": {
            "text": incident.impact.text,
            "customers": list(incident.impact.customers),
            "amount": incident.impact.amount,
        },
        "update": _told(incident.update) if incident.update else None,
        "vendors": [_case(case) for case in incident.vendors],
        "merged_into": incident.merged_into,
        "update_due_at": incident.update_due_at.isoformat() if incident.update_due_at else None,
    }


def _told(update: StatusUpdate) -> dict[str, str]:
    return {"text": update.text, "by": update.by, "at": update.at.isoformat()}


def _case(case: VendorCase) -> dict[str, Any]:
    """`first_response_s` is null until the company has answered."""
    took = (case.replied_at - case.asked_at).total_seconds() if case.replied_at else None
    return {
        "name": case.name,
        "ticket": case.ticket,
        "asked_at": case.asked_at.isoformat(),
        "first_response_s": took,
    }


def _entry(entry: Entry, corrected: Correction | None, lang: Lang) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": entry.at.isoformat(),
        "recorded_at": entry.recorded_at.isoformat() if entry.recorded_at else None,
        "kind": entry.kind.value,
        "actor": entry.actor,
        "zh": entry.zh,
        "en": entry.en,
        "text": entry.zh if lang == "zh" else entry.en,
        "run": entry.run,
        "hash": entry.hash,
        "corrected": {"seq": corrected.seq, "by": corrected.by, "text": corrected.text} if corrected else None,
        "data": json.loads(json.dumps(dict(entry.data), default=str)),
    }
