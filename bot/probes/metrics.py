"""`metrics`: one PromQL query, now or over the last minutes.

Source: Prometheus "HTTP API" (api/v1/query, api/v1/query_range); Thanos, Mimir and VictoriaMetrics speak it too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Probe, ProbeContext
from bot.probes.params import Reader
from bot.probes.web import service_api
from bot.probes.web.exchange import Request
from bot.probes.web.service_api import Answer, Credentials, Service

MAX_SERIES = 50
MAX_RANGES = 12
MAX_POINTS = 120
"""Bounds of what is told, so that a result stays far below what a frame may carry."""
MAX_LABELS = 8
_CUT = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What is asked. `minutes` is 0 for an instant query."""

    text: str
    minutes: int
    step_s: int
    post: bool


def prepare(params: Mapping[str, Json]) -> Probe:
    """Ask once. timings_ms as http.

    detail: value (of the only series, else null), result_type, series_total, series (at most 50, of a range 12:
    labels, value, at, and values as [at, value] for a range), warnings, code and message where it refuses. A number
    that is not finite is null. An empty result is an answer.
    """
    read = Reader(params)
    where = service_api.service(read, "metrics")
    minutes = read.integer("minutes", 0, low=0, high=1440)
    query = Query(
        text=read.text("query", limit=2000),
        minutes=minutes,
        step_s=read.integer("step_s", max(15, minutes), low=1, high=3600),
        post=read.choice("method", ("GET", "POST"), "GET") == "POST",
    )
    read.done()
    if minutes * 60 > query.step_s * MAX_POINTS:
        raise BadParams(f"step_s: {minutes} minutes in steps of {query.step_s} s are more than {MAX_POINTS} points")
    return partial(_run, where, query)


async def _run(where: Service, query: Query, ctx: ProbeContext) -> Outcome:
    own = where.credential(ctx)
    answer = await service_api.ask("metrics", request(where, query, time.time()), own, ctx, where.timeout_s)
    return _outcome(answer, own)


def request(where: Service, query: Query, now: float) -> Request:
    """The request of a query at `now` (epoch seconds)."""
    asked = {"query": query.text, "timeout": f"{where.timeout_s:g}s"}
    if query.minutes:
        asked |= {"start": f"{now - query.minutes * 60:.3f}", "end": f"{now:.3f}", "step": str(query.step_s)}
    path = "/api/v1/query_range" if query.minutes else "/api/v1/query"
    if query.post:
        return where.request(path, body=urlencode(asked).encode(), content_type=service_api.FORM)
    return where.request(path, query=asked)


def _outcome(answer: Answer, own: Credentials) -> Outcome:
    document = answer.object
    told: dict[str, Json] = {}
    warnings = [service_api.said(w, own) for w in _list(document.get("warnings"))[:10]]
    if warnings:
        told["warnings"] = warnings
    if document.get("status") == "error":
        code = service_api.said(document.get("errorType"), own)
        told |= {"code": code, "message": service_api.said(document.get("error"), own)}
        return service_api.outcome(answer, meaning(code, answer.failure), own, **told)
    if answer.failure:
        return service_api.outcome(answer, answer.failure, own)
    data = document.get("data")
    if document.get("status") != "success" or not isinstance(data, Mapping):
        return service_api.outcome(replace(answer, reason="not an answer of Prometheus"), Failure.HTTP_BODY, own)
    return service_api.outcome(answer, None, own, **told, **result(data))


def meaning(code: str, by_status: Failure | None) -> Failure:
    """What an errorType amounts to: the server's own trouble, or a query that cannot be answered."""
    if by_status in (Failure.API_BAD_CREDENTIAL, Failure.API_DENIED, Failure.API_THROTTLED):
        return by_status
    return Failure.API_INTERNAL if code in ("timeout", "canceled", "internal", "unavailable") else Failure.API_ERROR


def result(data: Mapping[str, Any]) -> dict[str, Json]:
    """The result of a query in bounded JSON."""
    kind, found = str(data.get("resultType"))[:20], data.get("result")
    if kind in ("scalar", "string"):
        rows = [{"labels": {}, **_sample(found)}]
        total = 1
    else:
        rows = [_series(row) for row in _list(found)[: MAX_RANGES if kind == "matrix" else MAX_SERIES]]
        total = len(_list(found))
    value = rows[0]["value"] if total == 1 else None
    return {"value": value, "result_type": kind, "series_total": total, "series": rows}


def _series(row: Any) -> dict[str, Json]:
    if not isinstance(row, Mapping):
        return {"labels": {}, "value": None, "at": None}
    metric = row.get("metric")
    labels = list(metric.items())[:MAX_LABELS] if isinstance(metric, Mapping) else []
    named = {str(key)[:_CUT]: str(value)[:_CUT] for key, value in labels}
    if "values" not in row:
        return {"labels": named, **_sample(row.get("value"))}
    points = [_sample(point) for point in _list(row["values"])[-MAX_POINTS:]]
    last = points[-1] if points else {"value": None, "at": None}
    return {"labels": named, **last, "values": [[point["at"], point["value"]] for point in points]}


def _sample(pair: Any) -> dict[str, Json]:
    """`[epoch seconds, "number"]` as value and at."""
    if not isinstance(pair, list) or len(pair) != 2:
        return {"value": None, "at": None}
    return {"value": _number(pair[1]), "at": _number(pair[0])}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
